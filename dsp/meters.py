"""Levels in dB of full scale."""

from __future__ import annotations

import math

#: What silence reads.
FLOOR_DB = -120.0


def to_db(amplitude: float) -> float:
    """Amplitude (1 is full scale) in dBFS, never below FLOOR_DB."""
    return max(FLOOR_DB, 20.0 * math.log10(amplitude)) if amplitude > 1e-6 else FLOOR_DB
