"""The last N frames, always contiguous, without moving memory on every push."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FrameRing:
    """Keeps the newest ``length`` frames; every frame is written twice, so a view is one slice."""

    def __init__(self, length: int, width: int, fill: float = 0.0) -> None:
        self._length, self._fill = length, fill
        self._store = np.full((2 * length, width), fill, dtype=np.float32)
        self._next = 0

    def push(self, frame: NDArray[np.float32]) -> None:
        """Add one frame [width]; the oldest falls out."""
        self._store[self._next] = frame
        self._store[self._next + self._length] = frame
        self._next = (self._next + 1) % self._length

    def view(self) -> NDArray[np.float32]:
        """Oldest to newest [length, width]; valid until the next push."""
        return self._store[self._next : self._next + self._length]

    def reset(self) -> None:
        """Forget everything."""
        self._store[:] = self._fill
        self._next = 0
