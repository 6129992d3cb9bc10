"""A true header for a file made of chunks whose own is wrong."""

from __future__ import annotations

import struct
from typing import BinaryIO

from resonance.app.soundfiles.chunks import (
    RIFF,
    W64_CHUNK_TAIL,
    WRAP,
    Chunk,
    Family,
    chunks,
    content_of,
    sized,
)
from resonance.app.soundfiles.sound_extent import SoundExtent
from resonance.app.soundfiles.splice import Segment


def repaired(file: BinaryIO, family: Family, extent: SoundExtent) -> list[Segment]:
    """The file as segments whose header is true: description and sound, nothing else.

    Parameters
    ----------
    file
        Open for reading, binary.
    family
        How the chunks of this kind of file are laid out.
    extent
        Where the sound lies.

    Returns
    -------
    list[Segment]
        In the order of the new file.
    """
    head = b""
    for chunk in chunks(file, family):
        if chunk.name == family.sound:
            break
        if chunk.name in (b"fmt ", b"fact", b"COMM", b"FVER", b"desc", b"chan", b"pakt", b"kuki"):
            content = content_of(file, chunk)
            if chunk.name == b"COMM":
                content = _counted(content, extent.there - 8)
            if chunk.name != b"fact" or family is RIFF:
                head += _chunk(file, family, chunk, content)
    sound: Segment = (extent.start, extent.start + extent.there)
    return [*_HEADS[family.name](file, head, extent.there), sound]


def _chunk(file: BinaryIO, family: Family, chunk: Chunk, content: bytes) -> bytes:
    """A chunk under its own name with another content."""
    file.seek(chunk.start)
    name = file.read(family.name_bytes)
    return name + sized(family, content)


def _counted(content: bytes, sound_bytes: int) -> bytes:
    """AIFF's COMM chunk with the number of samples that there are, where that is known."""
    if len(content) < 18 or content[18:22] not in (
        b"",
        b"NONE",
        b"sowt",
        b"twos",
        b"fl32",
        b"FL32",
        b"fl64",
        b"FL64",
    ):
        return content
    channels, _, bits = struct.unpack(">HIH", content[:8])
    frame = channels * -(-bits // 8)
    count = sound_bytes // frame if frame else 0
    return content[:2] + struct.pack(">I", min(count, WRAP - 1)) + content[6:]


def _riff_head(_: BinaryIO, head: bytes, there: int) -> list[Segment]:
    if there + len(head) + 64 < WRAP:
        return [
            b"RIFF"
            + struct.pack("<I", 4 + len(head) + 8 + there)
            + b"WAVE"
            + head
            + b"data"
            + struct.pack("<I", there)
        ]
    total = 4 + 36 + len(head) + 8 + there
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, total, there, 0, 0)
    return [b"RF64\xff\xff\xff\xffWAVE" + ds64 + head + b"data\xff\xff\xff\xff"]


def _aiff_head(file: BinaryIO, head: bytes, there: int) -> list[Segment]:
    file.seek(8)
    kind = file.read(4)
    total = 4 + len(head) + 8 + there
    return [
        b"FORM"
        + struct.pack(">I", min(total, WRAP - 1))
        + kind
        + head
        + b"SSND"
        + struct.pack(">I", min(there, WRAP - 1))
    ]


def _caf_head(file: BinaryIO, head: bytes, there: int) -> list[Segment]:
    file.seek(0)
    return [file.read(8) + head + b"data" + struct.pack(">q", there)]


def _w64_head(file: BinaryIO, head: bytes, there: int) -> list[Segment]:
    file.seek(0)
    riff = file.read(16)
    file.seek(24)
    wave = file.read(16)
    data = b"data" + bytes.fromhex(W64_CHUNK_TAIL) + struct.pack("<q", 24 + there)
    return [riff + struct.pack("<q", 40 + len(head) + len(data) + there) + wave + head + data]


_HEADS = {"RIFF": _riff_head, "AIFF": _aiff_head, "CAF": _caf_head, "W64": _w64_head}
