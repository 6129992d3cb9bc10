"""Reading sound files: all that is in them, forward only, in constant memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.soundfiles import channel_positions, chunks, ffmpeg, mpeg, ogg, repaired_header
from resonance.app.soundfiles.metadata import Metadata, probed, read_metadata
from resonance.app.soundfiles.sound_extent import sound_extent
from resonance.app.soundfiles.splice import Segment, Spliced
from resonance.dsp.arrays import Float32Array

#: Samples read at a time, per channel.
BLOCK = 1 << 14
#: A block holds at most this many samples, all channels together.
MOST_SAMPLES = 1 << 22
#: libsndfile's word for "I cannot tell how long this is" begins here.
_UNKNOWN_LENGTH = 1 << 62
#: Where the streams of a chained FLAC file begin.
_FLAC = b"fLaC\x00\x00\x00\x22"
#: Bytes searched at once.
_WINDOW = 1 << 22


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Reads without ever seeking, so that files made by a pipe can be read, too."""

    def seekable(self) -> bool:
        return False

    def read_what_can_be(self, size: int) -> tuple[Float32Array, str | None]:
        """The next samples [≤ size, channels], and why there are no more if that is an error."""
        block = np.empty((size, self.channels), np.float32)
        pointer = soundfile._ffi.cast("float*", block.ctypes.data)
        count = soundfile._snd.sf_readf_float(self._file, pointer, size)
        error = soundfile._snd.sf_error(self._file)
        reason = soundfile.LibsndfileError(error).error_string if error else None
        return block[: max(0, count)], reason


class SoundReader:
    """A sound file, open for reading; see :func:`open_sound`.

    Attributes
    ----------
    samplerate, channels
        Of the sound, Hz; and how many of them :meth:`blocks` give.
    format, subtype
        As libsndfile calls them; the subtype is None where it knows none (ffmpeg reads it).
    frames
        Samples per channel, as far as that is known before reading; 0: unknown.
    warnings
        Sentences about what is wrong with it; complete once it is read.
    """

    def __init__(self, path: Path, files: list[_Forward], warnings: list[str]) -> None:
        first = files[0]
        self.path, self.warnings = path, warnings
        self._described = path
        self.samplerate: int = first.samplerate
        self.all_channels = self.channels = first.channels
        self.format: str = first.format
        self.subtype: str | None = first.subtype
        self.mask: int | None = None  #: positions of the channels, as WAV files say it
        self.valid_bits: int | None = None  #: of each sample, where fewer than are stored
        self.not_decoded: list[str] = []  #: names of what else is in it, but ffmpeg leaves out
        self._files = files
        self._exact = True
        self._channel: int | None = None
        lengths = [file.frames for file in files]
        self.frames = 0 if max(lengths) >= _UNKNOWN_LENGTH else sum(lengths)

    def metadata(self) -> Metadata:
        """What the file says beside its sound."""
        found = read_metadata(self._described, self._files[0])
        if self.subtype is None:
            found.family = ""  # of a decoded file, there are no chunks to copy
        return found

    def choose_channel(self, number: int) -> None:
        """Give this channel alone, counted from 1.

        Raises
        ------
        AudioFileError
            If there is none of that number.
        """
        if not 1 <= number <= self.all_channels:
            raise AudioFileError(
                f"{self.path} has {self.all_channels} channels; there is no channel {number}"
            )
        self._channel, self.channels, self.mask = number - 1, 1, None

    def blocks(self, size: int = BLOCK) -> Iterator[Float32Array]:
        """Blocks [samples, channels] of at most ``size`` samples until the sound ends.

        Raises
        ------
        AudioFileError
            If it is damaged from the start.
        """
        read, size = 0, max(1, min(size, MOST_SAMPLES // self.all_channels))
        for number, file in enumerate(self._files):
            if number and self._differs(file, read):
                return
            for block in self._of(file, size, read):
                read += len(block)
                yield block if self._channel is None else block[:, [self._channel]]
        if self._exact and read < self.frames:
            self.warnings.append(
                f"{self.path} is truncated: its header promises {self.frames} samples, "
                f"{read} are there"
            )

    def _of(self, file: _Forward, size: int, read: int) -> Iterator[Float32Array]:
        while True:
            block, error = file.read_what_can_be(size)
            if len(block):
                read += len(block)
                yield block
            if error:
                at_s = read / self.samplerate
                if not read:
                    raise AudioFileError(f"{self.path} is damaged from the start: {error}")
                self._exact = False
                self.warnings.append(
                    f"{self.path} is damaged or cut short after {at_s:.1f} s: {error}"
                )
                return
            if not len(block):
                return

    def _differs(self, file: _Forward, read: int) -> bool:
        """Whether a later part of a chained file is of another kind; warns of it."""
        if (file.samplerate, file.channels) == (self.samplerate, self.all_channels):
            return False
        self._exact = False
        self.warnings.append(
            f"{self.path} changes to {file.channels} × {file.samplerate} Hz after "
            f"{read / self.samplerate:.1f} s; what follows was left out"
        )
        return True

    def read(self, samples: int) -> Float32Array:
        """The first samples [at most samples, channels]; errors as in :meth:`blocks`."""
        found, count = [np.zeros((0, self.channels), np.float32)], 0
        for block in self.blocks():
            found.append(block[: samples - count])
            count += len(found[-1])
            if count >= samples:
                break
        return np.concatenate(found)


@contextmanager
def open_sound(path: Path) -> Iterator[SoundReader]:
    """A sound file for reading: what libsndfile or, where it is installed, ffmpeg can read.

    Raises
    ------
    AudioFileError
        If it is missing, not audio, or damaged from the start.
    """
    _check_is_file(path)
    with ExitStack() as stack:
        try:
            reader = _open(path, stack)
        except soundfile.LibsndfileError as error:
            reason = error.error_string
        except (TypeError, ValueError) as error:
            reason = str(error)
        except OSError as error:
            raise AudioFileError(f"{path} cannot be opened: {error.strerror}") from error
        else:
            yield reader
            return
        yield _open_with_ffmpeg(path, reason, stack)


def _check_is_file(path: Path) -> None:
    try:
        if not path.exists():
            raise AudioFileError(f"{path} does not exist")
        if path.is_dir():
            raise AudioFileError(f"{path} is a folder; give the files in it: {path}/*")
        if not path.is_file():
            raise AudioFileError(f"{path} is not a file")
        if path.stat().st_size == 0:
            raise AudioFileError(f"{path} cannot be read as audio: it is empty")
    except OSError as error:
        raise AudioFileError(f"{path} cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise AudioFileError(f"{str(path)!r} is no file's name: {error}") from error


def _open_with_ffmpeg(path: Path, reason: str, stack: ExitStack) -> SoundReader:
    if not ffmpeg.is_installed():
        raise AudioFileError(
            f"{path} cannot be read as audio: {reason.rstrip('.')}; or it needs ffmpeg, which is "
            "not installed"
        )
    try:
        sound, warnings = stack.enter_context(ffmpeg.decoded(path))
        file = stack.enter_context(_Forward(_native(sound)))
    except (AudioFileError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"{path} cannot be read as audio: {reason.rstrip('.')}; nor by ffmpeg "
            f"({_after_colon(error)})"
        ) from error
    reader = SoundReader(path, [file], warnings)
    reader.subtype, reader._described = None, sound
    reader.not_decoded = probed(path)
    with sound.open("rb") as raw:
        reader.mask, _ = channel_positions.positions(raw, chunks.RIFF)
    return reader


def _after_colon(error: Exception) -> str:
    return str(error).partition("ffmpeg: ")[2] or str(error)


def _open(path: Path, stack: ExitStack) -> SoundReader:
    raw = stack.enter_context(path.open("rb"))
    head = raw.read(64)
    family = chunks.family_of(head)
    if family:
        return _open_chunks(path, raw, family, stack)
    if head[:4] == b"OggS":
        return _open_links(path, raw, stack)
    tagged = head.startswith((b"ID3", b"APETAGEX"))
    track = mpeg.track(raw) if tagged or mpeg.frame_header(head[:4]) else None
    if track:
        return _open_mpeg(path, raw, track, stack)
    starts = _flac_streams(raw) if head[:4] == b"fLaC" else []
    if len(starts) > 1:
        ends = [*starts[1:], os.fstat(raw.fileno()).st_size]
        parts = [_spliced(path, [part], stack) for part in zip(starts, ends, strict=True)]
        return SoundReader(path, parts, [])
    return SoundReader(path, [stack.enter_context(_Forward(_native(path)))], [])


def _open_chunks(path: Path, raw: BinaryIO, family: chunks.Family, stack: ExitStack) -> SoundReader:
    extent = sound_extent(raw, family)
    raw.seek(0)
    misleads = family is chunks.CAF and extent and not extent.is_right  # libsndfile refuses it
    lies = extent and (extent.promised < extent.there or extent.unknown or raw.read(4) == b"BW64")
    if extent and (lies or misleads):
        file = _spliced(path, repaired_header.repaired(raw, family, extent), stack)
    else:
        file = stack.enter_context(_Forward(_native(path)))
    reader = SoundReader(path, [file], [])
    if extent and extent.complaint:
        reader.warnings.append(f"{path} {extent.complaint}")
        reader._exact = False
    if family is not chunks.AIFF:
        reader.mask, reader.valid_bits = channel_positions.positions(raw, family)
    return reader


def _open_links(path: Path, raw: BinaryIO, stack: ExitStack) -> SoundReader:
    found = ogg.links(raw)
    if len(found) > 1:
        parts = [_spliced(path, [(link.start, link.stop)], stack) for link in found]
    else:
        parts = [stack.enter_context(_Forward(_native(path)))]
    reader = SoundReader(path, parts, [])
    if found and not found[-1].ended:
        reader.warnings.append(
            f"{path} has no whole end: it is damaged or cut short; all that is there was read"
        )
    return reader


def _open_mpeg(path: Path, raw: BinaryIO, track: mpeg.Track, stack: ExitStack) -> SoundReader:
    if len(track.kinds) > 1:
        raise ValueError("it changes its samplerate or channels on the way")
    if track.is_plain:
        file = stack.enter_context(_Forward(_native(path)))
    else:
        file = _spliced(path, track.segments(), stack)
    reader = SoundReader(path, [file], [])
    reader._exact = False  # the last frames may hold less
    if track.promised is not None and track.promised > track.frames + 1:
        reader.warnings.append(
            f"{path} is truncated: its header promises {track.promised} frames, "
            f"{track.frames} are there"
        )
    return reader


def _flac_streams(raw: BinaryIO) -> list[int]:
    """Where the streams of a FLAC file begin, of which there is usually one."""
    starts, place = [], 0
    raw.seek(0)
    while part := raw.read(_WINDOW):
        at = part.find(_FLAC)
        while at >= 0:
            starts.append(place + at)
            at = part.find(_FLAC, at + 1)
        if len(part) < _WINDOW:
            break
        place += len(part) - len(_FLAC) + 1
        raw.seek(place)
    return starts


def _spliced(path: Path, segments: list[Segment], stack: ExitStack) -> _Forward:
    file = stack.enter_context(Spliced(path.open("rb"), segments))
    return stack.enter_context(_Forward(file))  # type: ignore[no-any-return]


def _native(path: Path) -> str | bytes:
    """The path for libsndfile: bytes where names need not be text."""
    return str(path) if sys.platform == "win32" else os.fsencode(path)
