"""What a sound file says beside its sound: titles, pictures, cue points, chapters.

Between two files of the same family all of it is copied as it is. Otherwise the strings that
libsndfile knows are carried over, and what is lost is named.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import soundfile

from resonance.app.soundfiles import chunks, other_chunks

#: More bytes than this are not kept in memory for a file's tags.
_MOST_BYTES = 1 << 26
_NAMES = {
    b"bext": "broadcast data (bext)",
    b"cue ": "cue points",
    b"smpl": "loops",
    b"iXML": "iXML",
    b"_PMX": "XMP",
    b"id3 ": "ID3 tag",
    b"ID3 ": "ID3 tag",
    b"cart": "cart data",
    b"inst": "instrument",
    b"acid": "loops",
    b"axml": "axml",
    b"MARK": "markers",
    b"INST": "instrument",
    b"COMT": "comments",
    b"APPL": "application data",
    b"MIDI": "MIDI data",
    b"mark": "markers",
}
_LISTED = {b"INAM", b"IART", b"ICMT", b"ICOP", b"ISFT", b"ICRD", b"IPRD", b"ITRK", b"IGNR"}
_COMMENTS = {
    "title",
    "copyright",
    "artist",
    "comment",
    "description",
    "date",
    "album",
    "license",
    "tracknumber",
    "genre",
    "encoder",
    "software",
}
_ID3 = {
    b"TIT2",
    b"TPE1",
    b"COMM",
    b"TCOP",
    b"TSSE",
    b"TDRC",
    b"TYER",
    b"TALB",
    b"TRCK",
    b"TCON",
    b"TENC",
    b"TLEN",
}
_ID3_NAMES = {b"APIC": "cover picture", b"CHAP": "chapters", b"CTOC": "chapters"}
_FLAC_NAMES = {2: "application data", 5: "cue sheet", 6: "cover picture"}


@dataclass
class Metadata:
    """What a file says, as it is stored there.

    Attributes
    ----------
    family
        Files of the same one can hold it as it is.
    strings
        By libsndfile's names.
    chunks
        Of RIFF, AIFF, CAF and W64: names and contents.
    blocks
        Of FLAC: types and contents. Of MP3: tags in front (0) and behind (1).
    only_here
        Names of what other families cannot hold.
    """

    family: str = ""
    strings: dict[str, str] = field(default_factory=dict)
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    blocks: list[tuple[int, bytes]] = field(default_factory=list)
    only_here: list[str] = field(default_factory=list)


def read_metadata(path: Path, file: soundfile.SoundFile) -> Metadata:
    """What ``path`` says; ``file`` is the same one, open."""
    found = Metadata(strings={n: v for n, v in file.copy_metadata().items() if v})
    with path.open("rb") as raw:
        head = raw.read(64)
        family = chunks.family_of(head)
        if family:
            found.family = family.name
            found.chunks = other_chunks.beside_the_sound(raw, family)
            found.only_here = _names_of_chunks(found.chunks)
        elif head[:4] == b"fLaC":
            found.family = "FLAC"
            found.blocks = _flac_blocks(raw)[0]
            found.only_here = _names_of_blocks(found.blocks)
        elif file.format == "MP3":
            found.family = "MP3"
            found.blocks = _mp3_tags(raw)
            found.only_here = _names_of_id3(b"".join(t for n, t in found.blocks if n == 0))
        elif head[:4] == b"OggS":
            found.family = "OGG"
            raw.seek(0)
            found.only_here = _names_of_comments(_ogg_comments(raw.read(1 << 16)))
    return found


def family_of_format(form: str) -> str:
    """The family of one of libsndfile's formats."""
    return {"WAV": "RIFF", "WAVEX": "RIFF", "RF64": "RIFF"}.get(form, form)


def attach(path: Path, form: str, metadata: Metadata) -> list[str]:
    """Put metadata of the same family into a finished file; names what could not be.

    Parameters
    ----------
    path
        The finished file.
    form
        Its container, by libsndfile's name.
    metadata
        What to add.

    Returns
    -------
    list[str]
        What could not be added, for people.
    """
    family = family_of_format(form)
    if family == metadata.family and metadata.chunks:
        known = next(
            f for f in (chunks.RIFF, chunks.AIFF, chunks.CAF, chunks.W64) if f.name == family
        )
        with path.open("r+b") as raw:
            other_chunks.append(raw, known, metadata.chunks)
    elif family == metadata.family and metadata.blocks:
        _rewrite(path, family, metadata.blocks)
    return _lost(path, family, metadata)


def _lost(path: Path, family: str, metadata: Metadata) -> list[str]:
    if family == metadata.family and family != "OGG":
        return []
    with soundfile.SoundFile(os.fsencode(path)) as file:
        there = file.copy_metadata()
    lost = [
        name
        for name, value in metadata.strings.items()
        if name != "software" and there.get(name, "").strip() != value.strip()
    ]
    return lost + metadata.only_here


def carries_strings(form: str, metadata: Metadata) -> bool:
    """Whether libsndfile is to write the strings, rather than that they are copied as they are."""
    return family_of_format(form) != metadata.family or metadata.family == "OGG"


def probed(path: Path) -> list[str]:
    """Names of what ffmpeg leaves out of a decoded file, as far as ffprobe says."""
    if shutil.which("ffprobe") is None:
        return []
    done = subprocess.run(
        [
            "ffprobe",
            "-v",
            "quiet",
            "-protocol_whitelist",
            "file",
            "-show_chapters",
            "-show_entries",
            "stream_disposition=attached_pic",
            "-of",
            "json",
            f"file:{path}",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    try:
        facts = json.loads(done.stdout)
        pictures = any(s.get("disposition", {}).get("attached_pic") for s in facts["streams"])
        return ["cover picture"] * pictures + ["chapters"] * bool(facts["chapters"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


# Chunks.


def _names_of_chunks(found: list[tuple[bytes, bytes]]) -> list[str]:
    names: list[str] = []
    for name, content in found:
        if name[:4] == b"LIST" and content[:4] == b"INFO":
            names += [f"tag {n.decode('ascii', 'replace')}" for n in _listed(content)]
        elif name[:4] == b"LIST" and content[:4] == b"adtl":
            names.append("labels of cue points")
        elif name[:4] in _NAMES:
            names.append(_NAMES[name[:4]])
    return list(dict.fromkeys(names))


def _listed(content: bytes) -> list[bytes]:
    """Names in a LIST of INFO that libsndfile has no string for."""
    place, found = 4, []
    while place + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[place : place + 8])
        if name not in _LISTED:
            found.append(name)
        place += 8 + size + size % 2
    return found


# FLAC.


def _flac_blocks(raw: BinaryIO) -> tuple[list[tuple[int, bytes]], int]:
    """Blocks that are about more than the sound, and where the frames begin."""
    raw.seek(4)
    found = []
    while len(head := raw.read(4)) == 4:
        size = int.from_bytes(head[1:], "big")
        content = raw.read(size)
        if head[0] & 127 in (2, 4, 5, 6) and len(content) == size:
            found.append((head[0] & 127, content))
        if head[0] & 128:
            break
    return found, raw.tell()


def _names_of_blocks(blocks: list[tuple[int, bytes]]) -> list[str]:
    names = [_FLAC_NAMES[kind] for kind, _ in blocks if kind in _FLAC_NAMES]
    for kind, content in blocks:
        if kind == 4:
            names += _names_of_comments(content)
    return list(dict.fromkeys(names))


def _names_of_comments(content: bytes) -> list[str]:
    """Fields of Vorbis comments that libsndfile has no string for."""
    try:
        place = 4 + int.from_bytes(content[:4], "little")
        count = int.from_bytes(content[place : place + 4], "little")
        place += 4
        names = []
        for _ in range(min(count, 1000)):
            size = int.from_bytes(content[place : place + 4], "little")
            name = content[place + 4 : place + 4 + size].partition(b"=")[0].decode("ascii").lower()
            place += 4 + size
            if name == "metadata_block_picture":
                names.append("cover picture")
            elif name and name not in _COMMENTS:
                names.append(f"tag {name}")
    except ValueError:
        return []
    return list(dict.fromkeys(names))


def _ogg_comments(head: bytes) -> bytes:
    """The comments in the first pages of an Ogg file, as far as they lie there in one piece."""
    for mark in (b"\x03vorbis", b"OpusTags"):
        at = head.find(mark)
        if at >= 0:
            return head[at + len(mark) :]
    return b""


# MP3.


def _mp3_tags(raw: BinaryIO) -> list[tuple[int, bytes]]:
    raw.seek(0)
    head = raw.read(10)
    found = []
    if head[:3] == b"ID3":
        size = sum((b & 127) << s for b, s in zip(head[6:10], (21, 14, 7, 0), strict=True))
        content = raw.read(min(size, _MOST_BYTES))
        if len(content) == size:
            found.append((0, head + content))
    length = os.fstat(raw.fileno()).st_size
    raw.seek(max(0, length - 128))
    last = raw.read(128)
    if last[:3] == b"TAG":
        found.append((1, last))
    return found


def _names_of_id3(tag: bytes) -> list[str]:
    if len(tag) < 10 or tag[3] not in (3, 4):
        return ["ID3 tag of an old version"] if tag else []
    place, names = 10, []
    while place + 10 <= len(tag) and tag[place : place + 1].isalnum():
        name = tag[place : place + 4]
        raw = tag[place + 4 : place + 8]
        size = int.from_bytes(raw, "big")
        if tag[3] == 4:
            size = sum((b & 127) << s for b, s in zip(raw, (21, 14, 7, 0), strict=True))
        if name in _ID3_NAMES:
            names.append(_ID3_NAMES[name])
        elif name not in _ID3:
            names.append(f"tag {name.decode('ascii', 'replace')}")
        place += 10 + size
    return list(dict.fromkeys(names))


# Both are written anew with other blocks in front.


def _rewrite(path: Path, family: str, blocks: list[tuple[int, bytes]]) -> None:
    with path.open("r+b") as raw:
        sound_start, head = _head_of(raw, family, blocks)
        tail = b"".join(content for kind, content in blocks if kind == 1 and family == "MP3")
        _shift(raw, sound_start, len(head))
        raw.seek(0)
        raw.write(head)
        raw.seek(0, os.SEEK_END)
        raw.write(tail)


def _head_of(raw: BinaryIO, family: str, blocks: list[tuple[int, bytes]]) -> tuple[int, bytes]:
    """Where the sound begins in a file, and what is to come before it."""
    if family == "MP3":
        raw.seek(0)
        own = _mp3_tags(raw)
        start = len(own[0][1]) if own and own[0][0] == 0 else 0
        return start, b"".join(content for kind, content in blocks if kind == 0)
    start = _flac_blocks(raw)[1]
    raw.seek(0)
    head = raw.read(4 + 4 + 34)  # STREAMINFO, which comes first
    head = head[:4] + bytes([0]) + head[5:]
    parts = [bytes([kind]) + len(content).to_bytes(3, "big") + content for kind, content in blocks]
    parts[-1] = bytes([parts[-1][0] | 128]) + parts[-1][1:]
    return start, head + b"".join(parts)


def _shift(raw: BinaryIO, start: int, wanted: int, window: int = 1 << 20) -> None:
    """Move all from ``start`` to the end so that it begins at ``wanted``."""
    raw.seek(0, os.SEEK_END)
    end = raw.tell()
    places = range(start, end, window)
    for place in reversed(places) if wanted > start else places:
        raw.seek(place)
        part = raw.read(min(window, end - place))
        raw.seek(place - start + wanted)
        raw.write(part)
    raw.truncate(end - start + wanted)
