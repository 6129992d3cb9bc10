"""Files made of chunks (WAV, RF64, BW64, W64, AIFF, CAF): what they hold, whatever sizes they say.

A recorder that was killed, or one that wrote into a pipe, leaves sizes that are 0, the largest
number there is, or those of some moments ago; a counter of 32 bits begins anew every 4 GiB. The
sound is what lies between the header and the end of the file, or the chunks after it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from resonance.app.soundfiles.splice import Segment

#: More chunks than this are no file that a program wrote.
MOST_CHUNKS = 10_000
_WRAP = 1 << 32
#: From here on, a size of 32 bits means "unknown" where it is more than there is: SoX and ffmpeg
#: say so when they write into a pipe.
_UNKNOWN_32 = 0x7F000000
_UNKNOWN_64 = 1 << 62
_W64_TAIL = {b"riff": "2e91cf11a5d628db04c10000"}
_W64_CHUNK_TAIL = "f3acd3118cd100c04f8edb8a"


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


def family_of(head: bytes) -> Family | None:
    """The family of a file that begins so [at least 16 bytes]; None: it has no such chunks."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return RIFF
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head[:4] == b"caff":
        return CAF
    return W64 if head[:16].hex() == b"riff".hex() + _W64_TAIL[b"riff"] else None


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
    return head[4:16].hex() == _W64_CHUNK_TAIL


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
    for size in (declared, *(range(declared + _WRAP, left + 1, _WRAP) if not wide else ())):
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
            content = _content(file, chunk)
            if chunk.name == b"COMM":
                content = _counted(content, extent.there - 8)
            if chunk.name != b"fact" or family is RIFF:
                head += _chunk(file, family, chunk, content)
    sound: Segment = (extent.start, extent.start + extent.there)
    return [*_HEADS[family.name](file, head, extent.there), sound]


def _content(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.body)
    return file.read(min(chunk.size, 1 << 20))


def _chunk(file: BinaryIO, family: Family, chunk: Chunk, content: bytes) -> bytes:
    """A chunk under its own name with another content."""
    file.seek(chunk.start)
    name = file.read(family.name_bytes)
    return name + _sized(family, content)


def _sized(family: Family, content: bytes) -> bytes:
    size = len(content) + family.header_bytes * family.counts_head
    padding = bytes(-len(content) % family.pad)
    return struct.pack(family.size_format, size) + content + padding


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
    return content[:2] + struct.pack(">I", min(count, _WRAP - 1)) + content[6:]


def _riff_head(_: BinaryIO, head: bytes, there: int) -> list[Segment]:
    if there + len(head) + 64 < _WRAP:
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
        + struct.pack(">I", min(total, _WRAP - 1))
        + kind
        + head
        + b"SSND"
        + struct.pack(">I", min(there, _WRAP - 1))
    ]


def _caf_head(file: BinaryIO, head: bytes, there: int) -> list[Segment]:
    file.seek(0)
    return [file.read(8) + head + b"data" + struct.pack(">q", there)]


def _w64_head(file: BinaryIO, head: bytes, there: int) -> list[Segment]:
    file.seek(0)
    riff = file.read(16)
    file.seek(24)
    wave = file.read(16)
    data = b"data" + bytes.fromhex(_W64_CHUNK_TAIL) + struct.pack("<q", 24 + there)
    return [riff + struct.pack("<q", 40 + len(head) + len(data) + there) + wave + head + data]


_HEADS = {"RIFF": _riff_head, "AIFF": _aiff_head, "CAF": _caf_head, "W64": _w64_head}


def positions(file: BinaryIO, family: Family) -> tuple[int | None, int | None]:
    """The channels' positions (a mask) and the valid bits, where an extensible header says them."""
    for chunk in chunks(file, family):
        if chunk.name == b"fmt " and chunk.size >= 40:
            content = _content(file, chunk)
            tag, _, _, _, _, bits, _, valid, mask = struct.unpack("<HHIIHHHHI", content[:24])
            if tag == 0xFFFE:
                return mask, valid if 0 < valid < bits else None
        if chunk.name in (b"fmt ", family.sound):
            break
    return None, None


def set_positions(file: BinaryIO, family: Family, mask: int | None, valid_bits: int | None) -> bool:
    """Write positions and valid bits into an extensible header; whether there is one.

    Parameters
    ----------
    file
        Open for reading and writing, binary.
    family
        How the chunks of this kind of file are laid out.
    mask
        Loudspeaker positions, as WAVE_FORMAT_EXTENSIBLE counts them.
    valid_bits
        Of each sample.

    Returns
    -------
    bool
        Whether there is such a header.
    """
    for chunk in chunks(file, family):
        if chunk.name == b"fmt ":
            content = _content(file, chunk)
            if chunk.size < 40 or content[:2] != b"\xfe\xff":
                return False
            if mask is not None:
                file.seek(chunk.body + 20)
                file.write(struct.pack("<I", mask))
            if valid_bits is not None:
                file.seek(chunk.body + 18)
                file.write(struct.pack("<H", valid_bits))
            return True
    return False


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
        file.write(name + _sized(family, body))
    length = file.tell()
    if family is AIFF or (family is RIFF and length - 8 < _WRAP and _magic(file) == b"RIFF"):
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
