import numpy as np
import pytest
from scipy.signal import lfilter

from resonance.dsp.bank import broad_bank, narrow_bank, wing_bank
from resonance.dsp.identity import (
    identity_and_span,
    identity_weights,
    onset_shares,
    response_matrix,
    translation,
)


def passed_snr_db(poles, weights, sound, tap=0.0):
    out = sum((w * lfilter([1], [1, -p], sound)).real for p, w in zip(poles, weights, strict=True))
    return 10 * np.log10(np.sum(sound**2) / np.sum((sound - out - tap * sound) ** 2))


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("samplerate", [8000, 16000, 32000, 44100, 48000, 96000])
def test_identity_weights_give_white_noise_back(samplerate, two_sided, rng):
    bank = broad_bank()
    wings = wing_bank(7600, samplerate)
    full = bank if wings is None else bank.joined(wings)
    carriers = np.ones(len(full), dtype=bool)
    identity, _ = identity_and_span(full, carriers, samplerate, len(bank), two_sided=two_sided)
    tap = identity[: len(bank)] @ onset_shares(bank, samplerate, two_sided=two_sided)
    sound = rng.standard_normal(8000)
    assert passed_snr_db(full.poles(samplerate), identity, sound, tap.real) > 60


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("samplerate", [22050, 32000, 48000, 96000])
def test_gains_answer_alike_at_every_samplerate(samplerate, two_sided, rng):
    """Up to a quarter of an octave below the top, for gains that differ from band to band."""
    bank, hz = broad_bank(), np.linspace(100, 5500, 200)
    gains = np.convolve(rng.random(len(bank) + 8), np.ones(9) / 9, "valid")
    levels = []
    for rate in (16000, samplerate):
        wings = wing_bank(7600, rate)
        full = bank if wings is None else bank.joined(wings)
        carriers = np.ones(len(full), dtype=bool)
        identity, _ = identity_and_span(full, carriers, rate, len(bank), two_sided=two_sided)
        weights = identity * np.pad(gains, (0, len(full) - len(bank)), constant_values=0.5)
        at_once = weights[: len(bank)] @ onset_shares(bank, rate, two_sided=two_sided)
        above, below = (full.transfer_function(f, rate) for f in (hz, -hz))
        response = 0.5 * (above @ weights + below.conj() @ weights.conj()) + at_once.real
        if two_sided:
            response = 2 * response.real - weights.real.sum() - at_once.real
        levels.append(20 * np.log10(np.abs(response)))
    assert np.abs(levels[1] - levels[0]).mean() < 0.5


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("samplerate", [8000, 11025, 12000])
def test_gains_do_the_same_at_lower_samplerates(samplerate, two_sided, rng):
    """Also where the oscillators above the Nyquist frequency rest."""
    bank = broad_bank()
    carriers = np.ones(len(bank), dtype=bool)
    hz = np.linspace(100, 0.45 * samplerate, 200)
    shaped = [np.convolve(rng.random(len(bank) + 8), np.ones(9) / 9, "valid") for _ in range(2)]
    wanted = np.concatenate([shaped[0] - 1, 0.3 * (shaped[1] - 0.5)])
    matrix = translation(bank, carriers, samplerate, two_sided=two_sided)
    changes = []
    for rate, gains in ((16000, wanted), (samplerate, matrix @ wanted)):
        _, span = identity_and_span(bank, carriers, rate, two_sided=two_sided)
        changes.append(response_matrix(bank, span, hz, rate, two_sided=two_sided) @ gains)
    one = np.ones_like(hz) if two_sided else np.repeat([1, 0], len(hz))
    there, here = (one + change for change in changes)
    assert np.sum((here - there) ** 2) < 0.01 * np.sum(there**2)


def test_gains_need_no_translation_at_the_models_samplerate_and_above():
    bank = broad_bank()
    carriers = np.ones(len(bank), dtype=bool)
    assert translation(bank, carriers, 16000).shape == (0, 0)
    assert translation(bank, carriers, 48000).shape == (0, 0)


def test_oscillators_that_do_not_carry_stay_silent():
    bank = broad_bank(32).joined(narrow_bank(16))
    carriers = np.arange(48) < 32
    identity, span = identity_and_span(bank, carriers, 16000)
    assert (identity[~carriers] == 0).all()
    np.testing.assert_allclose(span[carriers], identity[carriers])
    assert (span[~carriers].real > 0).all()


def test_prior_is_kept_where_the_sound_leaves_a_choice():
    """Two rates share weights, in units of the oscillators' own peaks."""
    bank = broad_bank()
    at16 = identity_weights(bank.poles(16000)) / (1 - np.abs(bank.poles(16000)))
    full = bank.joined(wing_bank(7600, 48000))
    identity, _ = identity_and_span(full, np.ones(len(full), bool), 48000, len(bank))
    at48 = (identity / (1 - np.abs(full.poles(48000))))[: len(bank)]
    assert np.linalg.norm(at48 - at16) < 0.05 * np.linalg.norm(at16)
