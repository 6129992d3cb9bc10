"""A file made of parts of another one, without copying it."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Bytes of one's own, or a start and a stop in the file.
Segment = bytes | tuple[int, int]


class Spliced(io.RawIOBase):
    """Reads segments of ``file`` and bytes of one's own, one after the other, as one file."""

    def __init__(self, file: BinaryIO, segments: Sequence[Segment]) -> None:
        self._file = file
        self._segments = [s for s in segments if _length(s)]
        self._starts = [0, *accumulate(map(_length, self._segments))]
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where it is, bytes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere, never beyond either end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence]
        self._place = min(max(0, base + offset), self._starts[-1])
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        """The next bytes, as many as fit; fewer at the end."""
        wanted = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(wanted) and self._place < self._starts[-1]:
            part = self._from_one_segment(len(wanted) - filled)
            if not part:
                break
            wanted[filled : filled + len(part)] = part
            filled += len(part)
            self._place += len(part)
        return filled

    def _from_one_segment(self, size: int) -> bytes:
        number = bisect_right(self._starts, self._place) - 1
        segment, within = self._segments[number], self._place - self._starts[number]
        if isinstance(segment, bytes):
            return segment[within : within + size]
        start, stop = segment
        self._file.seek(start + within)
        return self._file.read(min(size, stop - start - within))

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()


def _length(segment: Segment) -> int:
    return len(segment) if isinstance(segment, bytes) else max(0, segment[1] - segment[0])
