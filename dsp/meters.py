"""Level meters in dB of full scale."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: What silence reads.
FLOOR_DB = -120.0


def to_db(amplitude: float) -> float:
    """Amplitude (1 is full scale) in dBFS, never below FLOOR_DB."""
    return max(FLOOR_DB, 20.0 * math.log10(amplitude)) if amplitude > 1e-6 else FLOOR_DB


class LevelMeter:
    """RMS over about 300 ms (IEC 60268-17 ballistics), and the highest peak so far."""

    def __init__(self, samplerate: float, integration_s: float = 0.3) -> None:
        self._samples = samplerate * integration_s
        self.reset()

    def reset(self) -> None:
        """Back to silence."""
        self._power = 0.0
        self._peak = 0.0
        self.clipped = 0  #: samples at or beyond full scale

    def update(self, block: NDArray[np.float32]) -> None:
        """Hear a block of any shape; samples that are not finite count as silence."""
        if not block.size:
            return
        sizes = np.abs(np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0))
        keep = math.exp(-block.shape[0] / self._samples)
        power = float(np.mean(np.square(sizes, dtype=np.float64)))
        self._power = keep * self._power + (1.0 - keep) * power
        self._peak = max(self._peak, float(sizes.max()))
        self.clipped += int(np.count_nonzero(sizes >= 1.0))

    @property
    def rms_db(self) -> float:
        """Level now, dBFS."""
        return to_db(math.sqrt(self._power))

    @property
    def peak_db(self) -> float:
        """Highest peak since the last reset, dBFS."""
        return to_db(self._peak)
