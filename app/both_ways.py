"""Recordings cleaned from both ends: nobody waits for a file, so time may run backwards, too.

A denoiser knows the past and a little of the future. On sound played backwards the same one knows
the future and a little of the past. Much of what either gets wrong, the other does not: a mean of
both is nearer to the clean sound than either. And a recording may begin amid a word: before its
start, each has heard half a second of it already.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from resonance.app.pipeline import Pipeline
from resonance.app.stretch_pipeline import BLOCK_S, StretchPipeline
from resonance.dsp.arrays import Float32Array

#: A block of sound before and after cleaning, aligned, each [samples, channels].
Pair = tuple[Float32Array, Float32Array]

#: Recordings run backwards in stretches, so that their length costs no memory. Each run begins in
#: the sound after its stretch, to know what follows, and fades over to the next one.
STRETCH_S, LEAD_S, FADE_S = 12 * BLOCK_S, BLOCK_S, 0.03
#: Share of what was cleaned forwards, as the model learned to; window of the comparison, s.
FORWARDS, WINDOW_S = 0.55, 0.032
#: How much is heard before a start, s.
WARM_UP_S = 0.5
#: Many channels make shorter stretches: this many samples of all channels are kept, about.
MOST_KEPT = 1 << 22


def warm_up(pipeline: Pipeline, sound: Float32Array) -> None:
    """Let a pipeline at rest hear the start of ``sound [samples, channels]`` in advance.

    Its end fades over to the first moment played backwards, so that the start follows smoothly.
    """
    fade = round(FADE_S * pipeline.samplerate)
    start = sound[: round(WARM_UP_S * pipeline.samplerate)]
    if len(start) > 2 * fade:
        share = np.linspace(0.0, 1.0, fade, dtype=np.float32)[:, None]
        turn = start[-fade:] + share * (sound[1 : fade + 1][::-1] - start[-fade:])
        pipeline.warm_up(np.concatenate([start[:-fade], turn]))


class BothWays:
    """Averages sound cleaned forwards with the same cleaned backwards.

    Parameters
    ----------
    pipeline
        What cleans it forwards; a second one with its denoiser and its limit runs backwards.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.busy_s = 0.0  #: spent running backwards
        self._pipeline = StretchPipeline(
            pipeline.samplerate,
            pipeline.channels,
            denoiser=pipeline.denoiser,
            limit_db=pipeline.limit_db,
        )
        self._block, stretch, self._lead, fade = (
            round(seconds * pipeline.samplerate) for seconds in (BLOCK_S, STRETCH_S, LEAD_S, FADE_S)
        )
        self._window = 4 * round(WINDOW_S * pipeline.samplerate / 4)
        room = MOST_KEPT // pipeline.channels - self._lead
        self._stretch = max(self._block, min(stretch, room))
        self._fade = np.linspace(0.0, 1.0, fade, dtype=np.float32)[:, None]
        self._before = np.empty((0, pipeline.channels), np.float32)
        self._after = self._before
        #: Start of what is kept, as the last stretch left it.
        self._left = self._before

    def average(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The same sound cleaned both ways, in blocks of other lengths, up to 33 s later.

        Parameters
        ----------
        pairs
            Blocks of any length, before and after cleaning forwards.

        Yields
        ------
        tuple of ndarray
            Before and after cleaning both ways, each [samples, channels].
        """
        for before, after in pairs:
            self._before = np.concatenate([self._before, before])
            self._after = np.concatenate([self._after, after])
            while len(self._before) >= self._stretch + self._lead:
                yield self._averaged(self._stretch)
        if len(self._before):
            yield self._averaged(len(self._before))

    def _averaged(self, count: int) -> Pair:
        """The first samples of what is kept; they are let go."""
        out = together(self._after, self._backwards(self._before), self._window)
        fading = min(len(self._left), len(out))
        share, left = self._fade[:fading], self._left[:fading]
        out[:fading] = left + share * (out[:fading] - left)
        pair = self._before[:count], out[:count]
        self._left = out[count : count + len(self._fade)]
        self._before, self._after = self._before[count:], self._after[count:]
        return pair

    def _backwards(self, sound: Float32Array) -> Float32Array:
        """Sound [samples, channels] cleaned from its end to its start."""
        begin = time.perf_counter()
        self._pipeline.reset()
        late = self._pipeline.latency_samples
        warm_up(self._pipeline, sound[::-1])
        reversed_sound = np.concatenate([sound[::-1], np.zeros((late, sound.shape[1]), np.float32)])
        out = np.empty_like(reversed_sound)
        for start in range(0, len(out), self._block):
            part = slice(start, start + self._block)
            self._pipeline.process(reversed_sound[part], out[part])
        self.busy_s += time.perf_counter() - begin
        return np.ascontiguousarray(out[late:][::-1])


def together(forwards: Float32Array, backwards: Float32Array, window: int) -> Float32Array:
    """The mean of both, nowhere in time and frequency louder than ``forwards``.

    Where one run found nothing to keep, the other's doubts would be heard as noise.

    Parameters
    ----------
    forwards, backwards
        The same sound, cleaned either way [samples, channels].
    window
        Samples looked at together, a multiple of 4.

    Returns
    -------
    ndarray
        [samples, channels].
    """
    mean = backwards + np.float32(FORWARDS) * (forwards - backwards)
    for channel in range(mean.shape[1]):
        ours, most = (_spectra(sound[:, channel], window) for sound in (mean, forwards))
        ours *= np.minimum(1.0, np.abs(most) / (np.abs(ours) + 1e-12))
        mean[:, channel] = _sound(ours, window)[: len(mean)]
    return mean


def _spectra(sound: Float32Array, window: int) -> NDArray[np.complex64]:
    """Spectra of overlapping windows [windows, bins]."""
    padded = np.pad(sound, (window, 2 * window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.fft.rfft(frames * shape.astype(np.float32)).astype(np.complex64, copy=False)


def _sound(spectra: NDArray[np.complex64], window: int) -> Float32Array:
    """The sound whose :func:`_spectra` they are, and some more."""
    hop = window // 4
    frames = np.fft.irfft(spectra, window)
    out = np.zeros((len(frames) + 3) * hop, np.float32)
    for first in range(4):  # windows next to each other do not overlap
        part = frames[first::4].reshape(-1)
        out[first * hop : first * hop + len(part)] += part
    return 0.5 * out[window:]
