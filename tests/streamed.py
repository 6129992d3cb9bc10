"""What a stream makes of a whole sound."""

import numpy as np

from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline


def streamed(sound, samplerate, preset):
    """``sound`` cleaned by a stream from rest, its look-ahead taken back."""
    channels = sound.reshape(len(sound), -1)
    pipeline = Pipeline(samplerate, channels.shape[1], denoiser=DenoiserModel.preset(preset))
    late = np.zeros((pipeline.latency_samples, channels.shape[1]), np.float32)
    out = np.empty((len(late) + len(sound), channels.shape[1]), np.float32)
    pipeline.process(np.concatenate([channels, late]), out)
    return out[len(late) :].reshape(sound.shape)
