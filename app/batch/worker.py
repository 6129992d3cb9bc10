"""One file of a batch: the same task in a process of this machine or of a cluster."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile

from resonance.app.batch import storage
from resonance.app.batch.keyword_files import paths_beside, write_beside
from resonance.app.batch.measures import LevelStatistics, Opinions, ResonogramThumbnail
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.checks import is_count, is_finite, is_number
from resonance.app.errors import AudioFileError, UserError
from resonance.app.files import clean_sound
from resonance.app.pipeline_factory import PipelineFactory
from resonance.app.soundfiles import ffmpeg
from resonance.app.soundfiles.reader import open_sound
from resonance.app.stretch_pipeline import StretchPipeline

_HASHED_AT_ONCE = 1 << 20

#: Called with the seconds of sound done so far.
Reported = Callable[[float], None]


@dataclass
class Outcome:
    """What became of a file."""

    source: str
    target: str
    error: str | None = None  #: None: it is done
    warnings: list[str] = field(default_factory=list)
    sha256: str | None = None  #: of the source
    size: int = 0  #: of the source, bytes
    modified_ns: int = 0  #: the source's time of change; 0 where a storage has none
    output_bytes: int = 0
    seconds: float = 0.0
    samplerate: int = 0
    channels: int = 0
    busy_s: float = 0.0  #: from the first byte read to the last one written
    cpu_s: float = 0.0  #: processor time of that, all threads
    fetched_s: float = 0.0  #: of ``busy_s``, spent fetching from and storing to elsewhere
    levels: dict[str, Any] | None = None  #: ``before`` and ``after``, dBFS
    opinion: dict[str, float] | None = None  #: DNSMOS, before and after
    keywords: list[dict[str, Any]] = field(default_factory=list)
    picture: dict[str, Any] | None = None
    beside: list[str] = field(default_factory=list)  #: other files that were written

    @classmethod
    def from_json(cls, source: str, target: str, text: str) -> Outcome:
        """What a record says of a file; what is damaged in it is left out, with a warning.

        Parameters
        ----------
        source, target
            Addresses of input and output.
        text
            The record, as JSON.

        Returns
        -------
        Outcome
            With defaults for what is damaged.
        """
        try:
            facts = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            facts = None
        if not isinstance(facts, dict):
            facts = {"warnings": ["the record of this file is damaged"]}
        kept = {name: facts[name] for name, fits in _FITS.items() if fits(facts.get(name))}
        return cls(source, target, **kept)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_levels(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(value.get(side), dict)
        and all(number is None or is_number(number) for number in value[side].values())
        and {"noise_db"} <= value[side].keys()
        for side in ("before", "after")
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_amount(value: Any) -> bool:
    return is_number(value, 0.0)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and is_finite(value)


def _is_events(value: Any) -> bool:
    return isinstance(value, list) and all(
        _is_table(event)
        and _is_text(event.get("keyword"))
        and is_number(event.get("time_s"))
        and is_number(event.get("score"))
        for event in value
    )


#: What the values in a record must be.
_FITS: dict[str, Callable[[Any], bool]] = {
    "error": _is_text,
    "warnings": _is_texts,
    "sha256": _is_text,
    **dict.fromkeys(("size", "modified_ns", "output_bytes", "samplerate", "channels"), is_count),
    **dict.fromkeys(("seconds", "busy_s", "cpu_s", "fetched_s"), _is_amount),
    "levels": _is_levels,
    "opinion": _is_table,
    "keywords": _is_events,
    "picture": _is_table,
    "beside": _is_texts,
}


#: Makes every pipeline of this process.
factory = PipelineFactory()
custom_words = functools.cache(factory.custom_words)


def warm_up(settings: BatchSettings) -> None:
    """Load what every file will need."""
    make_pipeline(settings, 16000, 1)


def outputs(job: BatchJob, settings: BatchSettings) -> list[str]:
    """All that is written for a file."""
    return [job.target, *(paths_beside(job.target) if settings.spot else ())]


def retry(job: BatchJob, settings: BatchSettings) -> BatchJob:
    """A file at which a worker died, once more: what that one wrote may be replaced.

    It may have died between naming its output and saying so.
    """
    return dataclasses.replace(job, replaces=tuple(outputs(job, settings)))


def make_pipeline(settings: BatchSettings, samplerate: int, channels: int) -> StretchPipeline:
    """A pipeline at rest for a file.

    Parameters
    ----------
    settings
        Preset, limit and keywords.
    samplerate
        Of the file, Hz.
    channels
        Of the file.

    Returns
    -------
    StretchPipeline
        For long blocks.
    """
    return factory.make(
        samplerate,
        channels,
        kind=StretchPipeline,
        preset=settings.preset,
        spot=settings.spot,
        limit_db=settings.limit_db,
        sensitivity=settings.sensitivity(),
        custom=custom_words() if settings.spot else (),
    )


def clean_file(
    job: BatchJob, settings: BatchSettings, report: Reported = lambda _: None
) -> Outcome:
    """Clean one file; whatever is wrong with it is reported in the outcome.

    The output is written aside and gets its name when it is whole; the source is only read.

    Parameters
    ----------
    job
        The file.
    settings
        How to clean it.
    report
        Called with the seconds of sound that are done.

    Returns
    -------
    Outcome
        How it went; :attr:`Outcome.error` is None if all is well.
    """
    outcome = Outcome(job.source, job.target)
    begin, cpu = time.perf_counter(), time.process_time()
    try:
        _clean(job, settings, outcome, report)
    except UserError as error:
        outcome.error = str(error)
    except Exception as error:  # a damaged file must not end the batch
        outcome.error = f"{job.source}: {type(error).__name__}: {error}"
    outcome.busy_s = round(time.perf_counter() - begin, 4)
    outcome.cpu_s = round(time.process_time() - cpu, 4)
    return outcome


def _clean(job: BatchJob, settings: BatchSettings, outcome: Outcome, report: Reported) -> None:
    begin = time.perf_counter()
    with storage.fetched(job.source) as source, _called(job.source, source, outcome):
        outcome.fetched_s = time.perf_counter() - begin
        _fingerprint(source, outcome)
        may = job.target in job.replaces
        with (
            storage.stored(job.target, overwrite=may) as target,
            _called(job.target, target, outcome),
        ):
            _through(source, target, job, settings, outcome, report)
            outcome.output_bytes = target.stat().st_size
            begin = time.perf_counter()
        outcome.fetched_s = round(outcome.fetched_s + time.perf_counter() - begin, 4)
    if storage.is_remote(job.source):
        outcome.modified_ns = 0  # it was that of the copy


@contextmanager
def _called(name: str, here: Path, outcome: Outcome) -> Iterator[None]:
    """What is said of a copy at hand names the file that people know."""
    try:
        yield
    except UserError as error:
        raise AudioFileError(str(error).replace(str(here), name)) from error
    outcome.warnings = [warning.replace(str(here), name) for warning in outcome.warnings]


def _fingerprint(source: Path, outcome: Outcome) -> None:
    """Hash and size of the source.

    Raises
    ------
    AudioFileError
        If it is a folder, or cannot be read.
    """
    try:
        if source.is_dir():
            os.listdir(source)  # one that fails here is reported in place of all that is in it
    except OSError as error:
        raise AudioFileError(f"{source} cannot be opened: {error.strerror}") from error
    if not source.is_file():
        with open_sound(source):  # says what is wrong
            return
    digest = hashlib.sha256()
    try:
        outcome.size, outcome.modified_ns = source.stat().st_size, source.stat().st_mtime_ns
        with source.open("rb") as file:
            while part := file.read(_HASHED_AT_ONCE):
                digest.update(part)
    except OSError as error:
        raise AudioFileError(f"{source} cannot be opened: {error.strerror}") from error
    outcome.sha256 = digest.hexdigest()


def _changed(source: Path, outcome: Outcome) -> bool:
    try:
        status = source.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (outcome.size, outcome.modified_ns)


def _through(
    source: Path,
    target: Path,
    job: BatchJob,
    settings: BatchSettings,
    outcome: Outcome,
    report: Reported,
) -> None:
    def see_that_it_is_the_same() -> None:
        if _changed(source, outcome):  # before the output takes the place of an earlier one
            raise AudioFileError(f"{source} changed while it was read; run again")

    with open_sound(source) as reader:
        if settings.channel is not None:
            reader.choose_channel(settings.channel)
        measures = _Measures(settings, reader.samplerate, reader.frames)
        result = clean_sound(
            reader,
            target,
            make_pipeline(settings, reader.samplerate, reader.channels),
            subtype=settings.subtype,
            progress=report,
            listener=measures.add,
            before_naming=see_that_it_is_the_same,
            overwrite=job.target in job.replaces,
            preserve=settings.preserve,
        )
    outcome.seconds, outcome.samplerate = result.seconds, result.samplerate
    outcome.channels = result.channels
    outcome.warnings += result.warnings
    outcome.keywords = [event.facts() for event in result.events]
    measures.report(outcome)
    if settings.spot:
        write_beside(job.target, result.events, replaces=job.replaces)
        outcome.beside = paths_beside(job.target)


class _Measures:
    """Everything that is measured, before and after."""

    def __init__(self, settings: BatchSettings, samplerate: int, length: int) -> None:
        self.before, self.after = LevelStatistics(samplerate), LevelStatistics(samplerate)
        self.picture = None
        if settings.pictures:
            self.picture = ResonogramThumbnail(
                factory.denoiser(settings.preset), samplerate, length
            )
        self.opinions = Opinions(Path(settings.dnsmos), samplerate) if settings.dnsmos else None

    def add(self, before: Any, after: Any) -> None:
        self.before.add(before)
        self.after.add(after)
        for measure in (self.picture, self.opinions):
            if measure:
                measure.add(before, after)

    def report(self, outcome: Outcome) -> None:
        outcome.levels = {"before": self.before.summary(), "after": self.after.summary()}
        outcome.picture = self.picture.picture() if self.picture else None
        outcome.opinion = self.opinions.summary() if self.opinions else None


def readable_endings() -> frozenset[str]:
    """Endings of the files that are taken from folders."""
    known = {f".{name.lower()}" for name in soundfile.available_formats()}
    more = ".wav .wave .aif .aifc .oga .opus .snd .sph .8svx .sf"
    found = (known | set(more.split())) - {".raw", ".mat4", ".mat5"}
    return frozenset(found | ffmpeg.ENDINGS)
