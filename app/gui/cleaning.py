"""Cleaning files one after the other, in a process of its own that gives way to live sound."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resonance.app.errors import UserError

if TYPE_CHECKING:
    from resonance.app.pipeline_factory import PipelineFactory

#: States of a job; NEW: nobody has asked for it yet.
NEW = "new"
WAITING, WORKING, DONE, FAILED, CANCELLED = "waiting", "working", "done", "failed", "cancelled"
#: How much the process gives way to others (nice).
GIVES_WAY = 10
#: Time after which the time that is left can be estimated, s.
KNOWN_AFTER_S = 1.0
#: How long closing may take, s.
CLOSE_S = 3.0


@dataclass(eq=False)  # two jobs are never the same one
class CleaningJob:
    """A file to be cleaned."""

    source: Path
    target: Path
    preset: str
    limit_db: float | None
    overwrite: bool = False  #: replace what is there, as people said when they chose the name
    state: str = WAITING
    share: float = 0.0  #: done so far, 0 … 1
    begun_s: float = 0.0  #: on the monotonic clock, when its cleaning began
    text: str = ""  #: how it went
    warnings: list[str] = field(default_factory=list)

    @property
    def left_s(self) -> float | None:
        """Time that cleaning will still take, s, or None before that can be estimated."""
        gone_s = time.monotonic() - self.begun_s
        if self.state != WORKING or self.share <= 0 or gone_s < KNOWN_AFTER_S:
            return None
        return gone_s * (1 - self.share) / self.share


class Cleaner:
    """A queue of jobs; needs :meth:`tick` a few times a second."""

    def __init__(self) -> None:
        self.jobs: list[CleaningJob] = []
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None
        self._working: CleaningJob | None = None

    def add(self, job: CleaningJob) -> None:
        """Put a job at the end."""
        self.jobs.append(job)

    def cancel(self, job: CleaningJob) -> None:
        """Do not do it, or stop doing it; nothing half done is left."""
        if job is self._working and self._pipe:
            with suppress(OSError):
                self._pipe.send("cancel")
        elif job.state == WAITING:
            job.state, job.text = CANCELLED, "cancelled"

    def retry(self, job: CleaningJob) -> None:
        """Do it again, after what waits already."""
        job.state, job.share, job.text = WAITING, 0.0, ""
        self.jobs.remove(job)
        self.jobs.append(job)

    def remove(self, job: CleaningJob) -> None:
        """Forget one that is not at work."""
        if job is not self._working:
            self.jobs.remove(job)

    @property
    def busy(self) -> bool:
        """Whether something is being done or waits for it."""
        return any(job.state in (WAITING, WORKING) for job in self.jobs)

    def tick(self) -> set[CleaningJob]:
        """Read what the process reports, give it the next job; returns those that have changed."""
        changed = self._read_reports()
        if self._working and not self._process.is_alive():
            changed |= self._read_reports()  # its last words
            changed |= self._fail()
        if self._working is None:
            job = next((job for job in self.jobs if job.state == WAITING), None)
            if job:
                self._begin(job)
                changed.add(job)
        return changed

    def _fail(self) -> set[CleaningJob]:
        """The process is gone; returns the job that went with it."""
        job, self._working, self._pipe = self._working, None, None
        if job is None:
            return set()
        job.state, job.text = FAILED, "the program that cleans files ended"
        return {job}

    def _begin(self, job: CleaningJob) -> None:
        if self._pipe is None or not self._process.is_alive():
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(
                target=_serve, args=(theirs,), name="cleaning", daemon=True
            )
            self._process.start()
            theirs.close()
        job.state, job.begun_s, self._working = WORKING, time.monotonic(), job
        self._pipe.send((job.source, job.target, job.preset, job.limit_db, job.overwrite))

    def _read_reports(self) -> set[CleaningJob]:
        changed: set[CleaningJob] = set()
        with suppress(EOFError, OSError):
            while self._pipe and self._working and self._pipe.poll():
                state, share, text, warnings = self._pipe.recv()
                job = self._working
                job.state, job.share, job.text, job.warnings = state, share, text, warnings
                changed.add(job)
                if state != WORKING:
                    self._working = None
        return changed

    def close(self) -> None:
        """Stop what is being done, and end."""
        if self._process is None:
            return
        if self._pipe:
            with suppress(OSError):
                self._pipe.send("cancel")
            self._pipe.close()
        self._process.join(CLOSE_S)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(CLOSE_S)


class _CancelledError(Exception):
    """Somebody does not want it any more."""


def _serve(pipe: Connection) -> None:
    """What the process does: jobs, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(GIVES_WAY)
    from resonance.app.pipeline_factory import PipelineFactory

    factory = PipelineFactory()
    with suppress(EOFError, OSError, BrokenPipeError):
        while True:
            job = pipe.recv()
            if job != "cancel":  # that came too late
                _do(pipe, factory, *job)


def _do(
    pipe: Connection,
    factory: PipelineFactory,
    source: Path,
    target: Path,
    preset: str,
    limit_db: float | None,
    overwrite: bool,
) -> None:
    from resonance.app.files import denoise_file
    from resonance.app.soundfiles.reader import open_sound
    from resonance.app.stretch_pipeline import StretchPipeline

    try:
        with open_sound(source) as opened:
            total_s = max(opened.frames / opened.samplerate, 1e-6)
        make = partial(factory.make, kind=StretchPipeline, preset=preset, limit_db=limit_db)
        result = denoise_file(
            source, target, make, progress=_progress(pipe, total_s), overwrite=overwrite
        )
        text = f"{result.seconds:.0f} s cleaned"
        pipe.send((DONE, 1.0, text, result.warnings))
    except UserError as error:
        pipe.send((FAILED, 0.0, str(error), []))
    except _CancelledError:
        pipe.send((CANCELLED, 0.0, "cancelled", []))
    except Exception as error:  # the next file gets its chance
        pipe.send((FAILED, 0.0, f"{source.name} failed: {error!r}", []))


def _progress(pipe: Connection, total_s: float) -> Callable[[float], None]:
    def report(seconds: float) -> None:
        if pipe.poll() and pipe.recv() == "cancel":
            raise _CancelledError
        pipe.send((WORKING, min(1.0, seconds / total_s), "", []))

    return report


def free_target(source: Path, folder: Path | None, taken: Container[Path] = ()) -> Path:
    """``NAME-clean`` beside the file or in a folder.

    Never the name of a file that exists, nor one of those that are taken.

    Parameters
    ----------
    source
        The recording.
    folder
        Where to; None: beside the recording.
    taken
        Names that other jobs will write.

    Returns
    -------
    Path
        A name that is free.
    """
    from resonance.app.soundfiles.writer import FORMATS

    where = folder or source.parent
    ending = source.suffix if source.suffix.lower() in FORMATS else ".wav"
    names = (f"{source.stem}-clean{end}{ending}" for end in ("", *(f" {n}" for n in range(2, 999))))
    places = (where / name for name in names)
    return next(place for place in places if place not in taken and not os.path.lexists(place))
