"""The bank on signals that are no sound."""

import numpy as np

from resonance.dsp.bank import broad_bank
from resonance.lab import other_frequencies as other


def test_a_moved_bank_has_the_same_poles():
    bank = broad_bank()
    moved = other.moved(bank, 2_400_000).poles(2_400_000)
    np.testing.assert_allclose(moved, bank.poles(16000), atol=1e-12)


def test_an_oscillator_is_1_for_a_unit_tone_at_its_peak():
    bank = other.tone_pair()
    tone = np.sin(2 * np.pi * bank.damped_hz[0] / other.RADIO_HZ * np.arange(20000))
    assert abs(other.listen(tone, bank, other.RADIO_HZ)[0, -1] - 1.0) < 0.05


def test_bits_come_back():
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, 20)
    amplitudes = other.listen(other.radio(rng, bits, 0.0), other.tone_pair(), other.RADIO_HZ)
    np.testing.assert_array_equal(other.read_bits(amplitudes), bits)
