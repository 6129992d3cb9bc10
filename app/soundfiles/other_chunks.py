"""Chunks that are about more than the sound itself: read from one file, added to another."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from resonance.app.soundfiles.chunks import (
    AIFF,
    RIFF,
    W64,
    WRAP,
    Chunk,
    Family,
    chunks,
    sized,
)
from resonance.app.soundfiles.sound_extent import SoundExtent, sound_extent

#: Chunks that describe the sound itself; a cleaned file has its own.
_OF_SOUND = frozenset(
    {
        b"fmt ",
        b"fact",
        b"data",
        b"ds64",
        b"COMM",
        b"SSND",
        b"FVER",
        b"desc",
        b"pakt",
        b"kuki",
        b"PEAK",
        b"peak",
        b"levl",
        b"MD5 ",
        b"JUNK",
        b"PAD ",
        b"FLLR",
        b"free",
        b"chan",
        b"CHAN",
        b"ovvw",
        b"junk",
        b"wvhd",
    }
)


def beside_the_sound(file: BinaryIO, family: Family) -> list[tuple[bytes, bytes]]:
    """Name and content of every chunk that is about more than the sound itself."""
    length = os.fstat(file.fileno()).st_size
    found = []
    extent = sound_extent(file, family)
    for chunk in _all_chunks(file, family, extent):
        if chunk.name in _OF_SOUND or not 0 <= chunk.size <= length - chunk.body:
            continue
        file.seek(chunk.start)
        name = file.read(family.name_bytes)
        file.seek(chunk.body)
        found.append((name, file.read(chunk.size)))
    return found


def _all_chunks(file: BinaryIO, family: Family, extent: SoundExtent | None) -> Iterator[Chunk]:
    for chunk in chunks(file, family):
        if chunk.name == family.sound:
            break
        yield chunk
    if extent and extent.start + extent.there < os.fstat(file.fileno()).st_size:
        end = extent.start + extent.there
        for start in dict.fromkeys((-(-end // family.pad) * family.pad, end)):
            after = list(chunks(file, family, start))
            if after and all(32 <= letter < 127 for letter in after[0].name[:4]):
                yield from after
                return


def append(file: BinaryIO, family: Family, content: list[tuple[bytes, bytes]]) -> None:
    """Add chunks to the end of a whole file.

    Parameters
    ----------
    file
        Open for reading and writing, binary.
    family
        How the chunks of this kind of file are laid out.
    content
        Name and body of each chunk.
    """
    file.seek(0, os.SEEK_END)
    file.write(bytes(-file.tell() % family.pad))
    for name, body in content:
        file.write(name + sized(family, body))
    length = file.tell()
    if family is AIFF or (family is RIFF and length - 8 < WRAP and _magic(file) == b"RIFF"):
        file.seek(4)
        file.write(struct.pack(family.size_format, length - 8))
    elif family is RIFF:
        for chunk in chunks(file, family):
            if chunk.name == b"ds64":
                file.seek(chunk.body)
                file.write(struct.pack("<Q", length - 8))
            break
    elif family is W64:
        file.seek(16)
        file.write(struct.pack("<q", length))


def _magic(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(4)
