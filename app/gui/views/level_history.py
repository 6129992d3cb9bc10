"""The last seconds of all oscillators, for the resonogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resonance.app.gui.frames import Frame

#: Hops that are kept: 32 s.
KEPT = 4000
#: Levels are kept as whole numbers: 0 is the first of these, 255 the second, dBFS.
FLOOR_DB, TOP_DB = -96.0, 0.0

Bytes = NDArray[np.uint8]


class History:
    """The last hops of all oscillators, as small whole numbers [hops, oscillators]."""

    def __init__(self, oscillators: int) -> None:
        self.input, self.output, self.phase = (
            np.zeros((KEPT, oscillators), np.uint8) for _ in range(3)
        )
        self.end = 0  #: number of the column after the newest

    def add(self, frame: Frame) -> NDArray[np.intp]:
        """Take a frame's columns in; returns the places that changed."""
        columns = frame.columns
        skipped = np.arange(max(self.end, frame.first_column - KEPT), frame.first_column) % KEPT
        self.input[skipped] = self.output[skipped] = self.phase[skipped] = 0
        last = min(KEPT, len(columns.input))
        places = np.arange(frame.last_column - last, frame.last_column) % KEPT
        if last:
            self.input[places] = _levels(columns.input[-last:])
            self.output[places] = _levels(columns.output[-last:])
            turns = columns.phase[-last:] / (2 * np.pi) + 0.5
            self.phase[places] = np.clip(255.0 * turns, 0, 255).astype(np.uint8)
        self.end = frame.last_column
        return np.concatenate([skipped, places])

    def copy(self) -> History:
        """As it is now."""
        other = History(self.input.shape[1])
        other.input[:], other.output[:], other.phase[:] = self.input, self.output, self.phase
        other.end = self.end
        return other


def _levels(power: NDArray[np.float32]) -> Bytes:
    db = 10.0 * np.log10(power + 1e-12)
    scaled = (db - FLOOR_DB) * (255.0 / (TOP_DB - FLOOR_DB))
    return np.asarray(np.clip(scaled, 0, 255).astype(np.uint8))


def level_db(level: int) -> float:
    """Level in dBFS of a kept number."""
    return FLOOR_DB + level * (TOP_DB - FLOOR_DB) / 255.0


def kept_level(db: float) -> float:
    """The number that a level in dBFS is kept as, not rounded."""
    return (db - FLOOR_DB) * 255.0 / (TOP_DB - FLOOR_DB)
