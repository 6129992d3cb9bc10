"""Sound in an array, cleaned: for notebooks and scripts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.batch.pipeline import BLOCK_S, StretchPipeline
from app.errors import UserError
from app.sessions import DenoiserModel, Float32Array


def clean(
    array: NDArray[Any], samplerate: float, *, preset: str = "studio", limit_db: float | None = None
) -> Float32Array:
    """Clean a whole recording; nothing in it moves, and its loudness stays.

    The samples are those that :class:`app.pipeline.Pipeline` streams, its look-ahead taken back.

    Parameters
    ----------
    array
        Sound of full scale 1 as floats, or integers of full scale (int16, int32 …),
        [samples] or [samples, channels].
    samplerate
        In Hz, 4000 to 192000.
    preset
        Model: ``studio``, or ``live``.
    limit_db
        Largest attenuation, dB; None: no limit.

    Returns
    -------
    float32 array of the same shape, of full scale 1.

    Raises
    ------
    UserError
        If the array is no sound, or samplerate, preset or limit make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> from app.clean import clean
    >>> rng = np.random.default_rng(0)
    >>> hiss = 0.1 * rng.standard_normal(48000)
    >>> cleaned = clean(hiss, 16000)
    >>> cleaned.shape, cleaned.dtype
    ((48000,), dtype('float32'))
    >>> bool(np.std(cleaned[16000:]) < 0.1 * np.std(hiss[16000:]))
    True

    At most 6 dB quieter, two channels, from 16-bit integers:

    >>> stereo = (32767 * np.stack([hiss, hiss[::-1]], axis=1)).astype(np.int16)
    >>> gentle = clean(stereo, 16000, preset="live", limit_db=6)
    >>> gentle.shape
    (48000, 2)
    >>> round(20 * float(np.log10(np.std(gentle[16000:]) / np.std(hiss[16000:]))))
    -6
    """
    sound = _floats(array)
    columns = sound[:, None] if sound.ndim == 1 else sound
    pipeline = StretchPipeline(
        samplerate, columns.shape[1], denoiser=_model(preset), limit_db=limit_db
    )
    late = pipeline.latency_samples
    heard = np.concatenate([columns, np.zeros((late, columns.shape[1]), np.float32)])
    out, size = np.empty_like(heard), max(1, round(BLOCK_S * samplerate))
    for start in range(0, len(heard), size):
        pipeline.process(heard[start : start + size], out[start : start + size])
    return out[late:].reshape(sound.shape)


@functools.cache
def _model(preset: str) -> DenoiserModel:
    return DenoiserModel.preset(preset)


def _floats(array: NDArray[Any]) -> Float32Array:
    sound = np.asarray(array)
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and not sound.shape[1]):
        raise UserError(f"the array is {sound.shape}; give [samples] or [samples, channels]")
    if sound.dtype.kind == "i":
        return np.asarray(sound / -float(np.iinfo(sound.dtype).min), np.float32)
    if sound.dtype.kind != "f":
        raise UserError(f"the array is {sound.dtype}; give floats of full scale 1, or integers")
    return np.asarray(sound, np.float32)
