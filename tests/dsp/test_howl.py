"""Feedback is heard, voices are not."""

import numpy as np
import pytest

from resonance.app.pipeline import Pipeline
from resonance.dsp.howl import HowlDetector


def howls(denoiser, sound, samplerate):
    """Times [s] at which the detector fires."""
    pipeline = Pipeline(samplerate, denoiser=denoiser)
    detector = HowlDetector(denoiser.hop_s)
    hop = round(denoiser.hop_s * samplerate)
    found = []
    state = {"power": 0.0, "time": 0.0}

    def on_hop(stream, _):
        if detector.update(stream.contrast()[denoiser.carriers], state["power"]):
            found.append(state["time"])

    pipeline.on_hop = on_hop
    for start in range(0, len(sound) - hop + 1, hop):
        block = sound[start : start + hop]
        state.update(power=float(np.mean(block**2)), time=start / samplerate)
        pipeline.process(block, np.empty_like(block))
    return found


@pytest.mark.parametrize("f0_hz", [250.0, 1000.0, 3100.0])
def test_a_steady_loud_tone_howls_within_half_a_second(denoiser, rng, f0_hz):
    t = np.arange(48000) / 48000
    tone = 0.4 * np.sin(2 * np.pi * f0_hz * t) + 0.01 * rng.standard_normal(len(t))
    found = howls(denoiser, tone.astype(np.float32), 48000)
    assert found
    assert found[0] < 0.5


def test_speech_noise_and_soft_tones_do_not_howl(denoiser, demo, rng):
    noisy, clean, samplerate = demo
    loud = clean / np.abs(clean).max()
    assert howls(denoiser, loud, samplerate) == []
    assert howls(denoiser, noisy / np.abs(noisy).max(), samplerate) == []
    hiss = (0.3 * rng.standard_normal(48000)).astype(np.float32)
    assert howls(denoiser, hiss, 48000) == []
    soft = (0.02 * np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)).astype(np.float32)
    assert howls(denoiser, soft, 48000) == []
