"""The causal oscillator encoding: convolution is recurrence, and knows nothing of the future."""

import torch

from resonance.models.oscillator_encoding import OscillatorEncoding


def encoding():
    torch.manual_seed(0)
    made = OscillatorEncoding(12)
    with torch.no_grad():
        made.raw_damping.normal_(0, 2)
    return made, torch.randn(2, 300, 12)


def test_convolution_and_recurrence_agree():
    made, drive = encoding()
    at_once, swing, steps = made(drive), made.rest(2), []
    for token in drive.unbind(1):
        code, swing = made.step(token, swing)
        steps.append(code)
    torch.testing.assert_close(torch.stack(steps, 1), at_once, atol=1e-4, rtol=0)


def test_a_kick_is_seen_in_the_velocity_at_once_and_in_the_position_after():
    made, drive = encoding()
    kick = torch.zeros_like(drive)
    kick[:, 5] = 1.0
    code = made(kick)
    assert code[:, :5].abs().max() < 1e-5
    torch.testing.assert_close(code[:, 5, 12:], kick[:, 5], atol=1e-5, rtol=0)
    assert code[:, 5, :12].abs().max() < 1e-5 < code[:, 6, :12].abs().min()
