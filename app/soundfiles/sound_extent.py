"""Where the sound of a file made of chunks lies, whatever its header says of that.

A recorder that was killed, or one that wrote into a pipe, leaves sizes that are 0, the largest
number there is, or those of some moments ago; a counter of 32 bits begins anew every 4 GiB. The
sound is what lies between the header and the end of the file, or the chunks after it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from resonance.app.soundfiles.chunks import (
    MOST_CHUNKS,
    WRAP,
    Chunk,
    Family,
    chunks,
    next_start,
    read_chunk,
)

#: From here on, a size of 32 bits means "unknown" where it is more than there is: SoX and ffmpeg
#: say so when they write into a pipe.
_UNKNOWN_32 = 0x7F000000
_UNKNOWN_64 = 1 << 62
#: Chunks of which a file can do without the end.
_KNOWN = frozenset(
    {
        b"LIST",
        b"id3 ",
        b"ID3 ",
        b"bext",
        b"iXML",
        b"cue ",
        b"smpl",
        b"_PMX",
        b"JUNK",
        b"PAD ",
        b"FLLR",
        b"afsp",
        b"PEAK",
        b"fact",
        b"inst",
        b"plst",
        b"DISP",
        b"acid",
        b"strc",
        b"minf",
        b"elm1",
        b"regn",
        b"umid",
        b"levl",
        b"axml",
        b"chna",
        b"MD5 ",
        b"cart",
        b"NAME",
        b"AUTH",
        b"ANNO",
        b"(c) ",
        b"MARK",
        b"COMT",
        b"INST",
        b"MIDI",
        b"APPL",
        b"CHAN",
        b"info",
        b"strg",
        b"mark",
        b"uuid",
        b"free",
    }
)


@dataclass(frozen=True)
class SoundExtent:
    """Where a file's sound lies, and what its header says of that."""

    start: int  #: of the sound, bytes
    promised: int  #: bytes that the header promises
    there: int  #: bytes that are there
    unknown: bool  #: the header says that its writer did not know

    @property
    def is_right(self) -> bool:
        """Whether the header says what is there."""
        return self.promised == self.there

    @property
    def complaint(self) -> str | None:
        """What to report about it, if anything."""
        if self.is_right or self.unknown:
            return None
        if self.promised > self.there:
            return f"is truncated: its header promises {self.promised} bytes of sound, " + (
                f"{self.there} are there"
            )
        return (
            f"says that it holds {self.promised} bytes of sound; {self.there} are there and were "
            "read"
        )


def sound_extent(file: BinaryIO, family: Family) -> SoundExtent | None:
    """Where the sound lies; None if the file has none."""
    length = os.fstat(file.fileno()).st_size
    ds64 = None
    for chunk in chunks(file, family):
        if chunk.name == b"ds64":
            file.seek(chunk.body)
            content = file.read(24)
            ds64 = struct.unpack("<QQQ", content)[1] if len(content) == 24 else None
        if chunk.name == family.sound:
            return _extent(file, family, chunk, length, ds64)
    return None


def _extent(
    file: BinaryIO, family: Family, chunk: Chunk, length: int, ds64: int | None
) -> SoundExtent:
    left = max(0, length - chunk.body - _second_head(file, chunk, length))
    wide = struct.calcsize(family.size_format) == 8
    declared = chunk.size
    if ds64 is not None and chunk.size == 0xFFFFFFFF:
        declared, wide = ds64, True
    top = _UNKNOWN_64 if wide else _UNKNOWN_32
    if declared < 0 or declared > left:
        unknown = declared < 0 or declared >= top
        return SoundExtent(chunk.body, declared if declared > 0 else 0, left, unknown)
    for size in (declared, *(range(declared + WRAP, left + 1, WRAP) if not wide else ())):
        if _ends_well(file, family, next_start(chunk, family, size), length) or _ends_well(
            file, family, chunk.body + size, length
        ):
            return SoundExtent(chunk.body, declared, size, False)
    # A size of 0 with sound behind it: written at the end, which never came.
    return SoundExtent(chunk.body, declared, left, False)


def _second_head(file: BinaryIO, chunk: Chunk, length: int) -> int:
    """Bytes of a head at the file's end, where one that should have replaced the first came."""
    file.seek(0)
    head = file.read(16)
    file.seek(max(chunk.body, length - chunk.body))
    return chunk.body if file.read(16)[:4] == head[:4] and length > 2 * chunk.body else 0


def _ends_well(file: BinaryIO, family: Family, start: int, length: int) -> bool:
    """Whether there are nothing but chunks, padding or an ID3 tag from ``start`` on."""
    for _ in range(MOST_CHUNKS):
        if start >= length - 1:
            return True
        chunk = read_chunk(file, family, start)
        if chunk is None or chunk.name[:3] == b"TAG":
            return length - start in (128, 129) or length - start < 8
        if not any(chunk.name):
            return _is_zero(file, start, length)
        if not all(32 <= letter < 127 for letter in chunk.name[:4]) or chunk.size < 0:
            return False
        following = next_start(chunk, family)
        if following > length + family.pad:
            return chunk.name in _KNOWN
        start = following
    return False


def _is_zero(file: BinaryIO, start: int, length: int) -> bool:
    """Whether the rest is padding, at most a few sectors of it."""
    file.seek(start)
    return length - start <= 1 << 16 and not any(file.read(length - start))
