"""Levels of a block of live sound in one compiled call: five array operations take longer."""

from __future__ import annotations

import numpy as np

from resonance.dsp.compiling import compiled


@compiled("Tuple((float64, float64, float64, int64))(float32[:])", nogil=True, error_model="numpy")
def levels(block):  # type: ignore[no-untyped-def]
    """Lowest and highest sample, mean square, and how many samples are not finite.

    Parameters
    ----------
    block
        Sound [samples], at least one; what is not finite counts as 0.

    Returns
    -------
    tuple
        Lowest, highest, mean square, and how many are not finite.
    """
    lowest, highest, power, bad = np.float32(np.inf), np.float32(-np.inf), 0.0, 0
    for x in block:
        if not np.isfinite(x):
            x = np.float32(0.0)
            bad += 1
        lowest, highest = min(lowest, x), max(highest, x)
        power += x * x
    return lowest, highest, power / len(block), bad
