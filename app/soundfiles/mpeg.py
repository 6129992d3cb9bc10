"""MP3 files, frame by frame: how long one is can only be found by counting.

A header of its own (Xing or Info) says how many frames there are, but files without it, and files
that were joined, are longer or shorter than what a decoder expects.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import BinaryIO

from resonance.app.soundfiles.splice import Segment

#: Bytes read at once.
_WINDOW = 1 << 20
#: Bytes after an ID3 tag, or from the beginning, in which the first frame must begin.
_SEARCHED = 1 << 16
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class Frame:
    """The header of a frame of layer III."""

    version: int  #: 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    samplerate: int
    channels: int
    size: int  #: bytes, with the header

    @property
    def samples(self) -> int:
        """Of sound, for each channel."""
        return 1152 if self.version == 3 else 576

    @property
    def xing_offset(self) -> int:
        """Where a Xing or Info header would lie in it."""
        if self.version == 3:
            return 4 + (17 if self.channels == 1 else 32)
        return 4 + (9 if self.channels == 1 else 17)


def frame_header(head: bytes) -> Frame | None:
    """What four bytes say if a frame begins with them."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # sync, layer III
        return None
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return None
    first = version == 3
    samplerate = _RATES_HZ[version][rate]
    size = (144 if first else 72) * _KBITS[first][bits] * 1000 // samplerate + (head[2] >> 1 & 1)
    return Frame(version, samplerate, 1 if head[3] >> 6 == 3 else 2, size)


@dataclass
class Track:
    """The frames of a file."""

    frames: int = 0
    promised: int | None = None  #: frames by the first Xing or Info header
    kinds: set[tuple[int, int]] = field(default_factory=set)  #: samplerate and channels
    ranges: list[tuple[int, int]] = field(default_factory=list)  #: bytes with nothing but frames
    first: bytes = b""  #: header of the first frame
    misleads: bool = False  #: what comes before the first frame is no tag that decoders skip

    @property
    def is_plain(self) -> bool:
        """Whether a decoder finds all of it by the header."""
        if self.misleads:
            return False
        return self.promised is not None and abs(self.promised - self.frames) <= 1

    def segments(self) -> list[Segment]:
        """All frames, behind a header that says how many there are."""
        return [self._xing(), *self.ranges]

    def _xing(self) -> bytes:
        # Of the same kind as the first frame, with enough room: at 128 kbit/s or 64.
        head = bytearray(self.first)
        head[1] |= 1  # no checksum
        head[2] = (head[2] & 0x0D) | (0x90 if head[1] >> 3 & 3 == 3 else 0x80)
        frame = frame_header(bytes(head))
        assert frame is not None
        start = frame.xing_offset
        info = b"Xing" + (1).to_bytes(4, "big") + self.frames.to_bytes(4, "big")
        return (bytes(head) + bytes(start - 4) + info).ljust(frame.size, b"\0")


def track(file: BinaryIO) -> Track | None:
    """The frames of a file; None if it is no MP3 that can be counted."""
    length = os.fstat(file.fileno()).st_size
    window = _Window(file)
    behind_tags = _skip_tags(window, 0)
    lies = behind_tags > length
    place = _first_frame(window, 10 if lies else behind_tags, length)
    if place < 0:
        return None
    found = Track(misleads=lies or window.at(0, 3) == b"APE")
    while place < length - 4:
        frame = frame_header(window.at(place, 4))
        if frame is None:
            place = _next_frame(window, place, length)
            if place < 0:
                break
            continue
        if place + frame.size > length:
            break  # the last frame is not whole
        _count(found, frame, window.at(place, 64), place)
        place += frame.size
    return found if found.frames else None


def _count(found: Track, frame: Frame, head: bytes, place: int) -> None:
    at = frame.xing_offset
    if head[at : at + 4] in (b"Xing", b"Info"):  # no sound in it
        if not found.frames and found.promised is None and head[at + 7] & 1:
            found.promised = int.from_bytes(head[at + 8 : at + 12], "big")
        return
    if not found.frames:
        found.first = head[:4]
    found.frames += 1
    found.kinds.add((frame.samplerate, frame.channels))
    if found.ranges and found.ranges[-1][1] == place:
        found.ranges[-1] = (found.ranges[-1][0], place + frame.size)
    else:
        found.ranges.append((place, place + frame.size))


class _Window:
    """Bytes at any place of a file, read in large pieces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._start, self._bytes = file, 0, b""

    def at(self, place: int, size: int) -> bytes:
        within = place - self._start
        if within < 0 or within + size > len(self._bytes):
            self._file.seek(place)
            self._start, within = place, 0
            self._bytes = self._file.read(_WINDOW)
        return self._bytes[within : within + size]


def _skip_tags(window: _Window, place: int) -> int:
    """Behind the ID3 and APE tags that begin at ``place``."""
    while True:
        head = window.at(place, 32)
        if head[:3] == b"ID3" and len(head) >= 10:
            sizes = zip(head[6:10], (21, 14, 7, 0), strict=True)
            place += 10 + sum((byte & 127) << shift for byte, shift in sizes)
            place += 10 if head[5] & 16 else 0  # its footer
        elif head[:8] == b"APETAGEX" and len(head) == 32:
            size = int.from_bytes(head[12:16], "little") + (32 if head[23] & 32 else 0)
            place += max(32, size)
        elif head[:3] == b"TAG":
            place += 128
        else:
            return place


def _first_frame(window: _Window, place: int, length: int) -> int:
    """Where the first two frames in a row begin; -1: nowhere near."""
    for start in range(place, min(place + _SEARCHED, length - 4)):
        frame = frame_header(window.at(start, 4))
        if frame and frame_header(window.at(start + frame.size, 4)):
            return start
        if frame and start == place and start + frame.size == length:
            return start
    return -1


def _next_frame(window: _Window, place: int, length: int) -> int:
    """Where frames go on after something else: a tag, the beginning of another file, damage."""
    behind = _skip_tags(window, place)
    while behind < length - 4:
        part = window.at(behind, min(_WINDOW // 2, length - behind))
        at = part.find(b"\xff")
        while at >= 0:
            frame = frame_header(window.at(behind + at, 4))
            if frame and (
                behind + at + frame.size >= length - 4
                or frame_header(window.at(behind + at + frame.size, 4))
                or window.at(behind + at + frame.size, 3) in (b"ID3", b"TAG", b"APE")
            ):
                return behind + at
            at = part.find(b"\xff", at + 1)
        tag = part.find(b"ID3")
        if tag >= 0:
            skipped = _skip_tags(window, behind + tag)
            if skipped > behind + tag:
                behind = skipped
                continue
        behind += max(1, len(part))
    return -1
