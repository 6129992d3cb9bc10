"""Whole files through the pipeline: constant memory, exact length, never a damaged output."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from app.errors import AudioFileError
from app.pipeline import Pipeline
from app.sessions import Float32Array
from app.spotter import KeywordEvent

#: Samples read at a time, per channel.
BLOCK = 1 << 14
#: Silence played after a file while spotting, so that a word at the very end is heard, s.
TAIL_S = 0.7

Progress = Callable[[float], None]


@dataclass
class FileResult:
    """What was done with one file."""

    seconds: float
    samplerate: int
    channels: int
    real_time_factor: float
    events: list[KeywordEvent] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """A file for reading.

    Raises
    ------
    AudioFileError
        If it is missing, not audio, or damaged from the start.
    """
    if not path.exists():
        raise AudioFileError(f"{path} does not exist")
    if not path.is_file():
        raise AudioFileError(f"{path} is not a file")
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError, OSError) as error:
        reason = "it is empty" if path.stat().st_size == 0 else str(error)
        raise AudioFileError(f"{path} cannot be read as audio: {reason}") from error
    with file:
        yield file


def _blocks(file: soundfile.SoundFile, path: Path) -> Iterator[Float32Array]:
    """Blocks [samples, channels] until the file ends."""
    heard = 0
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            at_s = heard / file.samplerate
            raise AudioFileError(f"{path} is damaged after {at_s:.1f} s: {error}") from error
        if not len(block):
            return
        heard += len(block)
        yield block


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
        form, subtype = _output_format(reader, target)
        if target.exists() and target.samefile(source):
            raise AudioFileError(f"{target} is the input itself; choose another output")
        pipeline = make_pipeline(reader.samplerate, reader.channels)
        run = _Run(pipeline, progress)
        aside = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with soundfile.SoundFile(
                aside, "w", reader.samplerate, reader.channels, subtype, format=form
            ) as writer:
                for block in _blocks(reader, source):
                    cleaned = np.empty_like(block)
                    run.process(block, cleaned)
                    writer.write(cleaned)
                    if listener:
                        listener(block, cleaned)
            os.replace(aside, target)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioFileError(f"{target} cannot be written: {error}") from error
        finally:
            aside.unlink(missing_ok=True)
        return run.result(reader, source)


def spot_file(
    source: Path, make_pipeline: Callable[[int, int], Pipeline], *, progress: Progress | None = None
) -> FileResult:
    """Find the keywords in ``source``; parameters and errors as for :func:`denoise_file`."""
    with open_audio(source) as reader:
        run = _Run(make_pipeline(reader.samplerate, reader.channels), progress)
        for block in _blocks(reader, source):
            run.process(block, None)
        return run.result(reader, source)


class _Run:
    """A pipeline fed block by block, with its time and events."""

    def __init__(self, pipeline: Pipeline, progress: Progress | None) -> None:
        self.pipeline, self.progress = pipeline, progress
        self.samples, self.busy_s = 0, 0.0
        self.events: list[KeywordEvent] = []

    def process(self, block: Float32Array, out: Float32Array | None) -> None:
        start = time.perf_counter()
        self.events += self.pipeline.process(block, out)
        self.busy_s += time.perf_counter() - start
        self.samples += len(block)
        if self.progress:
            self.progress(self.samples / self.pipeline.samplerate)

    def result(self, reader: soundfile.SoundFile, source: Path) -> FileResult:
        seconds = self.samples / reader.samplerate
        warnings = []
        if self.pipeline.bad_samples:
            warnings.append(
                f"{source}: {self.pipeline.bad_samples} samples were not finite numbers "
                "and were treated as silence"
            )
        if self.samples < reader.frames:
            warnings.append(
                f"{source} is truncated: its header promises {reader.frames} samples, "
                f"{self.samples} are there"
            )
        if self.pipeline.spotter:
            shape = (int(TAIL_S * reader.samplerate), reader.channels)
            tail = np.zeros(shape, np.float32)
            for event in self.pipeline.process(tail, np.empty_like(tail)):
                self.events.append(replace(event, time_s=round(min(event.time_s, seconds), 3)))
        factor = self.busy_s / seconds if seconds else 0.0
        return FileResult(
            seconds, reader.samplerate, reader.channels, factor, self.events, warnings
        )


def _output_format(reader: soundfile.SoundFile, target: Path) -> tuple[str, str]:
    """Container and subtype for ``target``: the source's own wherever the container allows."""
    extension = target.suffix.lstrip(".").upper()
    by_extension = {"AIF": "AIFF", "OPUS": "OGG", "OGA": "OGG"}
    form = by_extension.get(extension, extension)
    if form not in soundfile.available_formats():
        known = ", ".join(sorted(f".{name.lower()}" for name in soundfile.available_formats()))
        raise AudioFileError(
            f"{target}: cannot write {target.suffix or 'no extension'!r}; use {known}"
        )
    if form == reader.format or soundfile.check_format(form, reader.subtype):
        return form, reader.subtype
    if extension == "OPUS":
        return form, "OPUS"
    return form, soundfile.default_subtype(form)
