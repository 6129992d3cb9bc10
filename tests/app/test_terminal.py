"""What a terminal shows while live sound runs."""

import io
from types import SimpleNamespace

import numpy as np
from app.terminal import LiveView
from rich.console import Console

from app.live import LiveCounters
from app.pipeline import Pipeline
from dsp.meters import LevelMeter


def shown(stream):
    page = io.StringIO()
    Console(file=page, width=100).print(LiveView(stream))
    return page.getvalue()


def test_levels_reduction_voice_and_health_are_shown(denoiser, spotter, demo):
    noisy, _, samplerate = demo
    pipeline = Pipeline(samplerate, denoiser=denoiser, spotter=spotter)
    levels = LevelMeter(samplerate), LevelMeter(samplerate)
    counters = LiveCounters(blocks=200, busy_s=0.1, sound_s=2.0)
    stream = SimpleNamespace(pipeline=pipeline, counters=counters, levels=levels)
    assert "-120.0 dB" in shown(stream)
    out = np.empty_like(noisy)
    pipeline.process(noisy, out)
    levels[0].update(np.full(samplerate, 0.1, np.float32))
    levels[1].update(np.full(samplerate, 0.01, np.float32))
    text = shown(stream)
    assert "in       " in text
    assert "-20" in text
    assert "-40" in text
    assert "removed" in text
    assert "20.0 dB" in text
    assert "load 5.0 % of a core, 0 of 200 blocks lost, 0 late" in text
    assert f"noise {pipeline.noise_dbfs:.0f} dB" in text
