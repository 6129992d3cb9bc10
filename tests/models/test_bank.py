import numpy as np
import pytest
import torch

from resonance.dsp.bank import broad_bank
from resonance.models import hopwise
from resonance.models.bank import (
    listen,
    play,
    poles_from,
    rewind,
    scan,
)
from tests.dsp import oracle

EDGES = torch.tensor([0, 13, 25, 38, 50, 61])


def setup(dtype=torch.float64, batch=2, oscillators=5):
    torch.manual_seed(0)
    f0_hz = torch.linspace(200, 3000, oscillators, dtype=dtype).requires_grad_()
    damping = torch.full((oscillators,), 0.1, dtype=dtype).requires_grad_()
    sound = torch.randn(batch, 61, dtype=dtype).requires_grad_()
    weights = [torch.randn(batch, 6, oscillators, dtype=dtype).requires_grad_() for _ in range(2)]
    return f0_hz, damping, sound, weights


def test_poles_agree_with_the_numpy_bank():
    bank = broad_bank(8)
    re, im = poles_from(torch.tensor(bank.f0_hz), torch.tensor(bank.damping_ratio), 16000)
    np.testing.assert_allclose(re.numpy() + 1j * im.numpy(), bank.poles(16000), rtol=1e-12)


def test_hearing_agrees_with_the_oracle():
    f0_hz, damping, sound, _ = setup()
    poles = poles_from(f0_hz, damping, 16000)
    own, following = torch.randn(2, 4, dtype=torch.complex64)
    energy, contrast, end_re, end_im = listen(sound, EDGES, *poles, (own, following))
    poles64 = (poles[0] + 1j * poles[1]).detach().numpy()
    z = oracle.states(sound[0].detach().numpy(), poles64)
    np.testing.assert_allclose(energy[0, 1].detach(), (np.abs(z[13:25]) ** 2).sum(0), rtol=1e-9)
    between = own.numpy() * z[13:25, :-1] - following.numpy() * z[13:25, 1:]
    np.testing.assert_allclose(contrast[0, 1], (np.abs(between) ** 2).sum(0), rtol=1e-6)
    ends = (end_re[0] + 1j * end_im[0]).detach().numpy()
    np.testing.assert_allclose(ends, z[EDGES[1:].numpy() - 1], rtol=1e-9, atol=1e-12)


def test_compiled_and_hopwise_forms_agree():
    f0_hz, damping, sound, weights = setup()
    poles = poles_from(f0_hz, damping, 16000)
    neighbours = tuple(torch.randn(2, 4, dtype=torch.complex64))
    forms = (form(sound, EDGES, *poles, neighbours) for form in (listen, hopwise.listen))
    for a, b in zip(*forms, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    compiled = play(sound, EDGES, 8, *poles, *weights)
    torch.testing.assert_close(
        compiled, hopwise.play(sound, EDGES, 8, *poles, *weights), rtol=1e-9, atol=1e-9
    )


def test_float32_over_a_minute_stays_with_float64():
    torch.manual_seed(0)
    bank = broad_bank(16)
    sound = 0.1 * torch.randn(1, 60 * 16000)
    edges = torch.arange(0, 60 * 16000 + 1, 128)
    f0_hz, damping = torch.tensor(bank.f0_hz), torch.tensor(bank.damping_ratio)
    poles = poles_from(f0_hz, damping, 16000)
    exact = listen(sound.double(), edges, *poles)
    single = listen(sound, edges, *(p.float() for p in poles))
    assert (exact[2] - single[2]).abs().max() < 1e-4 * exact[2].abs().max()


def test_gradients_of_hearing():
    f0_hz, damping, sound, _ = setup()
    assert torch.autograd.gradcheck(
        lambda x, f, d: listen(x, EDGES, *poles_from(f, d, 16000.0))[::2], (sound, f0_hz, damping)
    )


def test_gradients_of_playing():
    f0_hz, damping, sound, weights = setup()
    assert torch.autograd.gradcheck(
        lambda x, f, d, re, im: play(x, EDGES, 8, *poles_from(f, d, 16000.0), re, im),
        (sound, f0_hz, damping, *weights),
    )


def test_backwards_in_time():
    """Together with the forward run an impulse is answered alike before and after it."""
    f0_hz, damping, sound, weights = setup()
    poles = [p.detach() for p in poles_from(f0_hz, damping, 16000)]
    x = sound.detach()
    compiled, other = (form(x, EDGES, 8, 25, *poles, *weights) for form in (rewind, hopwise.rewind))
    torch.testing.assert_close(compiled, other, rtol=1e-9, atol=1e-9)
    assert torch.autograd.gradcheck(lambda *w: rewind(x, EDGES, 8, 25, *poles, *w), weights)
    impulse = torch.zeros(1, 61, dtype=torch.float64)
    impulse[0, 18] = 1.0
    steady = [w[:1, :1].expand(1, 6, 5).detach() for w in weights]
    both = play(impulse, EDGES, 8, *poles, *steady) + rewind(impulse, EDGES, 8, 25, *poles, *steady)
    torch.testing.assert_close(both[0, 18:25], both[0, 12:19].flip(0), rtol=1e-9, atol=1e-9)


def test_gradients_of_both_forms_agree():
    f0_hz, damping, sound, weights = setup()
    gradients = []
    for form in (play, hopwise.play):
        poles = poles_from(f0_hz, damping, 16000)
        loss = form(sound, EDGES, 8, *poles, *weights).square().sum()
        gradients.append(torch.autograd.grad(loss, (f0_hz, damping, *weights)))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_slow_oscillators_scan():
    torch.manual_seed(0)
    arrays = [0.5 * torch.randn(2, 7, 3, dtype=torch.float64) for _ in range(4)]
    assert torch.autograd.gradcheck(scan, [a.requires_grad_() for a in arrays])
    for a, b in zip(scan(*arrays), hopwise.scan(*arrays), strict=True):
        torch.testing.assert_close(a, b)


def test_a_resonator_is_found_by_gradient():
    """f0 and damping of an unknown oscillator follow from its sound alone."""
    torch.manual_seed(0)
    sound = torch.randn(4, 800, dtype=torch.float64)
    edges = torch.tensor([0, 800])
    ones, zeros = (
        torch.ones(4, 2, 1, dtype=torch.float64),
        torch.zeros(4, 2, 1, dtype=torch.float64),
    )

    def ring(f0_hz, damping):
        poles = poles_from(f0_hz, damping, 16000)
        return play(sound, edges, 1, *poles, ones, zeros)

    truth = torch.tensor([1000.0]).double(), torch.tensor([0.08]).double()
    target = ring(*truth)
    log_f0 = torch.tensor([np.log(960.0)], dtype=torch.float64, requires_grad=True)
    log_damping = torch.tensor([np.log(0.12)], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([log_f0, log_damping], lr=0.01)
    for _ in range(300):
        optimiser.zero_grad()
        loss = (ring(log_f0.exp(), log_damping.exp()) - target).square().mean()
        loss.backward()
        optimiser.step()
    assert log_f0.exp().item() == pytest.approx(1000, rel=1e-3)
    assert log_damping.exp().item() == pytest.approx(0.08, rel=1e-2)
