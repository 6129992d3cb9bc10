"""Whole files through the pipeline: constant memory, exact length, never a damaged output.

The command line, the window and batches clean files by :func:`clean_sound`, and by nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from resonance.app.both_ways import BothWays, Pair, warm_up
from resonance.app.errors import AudioFileError
from resonance.app.overlap import read_ahead, write_behind
from resonance.app.pipeline import Pipeline
from resonance.app.safe_write import identity
from resonance.app.soundfiles.reader import SoundReader, open_sound
from resonance.app.soundfiles.writer import written_sound
from resonance.app.spotter import KeywordEvent
from resonance.app.stretch_pipeline import BLOCK_S
from resonance.dsp.arrays import Float32Array
from resonance.dsp.delay import DelayLine

#: Silence played after a file while spotting, for a word at the very end, s.
TAIL_S = 1.0

Progress = Callable[[float], None]
Listener = Callable[[Float32Array, Float32Array], None]


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
    both_ways: bool = False  #: cleaned backwards in time, too


def denoise_file(
    source: Path,
    target: Path,
    make_pipeline: Callable[[int, int], Pipeline],
    *,
    progress: Progress | None = None,
    listener: Listener | None = None,
    channel: int | None = None,
    overwrite: bool = False,
    preserve: bool = False,
) -> FileResult:
    """Clean ``source`` into ``target``: same samplerate, channels, subtype and length.

    The output is written beside its place and renamed when it is whole.

    Parameters
    ----------
    source
        What libsndfile, or ffmpeg where it is installed, can read.
    target
        Its ending chooses the container.
    make_pipeline
        Called with samplerate and channels.
    progress
        Called with the seconds done so far.
    listener
        Given every block before and after, each [samples, channels].
    channel
        Clean this one alone, counted from 1; None: all.
    overwrite
        Whether a file at ``target`` may be replaced.
    preserve
        Give the output the source's mode and time stamp.

    Returns
    -------
    FileResult
        Length, speed, keywords and warnings.

    Raises
    ------
    AudioFileError
        If the source cannot be read or the target not written; nothing is left behind.
    """
    with open_sound(source) as reader:
        if channel is not None:
            reader.choose_channel(channel)
        if identity(target) == identity(source):
            raise AudioFileError(f"{target} is the input itself; choose another output")
        pipeline = make_pipeline(reader.samplerate, reader.channels)
        return clean_sound(
            reader,
            target,
            pipeline,
            progress=progress,
            listener=listener,
            overwrite=overwrite,
            preserve=preserve,
        )


def clean_sound(
    reader: SoundReader,
    target: Path,
    pipeline: Pipeline,
    *,
    subtype: str | None = None,
    progress: Progress | None = None,
    listener: Listener | None = None,
    before_naming: Callable[[], None] | None = None,
    overwrite: bool = False,
    preserve: bool = False,
) -> FileResult:
    """Clean a file that is open.

    Parameters
    ----------
    reader
        The source.
    target
        Where the cleaned sound goes.
    pipeline
        At rest; :class:`~resonance.app.stretch_pipeline.StretchPipeline` is the fastest.
    subtype
        Of the target; None: the source's, where it can be written.
    before_naming
        Called when all is written; if it raises, the output does not get its name.
    progress, listener, overwrite, preserve
        As in :func:`denoise_file`.

    Returns
    -------
    FileResult
        Length, speed, keywords and warnings.

    Raises
    ------
    AudioFileError
        If the source cannot be read or the target not written; nothing is left behind.
    """
    run = FileRun(pipeline, progress)
    size = max(1, round(BLOCK_S * reader.samplerate))
    with written_sound(target, reader, subtype, overwrite=overwrite, preserve=preserve) as writer:
        with read_ahead(reader.blocks(size)) as sound, write_behind(writer.write) as write:
            for before, cleaned in run.clean(sound):
                write(cleaned)
                if listener:
                    listener(before, cleaned)
        result = run.result(reader)
        if before_naming:
            before_naming()
    result.warnings += writer.warnings
    return result


def spot_file(
    source: Path,
    make_pipeline: Callable[[int, int], Pipeline],
    *,
    progress: Progress | None = None,
    on_event: Callable[[KeywordEvent], None] | None = None,
    channel: int | None = None,
) -> FileResult:
    """Find the keywords in ``source``; ``on_event`` is called with each as it fires.

    The other parameters and errors are those of :func:`denoise_file`.

    Parameters
    ----------
    source
        Sound file.
    make_pipeline
        Called with samplerate and channels. With a denoiser, it hears the cleaned sound, too.
    progress
        Called with the seconds done so far.
    on_event
        Called with each keyword.
    channel
        Listen to this one alone, counted from 1; None: all.

    Returns
    -------
    FileResult
        Length, speed, keywords and warnings.
    """
    with open_sound(source) as reader:
        if channel is not None:
            reader.choose_channel(channel)
        run = FileRun(make_pipeline(reader.samplerate, reader.channels), progress, on_event)
        for block in reader.blocks():
            run.process(block, np.empty_like(block) if run.pipeline.denoiser else None)
        return run.result(reader)


class FileRun:
    """A pipeline fed block by block, with its time and events."""

    def __init__(
        self,
        pipeline: Pipeline,
        progress: Progress | None = None,
        on_event: Callable[[KeywordEvent], None] | None = None,
    ) -> None:
        self.pipeline, self.progress, self.on_event = pipeline, progress, on_event
        denoiser = pipeline.denoiser
        self.both_ways = BothWays(pipeline) if denoiser and denoiser.both_ways else None
        self.samples, self.busy_s = 0, 0.0
        self.events: list[KeywordEvent] = []

    def clean(self, sound: Iterable[Float32Array]) -> Iterator[Pair]:
        """All sound and the cleaned one in blocks, aligned; both ways if the model wants that."""
        pairs = self._forwards(sound)
        return self.both_ways.average(pairs) if self.both_ways else pairs

    def _forwards(self, sound: Iterable[Float32Array]) -> Iterator[Pair]:
        """Every block and its cleaned one: a look-ahead is taken back at the start."""
        skip = self.pipeline.latency_samples
        line = DelayLine(skip, self.pipeline.channels)
        for block in sound:
            if not self.samples:
                warm_up(self.pipeline, block)
            cleaned = np.empty_like(block)
            self.process(block, cleaned)
            yield line.delay(block)[skip:], cleaned[skip:]
            skip = max(0, skip - len(block))
        if self.samples and line.samples:
            cleaned = np.empty_like(line.waiting)
            self._after_the_end(cleaned)
            yield line.waiting[skip:], cleaned[skip:]

    def _after_the_end(self, out: Float32Array) -> None:
        """Silence into the pipeline; what it detects there was said before."""
        end = self.samples / self.pipeline.samplerate
        late = self.pipeline.process(np.zeros_like(out), out)
        self._report([replace(e, time_s=round(min(e.time_s, end), 3)) for e in late])

    def process(self, block: Float32Array, out: Float32Array | None) -> None:
        """Process a block; the cleaned one goes into ``out``."""
        start = time.perf_counter()
        events = self.pipeline.process(block, out)
        self.busy_s += time.perf_counter() - start
        self.samples += len(block)
        self._report(events)
        if self.progress:
            self.progress(self.samples / self.pipeline.samplerate)

    def _report(self, events: list[KeywordEvent]) -> None:
        self.events += events
        if self.on_event:
            for event in events:
                self.on_event(event)

    def result(self, reader: SoundReader) -> FileResult:
        """What was done, once the file is at its end."""
        seconds = self.samples / reader.samplerate
        warnings = []
        if self.pipeline.bad_samples:
            warnings.append(
                f"{reader.path}: {self.pipeline.bad_samples} samples were not finite numbers "
                "and were treated as silence"
            )
        warnings += reader.warnings
        if self.pipeline.spotter:
            shape = (int(TAIL_S * reader.samplerate), reader.channels)
            self._after_the_end(np.empty(shape, np.float32))
        busy_s = self.busy_s + (self.both_ways.busy_s if self.both_ways else 0.0)
        factor = busy_s / seconds if seconds else 0.0
        return FileResult(
            seconds,
            reader.samplerate,
            reader.channels,
            factor,
            self.pipeline.latency_samples,
            self.events,
            warnings,
            self.both_ways is not None,
        )
