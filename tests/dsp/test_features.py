import numpy as np
import pytest

from resonance.dsp.bank import broad_bank, narrow_bank
from resonance.dsp.features import SILENT_POWER, band_pooling, hop_edges, log_power
from resonance.dsp.stream import BankStream

HOP_S = 0.008


def features_of(bank, sound, samplerate, hops):
    stream = BankStream(bank, samplerate, HOP_S)
    features, position = [], 0
    for _ in range(hops):
        end = position + stream.samples_left
        stream.listen(sound[position:end].astype(np.float32))
        features.append(stream.features()[0])
        stream.next_part()
        position = end
    return np.stack(features)


@pytest.mark.parametrize("samplerate", [8000, 16000, 44100, 48000])
def test_level_reads_the_same_at_every_samplerate(samplerate):
    bank = broad_bank(16, 100, 3000)
    t = np.arange(samplerate) / samplerate
    level = features_of(bank, 0.3 * np.sin(2 * np.pi * 700 * t), samplerate, 60)[-1, :, 0]
    reference = features_of(
        bank, 0.3 * np.sin(2 * np.pi * 700 * np.arange(16000) / 16000), 16000, 60
    )
    near = np.abs(bank.f0_hz - 700) < 400
    np.testing.assert_allclose(level[near], reference[-1, near, 0], atol=0.05)


def test_phase_turns_by_the_detuning():
    """An oscillator driven above its own frequency is found ahead, below it behind."""
    bank = narrow_bank(3, 900, 1100, 30)
    t = np.arange(16000) / 16000
    last = features_of(bank, np.sin(2 * np.pi * 1010 * t), 16000, 120)[-1]
    expected = np.exp(2j * np.pi * HOP_S * (1010 - bank.damped_hz))
    np.testing.assert_allclose(last[:, 2] + 1j * last[:, 3], expected, atol=0.1)


def test_silence_has_no_phase():
    silent = features_of(broad_bank(8), np.zeros(4000), 16000, 20)[-1]
    np.testing.assert_allclose(silent[:, :2], log_power(0.0, floor=SILENT_POWER), atol=1e-3)
    np.testing.assert_allclose(silent[:, 2:], 0, atol=1e-3)


def test_pooling_averages():
    pooling = band_pooling(broad_bank())
    assert pooling.shape == (40, 64)
    np.testing.assert_allclose(pooling.sum(axis=1), 1)
    assert (np.diff(pooling.argmax(axis=1)) >= 0).all()


def test_hops_keep_time_at_rates_they_do_not_divide():
    edges = hop_edges(1000, HOP_S, 44100)
    assert set(np.diff(edges)) == {352, 353}
    assert edges[-1] == 8 * 44100
