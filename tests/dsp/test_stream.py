import numpy as np
import pytest

from dsp.bank import broad_bank, narrow_bank
from dsp.stream import BankStream

BANK = broad_bank(64).joined(narrow_bank(32))
CARRIERS = np.arange(96) < 64


def play(samplerate, sound, gains=None):
    """Through a stream with the same gains in every hop."""
    stream = BankStream(BANK, samplerate, 0.008, carriers=CARRIERS, ramp_s=0.002)
    out, position = np.empty_like(sound), 0
    while position < len(sound):
        end = min(len(sound), position + stream.samples_left)
        stream.advance(sound[position:end], out[position:end])
        if stream.samples_left == 0:
            stream.next_hop(gains)
        position = end
    return out


@pytest.mark.parametrize("samplerate", [8000, 16000, 44100, 48000, 96000])
def test_gains_of_one_are_a_wire(samplerate, rng):
    sound = (0.2 * rng.standard_normal(samplerate)).astype(np.float32)
    out = play(samplerate, sound, np.ones(96, np.complex64))
    error = np.sum((out - sound) ** 2.0) / np.sum(sound**2.0)
    assert 10 * np.log10(error) < -60


@pytest.mark.parametrize("samplerate", [16000, 48000])
def test_an_impulse_comes_out_where_it_went_in(samplerate):
    sound = np.zeros(2000, np.float32)
    sound[700] = 1.0
    out = play(samplerate, sound)
    assert np.argmax(np.abs(out)) == 700
    assert out[700] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("samplerate", [16000, 48000])
def test_muted_carriers_are_silent_in_the_whole_band(samplerate, rng):
    sound = (0.2 * rng.standard_normal(samplerate)).astype(np.float32)
    out = play(samplerate, sound, np.where(CARRIERS, 0, 1).astype(np.complex64))
    settled = out[samplerate // 10 :]
    assert np.sqrt(np.mean(settled**2)) < 1e-3 * 0.2


def test_half_gain_is_half_the_sound_at_48_khz_too(rng):
    sound = (0.2 * rng.standard_normal(48000)).astype(np.float32)
    out = play(48000, sound, np.where(CARRIERS, 0.5, 1).astype(np.complex64))
    settled = slice(4800, None)
    error = out[settled] - 0.5 * sound[settled]
    assert np.sqrt(np.mean(error**2)) < 0.01 * 0.2


def test_weights_ramp_without_a_step(rng):
    """A tone muted within one hop has no jump larger than its own slope allows."""
    t = np.arange(1600) / 16000
    tone = (0.5 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)
    out = play(16000, tone, np.where(CARRIERS, 0, 1).astype(np.complex64))
    assert np.abs(np.diff(out)).max() < 1.5 * np.abs(np.diff(tone)).max()
