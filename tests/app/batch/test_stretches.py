"""Batch and streaming give the same samples."""

import numpy as np
import pytest

from resonance.app.pipeline import Pipeline
from resonance.app.stretch_pipeline import StretchPipeline

#: Largest difference allowed, in parts of full scale. On the machines tried it was 0; other
#: processors may join multiplications and additions elsewhere.
TOLERANCE = 1e-6


def sound(samplerate, seconds=3.3, channels=1):
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * samplerate))[:, None] / samplerate
    tone = 0.3 * np.sin(2 * np.pi * (180 + 40 * np.sin(3 * t)) * t) * (np.sin(9 * t) > 0)
    noise = 0.05 * rng.standard_normal((len(t), channels))
    return (tone + noise * (t < 2.5)).astype(np.float32)


def cleaned(pipeline, block, sizes):
    out, events, start = np.empty_like(block), [], 0
    while start < len(block):
        stop = start + sizes[start % len(sizes)]
        events += pipeline.process(block[start:stop], out[start:stop])
        start = stop
    return out, events


@pytest.mark.parametrize("samplerate", [8000, 15625, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("preset", ["denoiser", "studio"])
def test_a_stretch_gives_the_samples_of_the_stream(request, preset, samplerate):
    model = request.getfixturevalue(preset)
    noisy = sound(samplerate)
    stream, _ = cleaned(Pipeline(samplerate, denoiser=model), noisy, [480])
    for sizes in ([len(noisy)], [7919, 31, 20011, 1]):
        batch, _ = cleaned(StretchPipeline(samplerate, denoiser=model), noisy, sizes)
        np.testing.assert_allclose(batch, stream, rtol=0, atol=TOLERANCE)


def test_channels_limit_keywords_and_readings_are_the_same(studio, spotter, demo):
    noisy, clean, samplerate = demo
    both = np.stack([noisy, clean], axis=1)
    parts = {"denoiser": studio, "spotter": spotter, "limit_db": 9.0}
    pipelines = [kind(samplerate, 2, **parts) for kind in (Pipeline, StretchPipeline)]
    (stream, expected), (batch, found) = (
        cleaned(pipeline, both, [size])
        for pipeline, size in zip(pipelines, (441, 56448), strict=True)
    )
    np.testing.assert_allclose(batch, stream, rtol=0, atol=TOLERANCE)
    assert found == expected
    assert len(found) >= 3
    assert pipelines[0].voice == pytest.approx(pipelines[1].voice)
    assert pipelines[0].noise_dbfs == pytest.approx(pipelines[1].noise_dbfs)


def test_bad_samples_are_counted_and_reset_forgets(denoiser):
    noisy = sound(16000)
    poisoned = noisy.copy()
    poisoned[[10, 4000], 0] = [np.nan, np.inf]
    pipeline = StretchPipeline(16000, denoiser=denoiser)
    out, _ = cleaned(pipeline, poisoned, [len(noisy)])
    assert np.isfinite(out).all()
    assert pipeline.bad_samples == 2
    pipeline.reset()
    again, _ = cleaned(pipeline, noisy, [len(noisy)])
    fresh, _ = cleaned(StretchPipeline(16000, denoiser=denoiser), noisy, [len(noisy)])
    np.testing.assert_array_equal(again, fresh)
