"""Writing sound files: whole or not at all, in what the target can hold."""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.safe_write import Part
from resonance.app.soundfiles import channel_positions, chunks, ffmpeg, metadata
from resonance.app.soundfiles.reader import SoundReader
from resonance.dsp.arrays import Float32Array

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
_WIDTHS = {"PCM_U8": 1, "PCM_S8": 1, "PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}
#: Subtypes that hold samples above full scale.
_FLOATS = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III")
#: libsndfile: an RF64 file becomes a WAV when it is closed, if it is short enough.
_RF64_AUTO_DOWNGRADE = 0x1210
#: libsndfile: what it calls "System error.".
_SYSTEM_ERROR = 2
#: Positions that other containers take for granted, by the number of channels.
_USUAL_MASKS = {
    1: {0x4},
    2: {0x3},
    3: {0x7},
    4: {0x33},
    5: {0x37, 0x607},
    6: {0x3F, 0x60F},
    7: {0x70F},
    8: {0x63F},
}


@functools.cache
def can_write(form: str, subtype: str, samplerate: int, channels: int) -> bool:
    """Whether libsndfile writes such a file, tried out in memory.

    Parameters
    ----------
    form, subtype
        By libsndfile's names.
    samplerate
        Hz.
    channels
        How many.

    Returns
    -------
    bool
        Whether it can.
    """
    try:
        with soundfile.SoundFile(
            io.BytesIO(), "w", samplerate, channels, subtype, format=form
        ) as file:
            file.write(np.zeros((1, channels), np.float32))
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return False
    return True


def writable_name(source: Path) -> str:
    """The source's name, with ``.wav`` added where its ending cannot be written."""
    ending = source.suffix.lower()
    if ending in FORMATS or (ending not in ffmpeg.ENDINGS and ending[1:].upper() in _formats()):
        return source.name
    return f"{source.name}.wav"


@functools.cache
def _formats() -> frozenset[str]:
    return frozenset(soundfile.available_formats())


def output_format(source: SoundReader, target: Path, subtype: str | None = None) -> tuple[str, str]:
    """Container and subtype for ``target``: the source's own wherever that can be written.

    Parameters
    ----------
    subtype
        Take this one instead of the source's: PCM_16, PCM_24, FLOAT …

    Returns
    -------
    tuple[str, str]
        By libsndfile's names.

    Raises
    ------
    AudioFileError
        If the target's name ends in nothing that can be written, or the sound does not fit.
    """
    ending = target.suffix.lower()
    own = ending not in FORMATS and target.suffix == source.path.suffix
    if ending not in FORMATS and not own:
        raise AudioFileError(
            f"{target}: cannot write {target.suffix or 'a name without an ending'!r}; "
            f"use one of {' '.join(FORMATS)}"
        )
    form = source.format if own else FORMATS[ending]
    if form == "WAV" and source.format in _WAV_KINDS:
        form = source.format if source.subtype else "WAVEX" if source.mask else "WAV"
    kind = source.samplerate, source.channels
    if subtype:
        wanted = [subtype]
    elif ending == ".opus":
        wanted = ["OPUS"]
    else:
        default = soundfile.default_subtype(form) or "PCM_16"
        wanted = [source.subtype or ffmpeg.SUBTYPE, default]
    fits = next((s for s in wanted if can_write(form, s, *kind)), None)
    if fits is None and subtype:
        raise AudioFileError(f"{target}: {form} cannot hold {subtype}; choose another subtype")
    if fits is None:
        raise AudioFileError(
            f"{target}: {form} cannot hold {source.channels} × {source.samplerate} Hz as "
            f"{' or '.join(dict.fromkeys(wanted))}; use one of {' '.join(FORMATS)}"
        )
    if form in ("WAV", "WAVEX") and _size(source, fits) > _WAV_LIMIT:
        form = "RF64"
    return form, fits


def _size(source: SoundReader, subtype: str) -> int:
    """Bytes of the sound if written as ``subtype``, at most."""
    frames = source.frames or 1 << 40
    return int(frames * source.channels) * _WIDTHS.get(subtype, 4)


class SoundWriter:
    """A file that is being written beside its place; see :func:`written_sound`."""

    def __init__(
        self, target: Path, source: SoundReader, subtype: str | None, *, overwrite: bool
    ) -> None:
        self.target, self.source, self.warnings = target, source, list[str]()
        self.format, self.subtype = output_format(source, target, subtype)
        self.samples = self._clipped = 0
        self._step = self._valid_step()
        self._metadata = source.metadata()
        self.part = Part(target, overwrite=overwrite)
        try:
            self._file = open_part(
                self.part, source.samplerate, source.channels, self.subtype, self.format
            )
            if self.format == "RF64" and not source.frames:  # how long it gets is not known
                command(self._file, _RF64_AUTO_DOWNGRADE, 1)
            if metadata.carries_strings(self.format, self._metadata):
                self._write_strings()
        except BaseException:
            self.part.discard()
            raise

    def _valid_step(self) -> float:
        """What samples are rounded to; 0: they are not."""
        bits = self.source.valid_bits
        stored = 8 * _WIDTHS.get(self.subtype, 4)
        kept = bits and self.subtype == self.source.subtype and bits < stored
        return 2.0 ** (1 - bits) if kept and bits else 0.0

    def _write_strings(self) -> None:
        for name, value in self._metadata.strings.items():
            with suppress(soundfile.LibsndfileError):  # which there are is looked at in the end
                setattr(self._file, name, value)

    def write(self, block: Float32Array) -> None:
        """Add a block [samples, channels]."""
        if self.subtype not in _FLOATS:
            self._clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        if self._step:
            block = (np.round(block / self._step) * self._step).astype(np.float32)
        self._file.write(block)
        self.samples += len(block)

    def finish(self, preserve: bool) -> None:
        """Close it, see that it is whole, add what the source says, and give it its name."""
        self._file.close()
        check_whole(self.part.path, self.samples)
        self._describe()
        mode = modified_ns = None
        if preserve:
            status = self.source.path.stat()
            mode, modified_ns = status.st_mode & 0o777, status.st_mtime_ns
        self.part.finish(mode, modified_ns)

    def _describe(self) -> None:
        lost = metadata.attach(self.part.path, self.format, self._metadata)
        lost += self.source.not_decoded
        if not self._write_positions():
            lost.append(f"positions of the channels (mask {self.source.mask:#x})")
        if lost:
            self.warnings.append(
                f"{self.source.path}: not kept in {self.target}: {', '.join(dict.fromkeys(lost))}"
            )
        if self._clipped:
            self.warnings.append(
                f"{self.target}: {self._clipped} samples above full scale were clipped; "
                "a file of floats holds them (a .wav of subtype FLOAT)"
            )

    def _write_positions(self) -> bool:
        """Whether the channels are where they were."""
        mask = self.source.mask
        if metadata.family_of_format(self.format) == "RIFF":
            bits = self.source.valid_bits if self._step else None
            with self.part.path.open("r+b") as file:
                there = channel_positions.set_positions(file, chunks.RIFF, mask, bits)
            if there:
                return True
        return not mask or mask in _USUAL_MASKS.get(self.source.channels, {mask})

    def discard(self) -> None:
        """Take it away."""
        with suppress(soundfile.LibsndfileError, OSError):
            self._file.close()
        self.part.discard()


@contextmanager
def written_sound(
    target: Path,
    source: SoundReader,
    subtype: str | None = None,
    *,
    overwrite: bool = False,
    preserve: bool = False,
) -> Iterator[SoundWriter]:
    """Write ``target`` beside its place; it gets its name only once it is whole and reads back.

    Parameters
    ----------
    target
        Its ending chooses the container.
    source
        What it is made of: samplerate, channels, subtype and all that it says are kept.
    subtype
        As in :func:`output_format`.
    overwrite
        Whether a file of that name may be replaced.
    preserve
        Give it the source's mode and time stamp.

    Yields
    ------
    SoundWriter
        Takes the blocks.

    Raises
    ------
    AudioFileError
        If the target cannot be written; what was there before stays.
    """
    writer: SoundWriter | None = None
    try:
        if not overwrite and os.path.lexists(target):
            raise FileExistsError
        writer = SoundWriter(target, source, subtype, overwrite=overwrite)
        yield writer
        writer.finish(preserve)
    except FileExistsError as error:
        raise AudioFileError(
            f"{target} exists; choose another name, or replace it with --overwrite"
        ) from error
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioFileError(f"{target} cannot be written: {why(error)}") from error
    finally:
        if writer:
            writer.discard()


def why(error: Exception) -> str:
    """What went wrong in writing, without the name under which the file is written."""
    if isinstance(error, soundfile.LibsndfileError):
        no_room = error.code == _SYSTEM_ERROR
        return "the system takes no more; is the disk full?" if no_room else error.error_string
    return getattr(error, "strerror", None) or str(error)


def open_part(
    part: Part, samplerate: int, channels: int, subtype: str | None, form: str
) -> soundfile.SoundFile:
    """A part, open for writing by libsndfile.

    Parameters
    ----------
    part
        Its place on the disk.
    samplerate
        Hz.
    channels
        How many.
    subtype, form
        By libsndfile's names.

    Returns
    -------
    soundfile.SoundFile
        Open for writing.
    """
    if sys.platform == "win32":  # its descriptors are not those of libsndfile there
        return soundfile.SoundFile(str(part.path), "w", samplerate, channels, subtype, format=form)
    descriptor = os.dup(part.descriptor)
    return soundfile.SoundFile(descriptor, "w", samplerate, channels, subtype, format=form)


def command(file: soundfile.SoundFile, number: int, value: int) -> None:
    """A command of libsndfile for which soundfile has no name.

    Parameters
    ----------
    file
        Open in libsndfile.
    number
        Of the command, as in sndfile.h.
    value
        Its argument.
    """
    soundfile._snd.sf_command(file._file, number, soundfile._ffi.NULL, value)


def check_whole(path: Path, count: int) -> None:
    """Closing a file can fail silently (a full disk): read it back before it gets its name."""
    with soundfile.SoundFile(os.fsencode(path)) as file:
        there, block = 0, np.empty((1 << 16, file.channels), np.float32)
        while len(part := file.read(out=block)):
            there += len(part)
            if len(part) < len(block):
                break
    if there < count:
        raise OSError(f"only {there} of {count} samples were stored; is the disk full?")
