"""Reading and writing sound files: forward only, in constant memory, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.sessions import Float32Array

#: Samples read at a time, per channel.
BLOCK = 1 << 14
#: What can be written, by the end of the file's name: container of libsndfile.
FORMATS = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".flac": "FLAC",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".opus": "OGG",
    ".mp3": "MP3",
    ".aiff": "AIFF",
    ".aif": "AIFF",
    ".aifc": "AIFF",
    ".caf": "CAF",
    ".au": "AU",
    ".rf64": "RF64",
    ".w64": "W64",
}
#: Containers that may hold the same kind of sound under the extension .wav.
_WAV_KINDS = ("WAV", "WAVEX", "RF64")
#: A plain WAV cannot count further, bytes.
_WAV_LIMIT = 4_000_000_000
#: What libsndfile notes when a header's size is wrong: the size promised, then the real one.
_MISMATCH = re.compile(r"(\d+) \(should be (\d+)\)")
#: libsndfile's word for "I cannot tell how long this is".
UNKNOWN_LENGTH = 1 << 62
#: Names of files that are being written: whose, and the process that writes.
_PART = re.compile(r"\.([0-9a-f]{16})\.\d+\.part")


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads without ever seeking, so that files made by a pipe can be read, too."""

    def seekable(self) -> bool:
        return False


def _native(path: Path) -> str | bytes:
    """The path for libsndfile: bytes where names need not be text."""
    return str(path) if sys.platform == "win32" else os.fsencode(path)


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """A file for reading.

    Raises
    ------
    AudioFileError
        If it is missing, not audio, or damaged from the start.
    """
    try:
        if not path.exists():
            raise AudioFileError(f"{path} does not exist")
        if path.is_dir():
            raise AudioFileError(f"{path} is a folder; give the files in it: {path}/*")
        if not path.is_file():
            raise AudioFileError(f"{path} is not a file")
        empty = path.stat().st_size == 0
        file = _Forward(_native(path))
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = "it is empty" if empty else getattr(error, "error_string", str(error))
        raise AudioFileError(f"{path} cannot be read as audio: {reason}") from error
    except OSError as error:
        raise AudioFileError(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        yield file


def blocks(file: soundfile.SoundFile, path: Path, size: int = BLOCK) -> Iterator[Float32Array]:
    """Blocks [samples, channels] of ``size`` samples until the file ends.

    Raises
    ------
    AudioFileError
        If it is damaged on the way.
    """
    heard = 0
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            at_s = heard / file.samplerate
            raise AudioFileError(f"{path} is damaged after {at_s:.1f} s: {error}") from error
        if not len(block):
            return
        heard += len(block)
        yield block


def truncation(file: soundfile.SoundFile, heard: int) -> str | None:
    """What a header promises beyond the samples that were heard, or None."""
    if heard < file.frames < UNKNOWN_LENGTH:
        return f"its header promises {file.frames} samples, {heard} are there"
    for promised, there in _MISMATCH.findall(file.extra_info):
        if int(promised) > int(there):
            return f"its header promises {promised} bytes, {there} are there"
    return None


def output_format(
    source: soundfile.SoundFile, target: Path, subtype: str | None = None
) -> tuple[str, str]:
    """Container and subtype for ``target``: the source's own wherever the container allows.

    Parameters
    ----------
    subtype
        Take this one instead of the source's: PCM_16, PCM_24, FLOAT …

    Raises
    ------
    AudioFileError
        If the target's name ends in nothing that can be written, or the subtype does not fit.
    """
    ending = target.suffix.lower()
    if ending not in FORMATS and target.suffix == Path(os.fsdecode(source.name)).suffix:
        return source.format, subtype or source.subtype
    if ending not in FORMATS:
        raise AudioFileError(
            f"{target}: cannot write {target.suffix or 'a name without an ending'!r}; "
            f"use one of {' '.join(FORMATS)}"
        )
    form = FORMATS[ending]
    if form == "WAV" and source.format in _WAV_KINDS:
        form = source.format
    if ending == ".opus":
        return form, "OPUS"
    if subtype and not soundfile.check_format(form, subtype):
        raise AudioFileError(f"{target}: {form} cannot hold {subtype}; choose another subtype")
    if subtype is None:
        fits = soundfile.check_format(form, source.subtype)
        subtype = source.subtype if fits else soundfile.default_subtype(form)
    if form in ("WAV", "WAVEX") and _size(source, subtype) > _WAV_LIMIT:
        form = "RF64"
    return form, subtype


def _size(source: soundfile.SoundFile, subtype: str) -> int:
    """Bytes of the sound if written as ``subtype``, at most."""
    width = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)
    return int(source.frames * source.channels) * width


def part_of(target: Path) -> Path:
    """Where ``target`` is written until it is whole: beside its place, under a short name."""
    return target.with_name(f".{_mark(target)}.{os.getpid()}.part")


def _mark(target: Path) -> str:
    """Tells files of a folder apart, however long their names are."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]


def remove_parts(targets: Iterable[Path]) -> None:
    """Remove what processes that were killed left of these files; each folder is read once."""
    marks = defaultdict[Path, set[str]](set)
    for target in targets:
        marks[target.parent].add(_mark(target))
    for folder, ours in marks.items():
        with suppress(OSError):
            for path in folder.iterdir():
                part = _PART.fullmatch(path.name)
                if part and part[1] in ours:
                    path.unlink(missing_ok=True)


@contextmanager
def written_aside(
    target: Path, source: soundfile.SoundFile, subtype: str | None = None
) -> Iterator[Callable[[Float32Array], None]]:
    """Write ``target`` beside its place; it gets its name only once it is whole and reads back.

    Yields a function that takes blocks [samples, channels]. ``subtype`` as in
    :func:`output_format`.

    Raises
    ------
    AudioFileError
        If the target cannot be written; what stood there before stays.
    """
    form, subtype = output_format(source, target, subtype)
    aside = part_of(target)
    count = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with soundfile.SoundFile(
            _native(aside), "w", source.samplerate, source.channels, subtype, format=form
        ) as file:

            def write(block: Float32Array) -> None:
                nonlocal count
                file.write(block)
                count += len(block)

            yield write
        _check_whole(aside, count)
        os.replace(aside, target)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioFileError(f"{target} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def _check_whole(path: Path, count: int) -> None:
    """Closing a file can fail silently (a full disk): read it back before it gets its name."""
    with _Forward(_native(path)) as file:
        there = sum(len(block) for block in blocks(file, path))
    if there < count:
        raise OSError(f"only {there} of {count} samples were stored; is the disk full?")
