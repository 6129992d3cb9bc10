"""Ogg files, page by page: which streams follow one another, and whether the last one ends."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

_WINDOW = 1 << 20
_HEAD = 27


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc & 0xFFFFFFFF


_CRC = [_crc_of(byte) for byte in range(256)]


@dataclass
class Link:
    """One of the streams of a chained file."""

    start: int  #: bytes
    stop: int = 0
    streams: int = 1  #: side by side in it; more than one holds more than sound
    ended: bool = False  #: its last page is whole, and says that it is the last


def links(file: BinaryIO) -> list[Link]:
    """The streams of an Ogg file, one after the other; empty if it is none."""
    length = os.fstat(file.fileno()).st_size
    found: list[Link] = []
    place, page, beginning = 0, (0, 0), False
    while place + _HEAD <= length:
        file.seek(place)
        head = file.read(_HEAD + 255)
        if head[:4] != b"OggS" or len(head) < _HEAD + head[26]:
            place = _next_page(file, place + 1)
            if place < 0:
                break
            continue
        first, last = bool(head[5] & 2), bool(head[5] & 4)
        if first and beginning:
            found[-1].streams += 1
        elif first or not found:
            found.append(Link(place))
        beginning = first
        stop = place + _HEAD + head[26] + sum(head[_HEAD : _HEAD + head[26]])
        found[-1].stop = min(stop, length)
        found[-1].ended = last and stop <= length
        page, place = (place, stop), stop
    if found and found[-1].ended:
        file.seek(page[0])
        found[-1].ended = _is_whole(file.read(page[1] - page[0]))
    return found


def _is_whole(page: bytes) -> bool:
    """Whether a page's checksum is right."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc == int.from_bytes(page[22:26], "little")


def _next_page(file: BinaryIO, place: int) -> int:
    """Where pages go on after damage; -1: nowhere."""
    while True:
        file.seek(place)
        part = file.read(_WINDOW)
        at = part.find(b"OggS")
        if at >= 0:
            return place + at
        if len(part) < _WINDOW:
            return -1
        place += len(part) - 3
