import numpy as np
import pytest

from resonance.dsp.bank import broad_bank, narrow_bank
from resonance.dsp.stream import BankStream

BANK = broad_bank(64).joined(narrow_bank(32))
CARRIERS = np.arange(96) < 64


def play(samplerate, sound, gains=None, lookahead_s=0.0):
    """Through a stream with the same gains in every hop."""
    stream = BankStream(
        BANK, samplerate, 0.008, carriers=CARRIERS, ramp_s=0.002, lookahead_s=lookahead_s
    )
    out, position = np.empty_like(sound), 0
    while position < len(sound):
        end = min(len(sound), position + stream.samples_left)
        stream.advance(sound[position:end], out[position:end])
        if stream.samples_left == 0:
            stream.next_part(gains)
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


@pytest.mark.parametrize("samplerate", [16000, 44100])
def test_lookahead_plays_later_but_hears_now(samplerate, rng):
    sound = (0.1 * rng.standard_normal(samplerate // 2)).astype(np.float32)
    late = round(0.02 * samplerate)
    at_once, later = play(samplerate, sound), play(samplerate, sound, lookahead_s=0.02)
    np.testing.assert_allclose(later[late:], at_once[:-late], atol=1e-4)
    assert np.abs(later[:late]).max() < 1e-4
    streams = [
        BankStream(BANK, samplerate, 0.008, carriers=CARRIERS, lookahead_s=s) for s in (0, 0.02)
    ]
    for stream in streams:
        part = sound[: stream.samples_left]
        stream.advance(part, np.empty_like(part))
    np.testing.assert_array_equal(streams[0].features(), streams[1].features())


@pytest.mark.parametrize("at", [1600, 1670])  # where a hop begins, and within one
def test_with_lookahead_a_resonance_turns_no_phase(at):
    """Emphasised or not, the answer to an impulse is as long before it as after it."""
    sound = np.zeros(4000, np.float32)
    sound[at] = 1.0
    gains = np.ones(96, np.complex64)
    gains[20] = 3.0
    out = play(16000, sound, gains, lookahead_s=0.02)
    peak = at + 320
    after, before = out[peak : peak + 150], out[peak - 149 : peak + 1][::-1]
    assert np.abs(after[1:]).max() > 0.003
    np.testing.assert_allclose(before, after, atol=2e-4)


def test_a_lookahead_shorter_than_a_hop_is_refused():
    with pytest.raises(ValueError, match="shorter than a part of a hop"):
        BankStream(BANK, 16000, 0.008, carriers=CARRIERS, lookahead_s=0.004)


@pytest.mark.parametrize("samplerate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_lookahead_of_one_hop_works_at_every_samplerate_if_a_hop_has_parts(samplerate):
    """A hop of 8 ms may last 176 or 177 samples; the look-ahead is 176 of them."""
    sound = np.random.default_rng(0).standard_normal(samplerate // 2).astype(np.float32)
    bank = BankStream(BANK, samplerate, 0.008, carriers=CARRIERS, lookahead_s=0.008, parts=2)
    out, start = np.empty_like(sound), 0
    while start < len(sound):
        stop = min(len(sound), start + bank.samples_left)
        bank.advance(sound[start:stop], out[start:stop])
        if not bank.samples_left:
            bank.next_part()
        start = stop
    late = bank.latency_samples
    error = out[late:] - sound[:-late]
    assert 10 * np.log10(np.sum(error**2) / np.sum(sound**2)) < -40
