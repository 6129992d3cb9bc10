"""Rings in memory that others may read: one writer, any number of readers, nobody waits.

Rows are numbered from 0; a ring keeps the last ones. A row's number is taken away while it is
rewritten and put back afterwards, so a reader knows which rows it copied whole.
"""

from __future__ import annotations

import platform
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array

Rows = NDArray[np.void]

#: Every ring begins at a multiple of so many bytes, and keeps as many for its counts.
ALIGN = 64
_FENCE = threading.local()
_ORDERED = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


def fence() -> None:
    """Memory accesses before this call happen before those after it, whatever the processor.

    x86 keeps them in the order that matters here by itself. ARM does not: there, a lock that is let
    go is a release, one that is taken an acquire, and the two are never exchanged: together they
    let nothing pass in either direction.
    """
    if _ORDERED:
        return
    lock = getattr(_FENCE, "lock", None)
    if lock is None:  # one for each thread: nobody ever waits
        lock = _FENCE.lock = threading.Lock()
    for _ in range(2):
        lock.acquire()
        lock.release()


class Ring:
    """The last rows of something that goes on, in memory that others may read.

    Parameters
    ----------
    memory
        Bytes, at least :meth:`size` of the same dtype and length.
    dtype
        Of a row; a field ``number`` is added.
    length
        Rows kept.
    """

    def __init__(self, memory: NDArray[np.uint8], dtype: np.dtype[Any], length: int) -> None:
        self._count = memory[:8].view(np.int64)
        self._rows = memory[ALIGN : self.size(dtype, length)].view(_numbered(dtype))
        self._numbers = self._rows["number"]
        self._begun = 0
        #: The rows' fields [length, …], for the writer.
        self.fields = {name: self._rows[name] for name in dtype.names or ()}

    @staticmethod
    def size(dtype: np.dtype[Any], length: int) -> int:
        """Bytes needed."""
        return ALIGN + _numbered(dtype).itemsize * length

    @property
    def count(self) -> int:
        """Rows written so far; the last one's number is one less."""
        return int(self._count[0])

    def begin(self) -> int:
        """The place in :attr:`fields` for the next row; nobody reads it until :meth:`commit`."""
        self._begun = self.count
        place = self._begun % len(self._rows)
        self._numbers[place] = -1
        fence()
        return place

    def commit(self) -> None:
        """Let others read the row begun."""
        count = self._begun
        fence()
        self._numbers[count % len(self._rows)] = count
        fence()
        self._count[0] = count + 1

    def put(self, *row: Any) -> None:
        """Add a whole row, its fields in their order: in half the time that one by one takes."""
        self._rows[self.begin()] = (-1, *row)
        self.commit()

    def since(self, number: int = 0) -> Rows:
        """A copy of every row from ``number`` on that is still kept, oldest first."""
        count = self.count
        wanted = np.arange(max(number, count - len(self._rows), 0), count)
        places = wanted % len(self._rows)
        fence()
        before = self._numbers[places]
        fence()
        rows: Rows = self._rows[places]
        fence()
        after = self._numbers[places]
        whole: Rows = rows[(before == wanted) & (after == wanted)]
        return whole

    def last(self) -> np.void | None:
        """A copy of the newest row, or None while there is none."""
        rows = self.since(self.count - 1)
        return rows[-1] if len(rows) else None


class SoundRing:
    """The last samples of input and output [samples, 2].

    Parameters
    ----------
    memory
        Bytes, at least :meth:`size` of the same length.
    length
        Samples kept.
    """

    def __init__(self, memory: NDArray[np.uint8], length: int) -> None:
        # Samples from _counts[0] on are being written, those before _counts[1] are whole.
        self._counts = memory[:16].view(np.int64)
        self._sound = memory[ALIGN : self.size(length)].view(np.float32).reshape(length, 2)

    @staticmethod
    def size(length: int) -> int:
        """Bytes needed."""
        return ALIGN + 8 * length

    def __len__(self) -> int:
        return len(self._sound)

    @property
    def count(self) -> int:
        """Samples written so far."""
        return int(self._counts[1])

    def put(self, block: Float32Array, out: Float32Array) -> None:
        """Add a block of input and output, both [samples], at most as long as the ring."""
        count, length = self.count, len(self._sound)
        self._counts[0] = count + len(block)
        fence()
        start = count % length
        first = min(len(block), length - start)
        for column, sound in enumerate((block, out)):
            self._sound[start : start + first, column] = sound[:first]
            self._sound[: len(sound) - first, column] = sound[first:]
        fence()
        self._counts[1] = count + len(block)

    def since(self, sample: int) -> tuple[int, Float32Array]:
        """The samples from ``sample`` on that are still kept, and the number of the first."""
        count, length = self.count, len(self._sound)
        start = max(sample, count - length, 0)
        fence()
        sound = self._sound[np.arange(start, count) % length]
        fence()
        overwritten = max(0, min(len(sound), int(self._counts[0]) - length - start))
        return start + overwritten, sound[overwritten:]

    def last(self, samples: int, delay: int = 0) -> Float32Array:
        """The newest samples but ``delay`` [samples, 2]; silence before the beginning."""
        stop = self.count - delay
        numbers = np.arange(stop - samples, stop)
        fence()
        sound = self._sound[numbers % len(self._sound)]
        sound[numbers < max(0, self.count - len(self._sound))] = 0.0
        return sound


def _numbered(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("number", np.int64), *((n, dtype.fields[n][0]) for n in dtype.names)])  # type: ignore[index,union-attr]
