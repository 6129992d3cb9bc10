from dataclasses import replace

import numpy as np
import pytest
import torch
from pystoi import stoi

from resonance.dsp.coupled import STATES
from resonance.models.controller import ControllerConfig, RunningLevel
from resonance.models.denoiser import Denoiser, DenoiserConfig, at_pace, load
from resonance.models.losses import (
    denoising_loss,
    edges_lost,
    error_db,
    estoi,
    readings_loss,
    si_sdr_db,
    spectral_distance,
)
from resonance.models.perception import perceptual_distance, wideband_pesq
from resonance.models.resonant import ResonantLayer
from resonance.models.training import save_model

SMALL = DenoiserConfig(broad=32, narrow=16, controller=ControllerConfig(channels=16, layers=2))
AHEAD = replace(SMALL, lookahead_s=0.02)
NEAR = replace(SMALL, lookahead_s=0.008)
OFTEN = replace(SMALL, updates=2)


def stirred(config=SMALL):
    """An untrained denoiser whose gains are not 1."""
    torch.manual_seed(0)
    model = Denoiser(config).eval()
    torch.nn.init.normal_(model.controller.say_broad.weight, std=0.1)
    torch.nn.init.normal_(model.controller.say_narrow.weight, std=0.1)
    for layer in model.controller.layers:
        torch.nn.init.normal_(layer.out.weight, std=0.2)
    return model


def test_an_untrained_denoiser_is_a_wire():
    torch.manual_seed(0)
    sound = 0.1 * torch.randn(2, 16000)
    with torch.no_grad():
        out, _ = Denoiser(DenoiserConfig())(sound)
    assert out.shape == sound.shape
    assert -error_db(out, sound, sound, best_db=100).min() > 60


@pytest.mark.parametrize(("config", "ahead"), [(SMALL, 0), (NEAR, 128), (AHEAD, 320), (OFTEN, 0)])
def test_no_more_of_the_future_is_used_than_declared(config, ahead):
    model = stirred(config)
    sound = 0.1 * torch.randn(1, 8000)
    changed = sound.clone()
    changed[:, 4321:] = 0.1 * torch.randn(1, 8000 - 4321)
    with torch.no_grad():
        (a, _), (b, _) = model(sound), model(changed)
    known = 4321 - ahead
    torch.testing.assert_close(a[:, :known], b[:, :known], rtol=0, atol=0)
    assert not torch.allclose(a[:, known:4321], b[:, known:4321]) or not ahead
    assert not torch.allclose(a[:, 4321:], b[:, 4321:])


@pytest.mark.parametrize("lookahead_s", [0.008, 0.02])
def test_an_untrained_denoiser_that_looks_ahead_is_a_wire_too(lookahead_s):
    sound = 0.1 * torch.randn(2, 16000)
    with torch.no_grad():
        out, _ = Denoiser(DenoiserConfig(lookahead_s=lookahead_s))(sound)
    assert -error_db(out, sound, sound, best_db=100).min() > 60


def test_the_equaliser_quietens_a_band_and_leaves_the_rest():
    hops = 1500  # long enough that no bin is quiet by chance
    model = Denoiser(DenoiserConfig(parts=1)).eval()
    with torch.no_grad():
        equaliser = model.controller.equaliser
        equaliser.phase_share.fill_(1.0)
        wanted = torch.zeros(1, hops, 2 * 64)
        wanted[..., 20:36] = 4.0
        gains = torch.nn.functional.pad(equaliser(wanted), (0, 0, 0, 96))
        model.controller.forward = lambda *features: (gains, torch.zeros(1, hops, 2))
        chance = torch.Generator().manual_seed(0)
        sound = 0.1 * torch.randn(1, hops * 128, generator=chance)
        played, _ = model(sound)
    window = torch.hann_window(512)
    before, after = (
        torch.stft(s, 512, window=window, return_complex=True).abs().square().mean(-1)[0]
        for s in (sound, played)
    )
    change_db = 10 * torch.log10(after / before)
    hz = torch.arange(257) * 16000 / 512
    low, high = model.bank.f0_start[[23, 32]]
    assert change_db[(hz > low) & (hz < high)].max() < -15
    assert change_db[(hz > 100) & (hz < 400)].abs().max() < 1
    assert change_db[hz > 4000].abs().max() < 1


def _poles(layer):
    """Of the slow oscillators of a token that says nothing."""
    gain = torch.sigmoid(layer.into.bias[2 * STATES : 3 * STATES])
    return (torch.polar(1 - gain, layer.turn)).detach()


def test_weights_at_twice_the_pace_average_as_slowly():
    once, twice = stirred(SMALL), Denoiser(OFTEN)
    twice.load_state_dict(at_pace(once.state_dict(), 2))
    back = at_pace(twice.state_dict(), 0.5)
    for name, value in once.state_dict().items():
        torch.testing.assert_close(back[name], value)
    levels = torch.randn(1, 50, once.oscillators)
    with torch.no_grad():
        slow = once.controller.floor(levels)
        often = twice.controller.floor(levels.repeat_interleave(2, 1))
    torch.testing.assert_close(often[:, 1::2], slow)
    slow, often = (_poles(model.controller.layers[0]) for model in (once, twice))
    torch.testing.assert_close(often**2, slow)


@pytest.mark.parametrize("config", [SMALL, NEAR, AHEAD])
@pytest.mark.parametrize("quieter_db", [40, 50])
def test_the_same_sound_far_quieter_is_cleaned_alike(config, quieter_db):
    model = stirred(config)
    sound = 0.1 * torch.randn(1, 16000) * torch.linspace(0.1, 1, 16000)
    factor = 10 ** (-quieter_db / 20)
    with torch.no_grad():
        (loud, read), (quiet, read_quiet) = model(sound), model(factor * sound)
    # Where digital silence comes into sight there is no level to compare with.
    loud, quiet = (out[:, :15_500] for out in (loud, quiet))
    assert error_db(quiet / factor, loud, loud, best_db=100).item() < -40
    torch.testing.assert_close(read[..., 0], read_quiet[..., 0], atol=1e-3, rtol=0)
    noise, quiet_noise = read[:, 5:, 1], read_quiet[:, 5:, 1] + quieter_db
    torch.testing.assert_close(noise, quiet_noise, atol=0.5, rtol=0)


def test_the_running_level_rises_at_once_and_falls_slowly():
    level = RunningLevel(0.008)
    contrast = torch.full((1, 500, 4), -3.0)
    contrast[:, 100:110] = 0.0
    with torch.no_grad():
        levels = level(contrast)[0, :, 0]
    assert levels[0].item() == pytest.approx(-3.0, abs=0.01)
    assert levels[99].item() == pytest.approx(-3.0, abs=0.01)
    assert levels[110] > -1.0
    assert -3.0 < levels[499] < levels[250] < levels[110]


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


@pytest.mark.parametrize("config", [SMALL, NEAR])
def test_training_reaches_every_parameter(config):
    model = stirred(config).train()
    noisy = torch.cat([0.1 * torch.randn(1, 12000), torch.zeros(1, 2000)], 1)
    estimate, readings = model(noisy)
    loss = denoising_loss()(estimate, 0.5 * noisy, noisy)
    (loss + readings_loss(readings, noisy, 0.5 * noisy)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_terms_of_the_loss_count_as_often_as_asked():
    clean = 0.1 * torch.randn(1, 16000)
    noisy = clean + 0.05 * torch.randn(1, 16000)
    sounds = 0.9 * noisy, clean, noisy
    usual, more, less = (
        float(denoising_loss({"waveform": factor})(*sounds)) for factor in (1.0, 3.0, 0.0)
    )
    assert more - usual == pytest.approx(2 * (usual - less), rel=1e-3)
    assert usual != pytest.approx(less)


def test_saved_models_come_back(tmp_path):
    model = stirred()
    save_model(model, tmp_path / "m.pt", step=3)
    again, extra = load(tmp_path / "m.pt")
    sound = torch.randn(1, 2000)
    torch.testing.assert_close(again(sound)[0], model(sound)[0])
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


def spoken(seconds=2):
    """Bursts of a tone with overtones, like syllables [samples]."""
    t = torch.arange(seconds * 16000) / 16000
    tone = sum(torch.sin(2 * torch.pi * 150 * k * t) / k for k in range(1, 20))
    return 0.05 * tone * (torch.sin(2 * torch.pi * 3 * t) > -0.3)


@pytest.mark.parametrize("snr_db", [-5, 5, 20])
def test_intelligibility_is_that_of_the_reference_package(snr_db):
    torch.manual_seed(0)
    clean = spoken()
    noisy = clean + clean.std() * 10 ** (-snr_db / 20) * torch.randn(len(clean))
    expected = stoi(clean.numpy(), noisy.numpy(), 16000, extended=True)
    assert estoi(noisy[None], clean[None]).item() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("snr_db", "expected"), [(25, 1.179), (40, 1.997), (50, 2.723), (60, 3.636)]
)
def test_quality_is_that_of_the_reference_package(snr_db, expected):
    """What ``pesq`` 0.0.4 (wide band) says of these sounds."""
    torch.manual_seed(0)
    clean = spoken(4)
    noisy = clean + clean.std() * 10 ** (-snr_db / 20) * torch.randn(len(clean))
    found = wideband_pesq(perceptual_distance(noisy[None], clean[None])).item()
    assert found == pytest.approx(expected, abs=0.05)


def test_quality_ignores_level_and_has_a_gradient_everywhere():
    torch.manual_seed(0)
    speech, silence, noise = spoken(), torch.zeros(32000), 0.01 * torch.randn(32000)
    target = torch.stack([speech, speech, speech, 0.01 * speech, silence, silence])
    noisy = speech + noise
    estimate = torch.stack([speech, noisy, silence, 0.01 * noisy, noise, silence]).requires_grad_()
    lost = perceptual_distance(estimate, target)
    same, in_noise, removed, quieter, *without_speech = lost.tolist()
    assert same < 0.01
    assert min(in_noise, removed) > 3
    assert quieter == pytest.approx(in_noise, rel=1e-3)
    assert max(without_speech) < 0.01
    (gradient,) = torch.autograd.grad(lost.sum(), estimate)
    assert gradient.isfinite().all()


def test_what_is_missing_where_words_begin_and_end():
    word = 0.1 * torch.sin(2 * torch.pi * 300 * torch.arange(8000) / 16000)
    pause = torch.zeros(4800)
    target = torch.cat([pause, word, pause, word, pause])[None]
    late = target.clone()
    for start in (4800, 17600):
        late[:, start : start + 960] = 0.0
    hollow = target.clone()
    hollow[:, 4800 + 1600 : 4800 + 6400] = 0.0
    noisy = target + 0.02 * torch.randn(target.shape)
    lost = [edges_lost(sound, target).item() for sound in (target, noisy, hollow, late)]
    assert lost == pytest.approx([0, 0, 0, 0.5], abs=0.05)
    assert edges_lost(target[:, 4800:12800], target[:, 4800:12800]).item() == 0  # no edge


def test_readings_are_judged_by_the_truth():
    clean = torch.cat([torch.zeros(1, 16000), spoken(1)[None]], 1)
    noisy = clean + 0.01 * torch.randn(1, 32000)
    voice = torch.cat([torch.full((1, 125), -6.0), torch.full((1, 125), 6.0)], 1)
    right = torch.stack([voice, torch.full((1, 250), -40.0)], -1)
    wrong = torch.stack([-voice, torch.full((1, 250), -10.0)], -1)
    assert readings_loss(right, noisy, clean) < 0.6 * readings_loss(wrong, noisy, clean)
