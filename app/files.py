"""Whole files through the pipeline: constant memory, exact length, never a damaged output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from resonance.app.audiofile import blocks, open_audio, truncation, written_aside
from resonance.app.errors import AudioFileError
from resonance.app.pipeline import Pipeline
from resonance.app.sessions import Float32Array
from resonance.app.spotter import KeywordEvent

#: Silence played after a file while spotting, so that a word at the very end is heard, s.
TAIL_S = 1.0

Progress = Callable[[float], None]


@dataclass
class FileResult:
    """What was done with one file."""

    seconds: float
    samplerate: int
    channels: int
    real_time_factor: float
    latency_samples: int
    events: list[KeywordEvent] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def denoise_file(
    source: Path,
    target: Path,
    make_pipeline: Callable[[int, int], Pipeline],
    *,
    progress: Progress | None = None,
    listener: Callable[[Float32Array, Float32Array], None] | None = None,
) -> FileResult:
    """Clean ``source`` into ``target``: same samplerate, channels, subtype and length.

    The output is written beside its place and renamed when it is whole.

    Parameters
    ----------
    make_pipeline
        Called with samplerate and channels.
    progress
        Told the seconds done so far.
    listener
        Given every block before and after, each [samples, channels].

    Raises
    ------
    AudioFileError
        If the source cannot be read to its end or the target not written; nothing is left behind.
    """
    with open_audio(source) as reader:
        if _same(source, target):
            raise AudioFileError(f"{target} is the input itself; choose another output")
        run = FileRun(make_pipeline(reader.samplerate, reader.channels), progress)
        with written_aside(target, reader) as write:
            for heard, cleaned in run.clean(blocks(reader, source)):
                write(cleaned)
                if listener:
                    listener(heard, cleaned)
        return run.result(reader, source)


def _same(source: Path, target: Path) -> bool:
    try:
        return target.exists() and target.samefile(source)
    except OSError as error:
        raise AudioFileError(f"{target} cannot be written: {error.strerror}") from error


def spot_file(
    source: Path,
    make_pipeline: Callable[[int, int], Pipeline],
    *,
    progress: Progress | None = None,
    on_event: Callable[[KeywordEvent], None] | None = None,
) -> FileResult:
    """Find the keywords in ``source``; ``on_event`` is told each as it fires.

    The other parameters and errors are those of :func:`denoise_file`.
    """
    with open_audio(source) as reader:
        run = FileRun(make_pipeline(reader.samplerate, reader.channels), progress, on_event)
        for block in blocks(reader, source):
            run.process(block, None)
        return run.result(reader, source)


class FileRun:
    """A pipeline fed block by block, with its time and events."""

    def __init__(
        self,
        pipeline: Pipeline,
        progress: Progress | None,
        on_event: Callable[[KeywordEvent], None] | None = None,
    ) -> None:
        self.pipeline, self.progress, self.on_event = pipeline, progress, on_event
        self.samples, self.busy_s = 0, 0.0
        self.events: list[KeywordEvent] = []

    def clean(self, sound: Iterable[Float32Array]) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Every block and its cleaned one, aligned: a look-ahead is taken back at the start."""
        skip, late = self.pipeline.latency_samples, None
        for block in sound:
            if late is None:
                late = np.zeros((skip, *block.shape[1:]), np.float32)
            cleaned = np.empty_like(block)
            self.process(block, cleaned)
            delayed = np.concatenate([late, block])
            late, heard = delayed[len(block) :], delayed[: len(block)]
            yield heard[skip:], cleaned[skip:]
            skip = max(0, skip - len(block))
        if late is not None and len(late):
            cleaned = np.empty_like(late)
            self._after_the_end(cleaned)
            yield late[skip:], cleaned[skip:]

    def _after_the_end(self, out: Float32Array) -> None:
        """Silence into the pipeline; what is heard in it was said before."""
        end = self.samples / self.pipeline.samplerate
        late = self.pipeline.process(np.zeros_like(out), out)
        self._tell([replace(e, time_s=round(min(e.time_s, end), 3)) for e in late])

    def process(self, block: Float32Array, out: Float32Array | None) -> None:
        """Hear a block; the cleaned one goes into ``out``."""
        start = time.perf_counter()
        heard = self.pipeline.process(block, out)
        self.busy_s += time.perf_counter() - start
        self.samples += len(block)
        self._tell(heard)
        if self.progress:
            self.progress(self.samples / self.pipeline.samplerate)

    def _tell(self, heard: list[KeywordEvent]) -> None:
        self.events += heard
        if self.on_event:
            for event in heard:
                self.on_event(event)

    def result(self, reader: soundfile.SoundFile, source: Path) -> FileResult:
        """What was done, once the file is at its end."""
        seconds = self.samples / reader.samplerate
        warnings = []
        if self.pipeline.bad_samples:
            warnings.append(
                f"{source}: {self.pipeline.bad_samples} samples were not finite numbers "
                "and were treated as silence"
            )
        missing = truncation(reader, self.samples)
        if missing:
            warnings.append(f"{source} is truncated: {missing}")
        if self.pipeline.spotter:
            shape = (int(TAIL_S * reader.samplerate), reader.channels)
            self._after_the_end(np.empty(shape, np.float32))
        factor = self.busy_s / seconds if seconds else 0.0
        return FileResult(
            seconds,
            reader.samplerate,
            reader.channels,
            factor,
            self.pipeline.latency_samples,
            self.events,
            warnings,
        )
