"""One file of a batch: the same task in a process of this machine or of a cluster."""

from __future__ import annotations

import functools
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import soundfile

from resonance.app.audiofile import FORMATS, blocks, open_audio, written_aside
from resonance.app.batch import ffmpeg, storage
from resonance.app.batch.keyword_files import write_beside
from resonance.app.batch.measures import Levels, Opinions, SmallResonogram
from resonance.app.batch.overlap import read_ahead, write_behind
from resonance.app.batch.pipeline import BLOCK_S, StretchPipeline
from resonance.app.batch.settings import Job, Settings
from resonance.app.custom_words import CustomWord
from resonance.app.errors import AudioFileError, UserError
from resonance.app.files import FileRun
from resonance.app.sessions import DenoiserModel, SpotterModel

#: A block holds at most this many samples, all channels together.
MOST_SAMPLES = 1 << 22
_HASHED_AT_ONCE = 1 << 20

#: Told the seconds of sound done so far.
Tell = Callable[[float], None]


@dataclass
class Outcome:
    """What became of a file."""

    source: str
    target: str
    error: str | None = None  #: None: it is done
    warnings: list[str] = field(default_factory=list)
    sha256: str | None = None  #: of the source
    size: int = 0  #: of the source, bytes
    modified_ns: int = 0  #: the source's time of change; 0 where a storage tells none
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


@functools.cache
def denoiser(preset: str) -> DenoiserModel:
    """The model of a preset, loaded once in a process."""
    return DenoiserModel.preset(preset)


@functools.cache
def spotter() -> tuple[SpotterModel, list[CustomWord]]:
    """The spotter and the user's own words, loaded once in a process."""
    from resonance.app.enrolment import load_all

    model = SpotterModel()
    return model, load_all(model)


def warm_up(settings: Settings) -> None:
    """Load what every file will need."""
    make_pipeline(settings, 16000, 1)


def make_pipeline(settings: Settings, samplerate: int, channels: int) -> StretchPipeline:
    """A pipeline at rest for a file."""
    model, custom = spotter() if settings.spot else (None, [])
    return StretchPipeline(
        samplerate,
        channels,
        denoiser=denoiser(settings.preset),
        spotter=model,
        limit_db=settings.limit_db,
        sensitivity=settings.sensitivity(),
        custom=custom,
    )


def clean_file(job: Job, settings: Settings, tell: Tell = lambda _: None) -> Outcome:
    """Clean one file; whatever is wrong with it is told in the outcome.

    The output is written aside and gets its name when it is whole; the source is only read.
    """
    outcome = Outcome(job.source, job.target)
    begin, cpu = time.perf_counter(), time.process_time()
    try:
        _clean(job, settings, outcome, tell)
    except UserError as error:
        outcome.error = str(error)
    except Exception as error:  # a damaged file must not end the batch
        outcome.error = f"{job.source}: {type(error).__name__}: {error}"
    outcome.busy_s = round(time.perf_counter() - begin, 4)
    outcome.cpu_s = round(time.process_time() - cpu, 4)
    return outcome


def _clean(job: Job, settings: Settings, outcome: Outcome, tell: Tell) -> None:
    begin = time.perf_counter()
    with storage.fetched(job.source) as source, _called(job.source, source, outcome):
        outcome.fetched_s = time.perf_counter() - begin
        _fingerprint(source, outcome)
        with storage.stored(job.target) as target, _called(job.target, target, outcome):
            _through(source, target, settings, outcome, tell)
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
            os.listdir(source)  # one that fails here stands for all that is in it
    except OSError as error:
        raise AudioFileError(f"{source} cannot be opened: {error.strerror}") from error
    if not source.is_file():
        with open_audio(source):  # says what is wrong
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


@contextmanager
def _readable(source: Path, target: Path, outcome: Outcome) -> Iterator[tuple[Path, str | None]]:
    """The source, or what ffmpeg makes of it, and the subtype that the output then has."""
    if source.suffix.lower() not in ffmpeg.ENDINGS:
        yield source, None
        return
    with ffmpeg.decoded(source) as (sound, warnings), _called(str(source), sound, outcome):
        outcome.warnings += warnings
        form = FORMATS.get(target.suffix.lower())
        fits = form and soundfile.check_format(form, ffmpeg.SUBTYPE)
        yield sound, ffmpeg.SUBTYPE if fits else None


def _through(source: Path, target: Path, settings: Settings, outcome: Outcome, tell: Tell) -> None:
    with ExitStack() as stack:
        readable, subtype = stack.enter_context(_readable(source, target, outcome))
        reader = stack.enter_context(open_audio(readable))
        rate, channels = reader.samplerate, reader.channels
        run = FileRun(make_pipeline(settings, rate, channels), tell)
        measures = _Measures(settings, rate, reader.frames)
        aside = stack.enter_context(written_aside(target, reader, settings.subtype or subtype))
        size = max(1, min(round(BLOCK_S * rate), MOST_SAMPLES // channels))
        sound = stack.enter_context(read_ahead(blocks(reader, readable, size)))
        write = stack.enter_context(write_behind(aside))
        for heard, cleaned in run.clean(sound):
            write(cleaned)
            measures.hear(heard, cleaned)
        result = run.result(reader, readable)
        if _changed(source, outcome):  # before the output takes the place of an earlier one
            raise AudioFileError(f"{source} changed while it was read; run again")
        outcome.seconds, outcome.samplerate = result.seconds, rate
        outcome.channels = channels
        outcome.warnings += result.warnings
        outcome.keywords = [asdict(event) for event in result.events]
        measures.tell(outcome)
        if settings.spot:
            write_beside(outcome.target, result.events)


class _Measures:
    """Everything that is measured, before and after."""

    def __init__(self, settings: Settings, samplerate: int, length: int) -> None:
        self.before, self.after = Levels(samplerate), Levels(samplerate)
        self.picture = None
        if settings.pictures:
            self.picture = SmallResonogram(denoiser(settings.preset), samplerate, length)
        self.opinions = Opinions(Path(settings.dnsmos), samplerate) if settings.dnsmos else None

    def hear(self, before: Any, after: Any) -> None:
        self.before.hear(before)
        self.after.hear(after)
        for measure in (self.picture, self.opinions):
            if measure:
                measure.hear(before, after)

    def tell(self, outcome: Outcome) -> None:
        outcome.levels = {"before": self.before.summary(), "after": self.after.summary()}
        outcome.picture = self.picture.picture() if self.picture else None
        outcome.opinion = self.opinions.summary() if self.opinions else None


def readable_endings() -> frozenset[str]:
    """Endings of the files that are taken from folders."""
    known = {f".{name.lower()}" for name in soundfile.available_formats()}
    more = ".wav .wave .aif .aifc .oga .opus .snd .sph .8svx .sf"
    found = (known | set(more.split())) - {".raw", ".mat4", ".mat5"}
    return frozenset(found | ffmpeg.ENDINGS)
