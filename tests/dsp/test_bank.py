import numpy as np
import pytest

from resonance.dsp.bank import (
    OscillatorBank,
    broad_bank,
    erb_to_hz,
    hz_to_erb,
    narrow_bank,
    wing_bank,
)
from tests.dsp import oracle

SAMPLERATES = (8000, 16000, 44100, 48000, 96000)


def test_complex_pole_is_the_damped_oscillator(rng):
    """λ^n carries velocity (real part) and position (imaginary part) of x'' + 2γx' + ω0²x = F."""
    bank = OscillatorBank([440.0], [0.07])
    kicks = rng.standard_normal(400)
    z = oracle.states(kicks, bank.poles(16000))[:, 0]
    state = oracle.newton(kicks, 440.0, 0.07, 16000)
    wd = 2 * np.pi * bank.damped_hz[0] / 16000
    decay = 2 * np.pi * bank.decay_hz[0] / 16000
    np.testing.assert_allclose(z.imag / wd, state[:, 0], atol=1e-11)
    np.testing.assert_allclose(z.real - decay / wd * z.imag, state[:, 1], atol=1e-12)


@pytest.mark.parametrize("samplerate", SAMPLERATES)
def test_poles_are_stable_and_ring_as_long_as_promised(samplerate):
    bank = broad_bank().joined(narrow_bank())
    assert (np.abs(bank.poles(samplerate)) < 1).all()
    after = np.abs(bank.poles(samplerate)) ** (bank.ring_time_s * samplerate)
    np.testing.assert_allclose(20 * np.log10(after), -60.0, atol=1e-6)


def test_tone_rings_its_own_oscillator_most():
    bank = narrow_bank(64, 100, 4000)
    t = np.arange(16000) / 16000
    for k in (3, 30, 60):
        tone = np.cos(2 * np.pi * bank.damped_hz[k] * t)
        level = np.abs(oracle.states(tone, bank.poles(16000))[-1]) * (1 - np.abs(bank.poles(16000)))
        assert np.argmax(level) == k
        assert level[k] == pytest.approx(0.5, rel=0.05)  # a real tone is half of e^{iωt}


def test_transfer_function_is_the_spectrum_of_the_impulse_response():
    bank = broad_bank(8)
    response = bank.impulse_response(1 << 15, 16000)
    hz = np.fft.fftfreq(1 << 15, 1 / 16000)[:: 1 << 8]
    expected = np.fft.fft(response, axis=0)[:: 1 << 8]
    np.testing.assert_allclose(bank.transfer_function(hz, 16000), expected, rtol=1e-6)
    assert (response[0] == 1).all()


def test_erb_scale_goes_there_and_back():
    hz = np.array([20.0, 440.0, 8000.0])
    np.testing.assert_allclose(erb_to_hz(hz_to_erb(hz)), hz)


def test_wings_fill_what_the_samplerate_offers():
    assert wing_bank(7600, 16000) is None
    wings = wing_bank(7600, 48000)
    assert wings.f0_hz[0] > 7600
    assert 20000 < wings.f0_hz[-1] < 24000
    assert wings.awake(48000).all()


@pytest.mark.parametrize(
    ("f0_hz", "damping_ratio", "word"),
    [
        ([440.0], [1.2], "damping_ratio"),
        ([-1.0], [0.1], "f0_hz"),
        ([1.0, 2.0], [0.1], "equal length"),
        ([np.nan], [0.1], "finite"),
        ([], [], "empty"),
    ],
)
def test_impossible_banks_are_refused_with_the_value(f0_hz, damping_ratio, word):
    with pytest.raises(ValueError, match=word):
        OscillatorBank(np.array(f0_hz), np.array(damping_ratio))
