import numpy as np
import pytest

from resonance.dsp.bank import broad_bank, narrow_bank
from resonance.dsp.contrast import neighbour_weights, pair_of
from resonance.dsp.identity import unit_peak

BANK = broad_bank(32).joined(narrow_bank(16))
CARRIERS = np.arange(48) < 32


def responses(samplerate, hz):
    """Of single oscillators at unit peak, and of the differences [frequencies, oscillators]."""
    alone = BANK.transfer_function(np.atleast_1d(hz), samplerate)
    own, following = neighbour_weights(BANK, CARRIERS, samplerate)
    between = own * alone[:, :-1] - following * alone[:, 1:]
    return np.abs(alone * unit_peak(BANK.poles(samplerate))), np.abs(between)


@pytest.mark.parametrize("samplerate", [16000, 48000])
def test_a_difference_hears_what_lies_between_and_little_from_afar(samplerate):
    pair = 24  # about 4 kHz
    hz = np.linspace(BANK.f0_hz[pair] * 0.8, BANK.f0_hz[pair + 1] * 1.2, 400)
    assert responses(samplerate, hz)[1][:, pair].max() == pytest.approx(1, abs=0.02)
    alone, between = responses(samplerate, 300.0)
    assert 20 * np.log10(between[0, pair] / alone[0, pair]) < -15
    assert responses(samplerate, 0.0)[1].max() < 1e-9


def test_groups_do_not_mix_and_resting_oscillators_take_no_part():
    own, _ = neighbour_weights(BANK, CARRIERS, 16000)
    assert own[31] == 0
    assert np.count_nonzero(own) == 46
    pairs = pair_of(CARRIERS, BANK.awake(16000))
    assert list(np.flatnonzero(pairs != np.arange(48))) == [31, 47]
    assert (pairs[31], pairs[47]) == (30, 46)
    own, following = neighbour_weights(BANK, CARRIERS, 8000)
    resting = np.flatnonzero(~BANK.awake(8000))
    assert not own[resting[resting < 47]].any()
    assert not following[resting[0] - 1].any()
    assert pair_of(CARRIERS, BANK.awake(8000))[resting[0] - 1] == resting[0] - 2
