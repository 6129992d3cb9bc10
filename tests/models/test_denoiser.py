import numpy as np
import pytest
import torch

from models.denoiser import Denoiser, DenoiserConfig, load
from models.losses import denoising_loss, error_db, si_sdr_db, spectral_distance
from models.resonant import ResonantLayer
from models.training import save_model

SMALL = DenoiserConfig(broad=32, narrow=16, width=24, states=12, layers=2)


def test_an_untrained_denoiser_is_a_wire():
    torch.manual_seed(0)
    sound = 0.1 * torch.randn(2, 16000)
    with torch.no_grad():
        out = Denoiser(DenoiserConfig())(sound)
    assert out.shape == sound.shape
    assert -error_db(out, sound, sound, best_db=100).min() > 60


def test_nothing_of_the_future_is_used():
    torch.manual_seed(0)
    model = Denoiser(SMALL)
    torch.nn.init.normal_(model.outlet.weight, std=0.1)
    sound = 0.1 * torch.randn(1, 8000)
    changed = sound.clone()
    changed[:, 4321:] = 0.1 * torch.randn(1, 8000 - 4321)
    with torch.no_grad():
        a, b = model(sound), model(changed)
    torch.testing.assert_close(a[:, :4321], b[:, :4321], rtol=0, atol=0)
    assert not torch.allclose(a[:, 4321:], b[:, 4321:])


def test_step_by_step_is_the_whole():
    torch.manual_seed(0)
    model = Denoiser(SMALL).eval()
    torch.nn.init.normal_(model.outlet.weight, std=0.1)
    features = torch.randn(1, 20, model.oscillators, 3)
    with torch.no_grad():
        whole = model.gains(features)
        states = model.first_states()
        for hop in range(20):
            gain, states = model.step(features[:, hop], states)
            torch.testing.assert_close(gain, whole[:, hop], atol=1e-5, rtol=1e-4)
        first, middle = model.sequence(features[:, :13], model.first_states())
        second, _ = model.sequence(features[:, 13:], middle)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-5, rtol=1e-4)


def test_the_bank_learns_within_its_bounds():
    model = Denoiser(SMALL)
    with torch.no_grad():
        model.bank.f0_shift.uniform_(-9, 9)
        model.bank.damping_shift.uniform_(-9, 9)
    bank = model.bank.frozen()
    narrow = bank.f0_hz[SMALL.broad :]
    assert (np.diff(narrow) > 0).all()
    assert (np.abs(bank.poles(16000)) < 1).all()
    np.testing.assert_array_equal(
        bank.f0_hz[: SMALL.broad], SMALL.first_bank().f0_hz[: SMALL.broad]
    )


def test_training_reaches_every_parameter():
    torch.manual_seed(0)
    model = Denoiser(SMALL)
    torch.nn.init.normal_(model.outlet.weight, std=0.1)
    noisy = torch.cat([0.1 * torch.randn(1, 6000), torch.zeros(1, 2000)], 1)
    denoising_loss(model(noisy), 0.5 * noisy, noisy).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_saved_models_come_back(tmp_path):
    model = Denoiser(SMALL).eval()
    torch.nn.init.normal_(model.outlet.weight, std=0.1)
    save_model(model, tmp_path / "m.pt", step=3)
    again, extra = load(tmp_path / "m.pt")
    sound = torch.randn(1, 2000)
    torch.testing.assert_close(again(sound), model(sound))
    assert extra == {"step": 3}


def test_resonant_layer_forgets():
    """What an input did fades once it is gone: the layer is stable."""
    torch.manual_seed(0)
    layer = ResonantLayer(8, 4, 0.008, ring_s=(0.01, 0.1)).eval()
    x = torch.zeros(2, 800, 8)
    x[0, :100] = torch.randn(100, 8)
    with torch.no_grad():
        y = layer(x)
    torch.testing.assert_close(y[0, -1], y[1, -1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_si_sdr_ignores_level_and_error_does_not(gain):
    torch.manual_seed(0)
    target = torch.randn(1, 1000)
    estimate = target + 0.1 * torch.randn(1, 1000)
    torch.testing.assert_close(si_sdr_db(gain * estimate, target), si_sdr_db(estimate, target))
    assert si_sdr_db(estimate, target).item() == pytest.approx(20, abs=1)
    assert error_db(gain * estimate, target, target) > error_db(estimate, target, target)


def test_without_speech_only_quiet_is_good():
    noise, silence = torch.randn(1, 4000), torch.zeros(1, 4000)
    assert error_db(0.1 * noise, silence, noise).item() == pytest.approx(-20, abs=0.5)
    assert spectral_distance(0.1 * noise, silence, noise) < spectral_distance(noise, silence, noise)
