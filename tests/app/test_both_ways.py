"""Files of a preset that wants it are cleaned from both ends, in stretches that nobody notices."""

import json

import numpy as np
import pytest
import soundfile

from resonance import clean
from resonance.app import both_ways
from resonance.app.both_ways import BLOCK_S, BothWays
from resonance.app.files import denoise_file
from resonance.app.stretch_pipeline import StretchPipeline
from resonance.assets import DEMO


def sound(seconds, samplerate=16000, channels=1):
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * samplerate)) / samplerate
    tone = 0.2 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * 1.3 * t) > 0)
    noise = 0.05 * rng.standard_normal((len(t), channels))
    return (tone[:, None] + noise).astype(np.float32)


def forwards(model, noisy, samplerate=16000):
    """One way, by a stream that has heard the start in advance."""
    pipeline = StretchPipeline(samplerate, noisy.shape[1], denoiser=model)
    both_ways.warm_up(pipeline, noisy)
    late = pipeline.latency_samples
    padded = np.concatenate([noisy, np.zeros((late, noisy.shape[1]), np.float32)])
    out = np.empty_like(padded)
    pipeline.process(padded, out)
    return out[late:]


def cleaned_file(model, noisy, folder, samplerate=16000):
    soundfile.write(folder / "a.wav", noisy, samplerate, "FLOAT")
    denoise_file(
        folder / "a.wav",
        folder / "b.wav",
        lambda rate, channels: StretchPipeline(rate, channels, denoiser=model),
    )
    return soundfile.read(folder / "b.wav", dtype="float32", always_2d=True)[0]


def test_a_file_is_cleaned_in_both_directions(studio, tmp_path):
    noisy = sound(3.0, 48000, 2)
    backwards = forwards(studio, noisy[::-1], 48000)[::-1]
    wanted = both_ways.together(forwards(studio, noisy, 48000), backwards, 1536)
    np.testing.assert_allclose(cleaned_file(studio, noisy, tmp_path, 48000), wanted, atol=1e-6)


def test_the_mean_is_nowhere_louder_than_forwards():
    t = np.arange(16000) / 16000
    low, high = (0.1 * np.sin(2 * np.pi * hz * t).astype(np.float32)[:, None] for hz in (300, 3000))
    out = both_ways.together(low, low + high, 512)
    np.testing.assert_allclose(out[1000:-1000], low[1000:-1000], atol=1e-3)
    np.testing.assert_allclose(both_ways.together(high, high, 512), high, atol=1e-5)


def test_presets_of_calls_clean_files_as_they_clean_running_calls(denoiser, tmp_path):
    noisy = sound(1.0)
    np.testing.assert_array_equal(
        cleaned_file(denoiser, noisy, tmp_path), forwards(denoiser, noisy)
    )


@pytest.mark.parametrize("preset", ["live", "call", "studio"])
def test_a_word_cut_by_the_start_is_kept(preset, demo):
    """What goes before the start makes no word a part of the noise."""
    noisy, wanted, samplerate = demo
    for word in json.loads(DEMO.with_suffix(".json").read_text()):
        amid = round((word["start_s"] + word["end_s"]) / 2 * samplerate)
        out = clean(noisy[amid : amid + 2 * samplerate], samplerate, preset=preset)
        first = slice(0, samplerate // 10)
        voice = wanted[amid:][first]
        assert np.sum((out[first] - voice) ** 2) < 0.4 * np.sum(voice**2), word


@pytest.mark.parametrize("blocks", [[1000] * 100, [100_000], [7, 60_000, 39_993]])
def test_stretches_join_without_a_gap(studio, monkeypatch, blocks):
    """Nothing removed: what comes out is what went in, over many stretches."""
    monkeypatch.setattr(both_ways, "STRETCH_S", BLOCK_S)
    monkeypatch.setattr(both_ways, "LEAD_S", 0.1)
    noisy = sound(6.25)
    pipeline = StretchPipeline(16000, denoiser=studio, limit_db=0)
    parts = np.split(noisy, np.cumsum(blocks)[:-1])
    pairs = list(BothWays(pipeline).average((part, part.copy()) for part in parts))
    before, after = (np.concatenate(side) for side in zip(*pairs, strict=True))
    assert len(pairs) == 3
    np.testing.assert_array_equal(before, noisy)
    np.testing.assert_allclose(after, noisy, atol=2e-3)


def test_stretches_sound_like_one(studio, monkeypatch):
    """A stretch begun a little later in the sound after it makes the same of its own."""
    noisy = sound(9.0)
    whole = BothWays(StretchPipeline(16000, denoiser=studio))
    monkeypatch.setattr(both_ways, "STRETCH_S", BLOCK_S)
    parts = BothWays(StretchPipeline(16000, denoiser=studio))
    results = [
        np.concatenate([after for _, after in ways.average([(noisy, noisy)])])
        for ways in (whole, parts)
    ]
    difference = np.std(results[0] - results[1]) / np.std(results[0])
    assert difference < 0.05
