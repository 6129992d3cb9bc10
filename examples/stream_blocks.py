"""Clean sound block by block, as it comes from a microphone: python examples/stream_blocks.py."""

import numpy as np
import soundfile

from resonance import DenoiserModel, Pipeline, SpotterModel
from resonance.assets import DEMO

noisy, samplerate = soundfile.read(DEMO, dtype="float32")
pipeline = Pipeline(samplerate, denoiser=DenoiserModel.preset("live"), spotter=SpotterModel())
print(f"latency: {pipeline.latency_samples} samples")

block = samplerate // 100  # 10 ms; any length will do
cleaned = np.empty_like(noisy)
for start in range(0, len(noisy), block):
    if start >= 5 * samplerate:
        pipeline.limit_db = 12  # from here on at most 12 dB quieter
    part = slice(start, start + block)
    for event in pipeline.process(noisy[part], cleaned[part]):
        print(f"{event.time_s:6.2f} s  {event.keyword}")
print(f"voice {pipeline.voice:.2f}, noise {pipeline.noise_dbfs:.0f} dBFS")
