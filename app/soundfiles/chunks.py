"""Files made of chunks: WAV, RF64, BW64, W64, AIFF, CAF."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

#: More chunks than this are no file that a program wrote.
MOST_CHUNKS = 10_000
#: Sizes and counters of 32 bits begin anew here.
WRAP = 1 << 32
W64_TAIL = {b"riff": "2e91cf11a5d628db04c10000"}
W64_CHUNK_TAIL = "f3acd3118cd100c04f8edb8a"


@dataclass(frozen=True)
class Family:
    """How a kind of file writes its chunks."""

    name: str
    head: int  #: bytes before the first chunk
    sound: bytes  #: name of the chunk with the sound
    size_format: str  #: of a chunk's size, as ``struct`` writes it
    name_bytes: int
    pad: int  #: chunks begin at multiples of this
    counts_head: bool  #: whether a chunk's size counts its name and size, too

    @property
    def header_bytes(self) -> int:
        """Of a chunk: its name and size."""
        return self.name_bytes + struct.calcsize(self.size_format)


RIFF = Family("RIFF", 12, b"data", "<I", 4, 2, False)
AIFF = Family("AIFF", 12, b"SSND", ">I", 4, 2, False)
CAF = Family("CAF", 8, b"data", ">q", 4, 1, False)
W64 = Family("W64", 40, b"data", "<q", 16, 8, True)


def family_of(head: bytes) -> Family | None:
    """The family of a file that begins so [at least 16 bytes]; None: it has no such chunks."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return RIFF
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head[:4] == b"caff":
        return CAF
    return W64 if head[:16].hex() == b"riff".hex() + W64_TAIL[b"riff"] else None


@dataclass(frozen=True)
class Chunk:
    """A chunk of a file; W64's names are those of RIFF where they have one."""

    name: bytes
    start: int  #: of its name, bytes from the file's beginning
    body: int  #: where its content begins
    size: int  #: of the content, as the file says


def read_chunk(file: BinaryIO, family: Family, start: int) -> Chunk | None:
    """The chunk that begins at ``start``; None if there is none.

    Parameters
    ----------
    file
        Open for reading, binary.
    family
        How the chunks of this kind of file are laid out.
    start
        Of its header, bytes.

    Returns
    -------
    Chunk | None
        None at the end of the file.
    """
    file.seek(start)
    head = file.read(family.header_bytes)
    if len(head) < family.header_bytes:
        return None
    (size,) = struct.unpack(family.size_format, head[family.name_bytes :])
    name = head[:4] if family.name_bytes == 4 or _has_riff_name(head) else head[:16]
    size -= family.header_bytes * family.counts_head
    return Chunk(name, start, start + family.header_bytes, size)


def _has_riff_name(head: bytes) -> bool:
    return head[4:16].hex() == W64_CHUNK_TAIL


def next_start(chunk: Chunk, family: Family, size: int | None = None) -> int:
    """Where the chunk after this one begins.

    Parameters
    ----------
    chunk
        The one before.
    family
        How the chunks of this kind of file are laid out.
    size
        Of the file, bytes.

    Returns
    -------
    int
        Of its header, bytes.
    """
    end = chunk.body + (chunk.size if size is None else size)
    return -(-end // family.pad) * family.pad


def chunks(file: BinaryIO, family: Family, start: int | None = None) -> Iterator[Chunk]:
    """The chunks from ``start`` on (default: the first), as far as their sizes make sense.

    Parameters
    ----------
    file
        Open for reading, binary.
    family
        How the chunks of this kind of file are laid out.
    start
        Of a header, bytes; None: the first.

    Yields
    ------
    Chunk
        One after the other.
    """
    length = os.fstat(file.fileno()).st_size
    place = family.head if start is None else start
    for _ in range(MOST_CHUNKS):
        chunk = read_chunk(file, family, place)
        if chunk is None:
            return
        yield chunk
        if chunk.size < 0:
            return
        place = next_start(chunk, family)
        if place >= length:
            return


def content_of(file: BinaryIO, chunk: Chunk) -> bytes:
    """What a chunk holds, at most 1 MiB of it."""
    file.seek(chunk.body)
    return file.read(min(chunk.size, 1 << 20))


def sized(family: Family, content: bytes) -> bytes:
    """Size, content and padding of a chunk, which follow its name."""
    size = len(content) + family.header_bytes * family.counts_head
    padding = bytes(-len(content) % family.pad)
    return struct.pack(family.size_format, size) + content + padding
