"""Sound in an array: clean it, find its keywords. For notebooks and scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.app.errors import UserError
from resonance.app.files import FileRun
from resonance.app.pipeline_factory import PipelineFactory
from resonance.app.presets import FILE_PRESET
from resonance.app.spotter import KeywordEvent, Sensitivity
from resonance.app.stretch_pipeline import BLOCK_S, StretchPipeline
from resonance.dsp.arrays import Float32Array

_factory = PipelineFactory()

#: More columns than these are taken for samples.
MOST_CHANNELS = 64


def clean(
    array: NDArray[Any],
    samplerate: float,
    *,
    preset: str = FILE_PRESET,
    limit_db: float | None = None,
) -> Float32Array:
    """Clean a whole recording; nothing in it moves, and its loudness stays.

    The samples are those of :func:`~resonance.app.files.denoise_file`.

    Parameters
    ----------
    array
        Sound of full scale 1 as floats, or integers of full scale (int16, int32 …),
        [samples] or [samples, channels].
    samplerate
        In Hz, 4000 to 192000.
    preset
        Model: ``studio``, ``call`` or ``live``.
    limit_db
        Largest attenuation, dB; None: no limit.

    Returns
    -------
    float32 array
        Of the same shape, of full scale 1.

    Raises
    ------
    UserError
        If the array is not sound of at most 64 channels, [samples, channels], or samplerate,
        preset or limit make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> from resonance import clean
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
    columns = sound.reshape(len(sound), -1)
    pipeline = _factory.make(
        samplerate, columns.shape[1], kind=StretchPipeline, preset=preset, limit_db=limit_db
    )
    cleaned = [after for _, after in FileRun(pipeline).clean(_blocks(columns, samplerate))]
    return np.concatenate(cleaned or [columns]).reshape(sound.shape)


def spot(
    array: NDArray[Any], samplerate: float, *, false_accepts_per_hour: float = 1.0
) -> list[KeywordEvent]:
    """Find the keywords in a whole recording.

    Parameters
    ----------
    array
        Sound as :func:`clean` takes it, [samples] or [samples, channels]; all channels are
        listened to together.
    samplerate
        In Hz, 4000 to 192000.
    false_accepts_per_hour
        How often each word may be reported wrongly in an hour of running speech.

    Returns
    -------
    list of KeywordEvent
        ``time_s`` (end of the word, from the start of the array), ``keyword``, ``score`` (0 … 1).

    Raises
    ------
    UserError
        If the array is not sound as :func:`clean` takes it, or samplerate or rate make no sense.

    Examples
    --------
    >>> import soundfile
    >>> from resonance import spot
    >>> from resonance.assets import DEMO
    >>> sound, samplerate = soundfile.read(DEMO)
    >>> [event.keyword for event in spot(sound, samplerate)]
    ['no', 'left', 'yes', 'right']
    """
    sound = _floats(array)
    columns = sound.reshape(len(sound), -1)
    pipeline = _factory.make_spotting(
        samplerate, columns.shape[1], sensitivity=Sensitivity(false_accepts_per_hour)
    )
    end_s, silence = len(columns) / samplerate, np.zeros((round(samplerate), columns.shape[1]))
    padded = np.concatenate([columns, np.asarray(silence, np.float32)])
    events = [
        event
        for block in _blocks(padded, samplerate)
        for event in pipeline.process(block, np.empty_like(block))
    ]
    return [replace(event, time_s=min(event.time_s, round(end_s, 3))) for event in events]


def _blocks(columns: Float32Array, samplerate: float) -> Iterator[Float32Array]:
    """The sound [samples, channels] in long blocks."""
    size = max(1, round(BLOCK_S * samplerate))
    return (columns[start : start + size] for start in range(0, len(columns), size))


def _floats(array: NDArray[Any]) -> Float32Array:
    sound = np.asarray(array)
    if sound.ndim not in (1, 2) or (sound.ndim == 2 and not sound.shape[1]):
        raise UserError(f"the array is {sound.shape}; give [samples] or [samples, channels]")
    if sound.ndim == 2 and (sound.shape[1] > len(sound) or sound.shape[1] > MOST_CHANNELS):
        raise UserError(
            f"the array is {sound.shape}, that is {sound.shape[1]} channels of {len(sound)} "
            "samples; if it is [channels, samples], give its transpose, array.T"
        )
    if sound.dtype.kind == "i":
        return np.asarray(sound / -float(np.iinfo(sound.dtype).min), np.float32)
    if sound.dtype.kind != "f":
        raise UserError(f"the array is {sound.dtype}; give floats of full scale 1, or integers")
    return np.asarray(sound, np.float32)
