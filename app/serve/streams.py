"""Clients' sound through pipelines: a bounded number of streams on a few threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from resonance.app.files import TAIL_S
from resonance.app.pipeline import Pipeline
from resonance.app.serve.limits import PIECE_BYTES, BusyError, Limits
from resonance.app.serve.models import Models
from resonance.app.serve.pcm import Format
from resonance.app.spotter import KeywordEvent
from resonance.dsp.arrays import Float32Array

#: Keywords that may wait for a slow listener; the oldest are dropped.
WAITING = 256

Result = TypeVar("Result")
#: Cleaned bytes, and keywords.
Output = tuple[bytes, list[KeywordEvent]]


class ClientSound:
    """One stream's sound: bytes in, as many cleaned bytes and the keywords out."""

    def __init__(self, pipeline: Pipeline, form: Format) -> None:
        self._pipeline, self._form = pipeline, form
        self._rest = b""  # of a frame whose other bytes are still to come
        self._samples = 0
        self._late = pipeline.latency_samples  # left out at the start, so that nothing moves

    def process(self, pcm: bytes) -> Output:
        """Process bytes; without a denoiser none come back."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self._form.frame_bytes
        self._rest = pcm[whole:]
        sound = self._form.floats(pcm[:whole])
        self._samples += len(sound)
        return self._through(sound)

    def end(self) -> Output:
        """What a look-ahead still holds, and words at the very end."""
        late = self._pipeline.latency_samples
        tail = round(TAIL_S * self._form.samplerate) if self._pipeline.spotter else 0
        silence = np.zeros((max(late, tail), self._form.channels), np.float32)
        cleaned, events = self._through(silence)
        return cleaned[: late * self._form.frame_bytes], events

    def _through(self, sound: Float32Array) -> Output:
        out = np.empty_like(sound) if self._pipeline.denoiser else None
        events = [self._dated(event) for event in self._pipeline.process(sound, out)]
        if out is None:
            return b"", events
        skipped, self._late = self._late, max(0, self._late - len(out))
        return self._form.pcm(out[skipped:]), events

    def _dated(self, event: KeywordEvent) -> KeywordEvent:
        """With the time of day, as if the last input came just now."""
        end_s = self._samples / self._form.samplerate
        event = replace(event, time_s=round(min(event.time_s, end_s), 3))
        return event.at(time.time() - (end_s - event.time_s))


class Stream:
    """A client's :class:`ClientSound` in one of the server's places."""

    def __init__(self, run: Callable[..., Any], sound: ClientSound) -> None:
        self._run, self._sound = run, sound

    async def process(self, pcm: bytes) -> AsyncIterator[Output]:
        """Process bytes piece by piece; other streams get their turn in between."""
        for start in range(0, len(pcm), PIECE_BYTES):
            yield await self._run(partial(self._sound.process, pcm[start : start + PIECE_BYTES]))

    async def end(self) -> Output:
        """What comes after the last piece."""
        output: Output = await self._run(self._sound.end)
        return output


class Streams:
    """All sounds that clients stream, and who listens to the keywords in them."""

    def __init__(self, models: Models, limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.count = 0  #: streams that are open
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="stream")

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do something that takes a while on one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the places for streams; BusyError if all are taken."""
        if self.count >= self.limits.streams:
            raise BusyError(f"all {self.limits.streams} streams are taken; try again later")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    async def open(self, form: Format, **wishes: Any) -> Stream:
        """A stream; ``wishes`` as for :meth:`Models.pipeline`. Hold a :meth:`place` meanwhile."""
        pipeline = await self.run(partial(self.models.pipeline, form, **wishes))
        return Stream(self.run, ClientSound(pipeline, form))

    def report(self, event: KeywordEvent, client: str) -> None:
        """Pass a keyword on to everybody who listens."""
        for listener in self._listeners:
            if listener.full():
                listener.get_nowait()
            listener.put_nowait({**event.facts(), "client": client})

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue of the keywords from now on; BusyError if too many listen."""
        if len(self._listeners) >= self.limits.streams:
            raise BusyError(f"all {self.limits.streams} listeners' places are taken")
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)
