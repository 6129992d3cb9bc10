"""Peaks of a score over time, and how their rate falls with their height."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def peaks(
    scores: NDArray[np.floating], apart: int, least: float = -np.inf, most: int | None = None
) -> list[int]:
    """Places of the peaks in ``scores [steps]`` above ``least``, highest first.

    Parameters
    ----------
    scores
        [steps].
    apart
        Peaks are more than this many steps from each other.
    least
        Lower ones are left out.
    most
        How many at most; None: all.

    Returns
    -------
    list of int
        Steps.
    """
    left, places = scores.astype(np.float64), list[int]()
    while len(left) and len(places) != most and left.max() > least:
        best = int(left.argmax())
        places.append(best)
        left[max(0, best - apart) : best + apart + 1] = -np.inf
    return places


def log_rates(count: int, hours: float) -> NDArray[np.float64]:
    """Log of how often an hour the first, second … of ``count`` highest peaks is reached."""
    return np.asarray(np.log((np.arange(count) + 0.7) / hours))


def rate_line(highest: NDArray[np.floating], hours: float) -> tuple[float, float]:
    """(slope, start) of log rate per hour = start + slope · height; ``highest`` peaks first."""
    slope, start = np.polyfit(highest, log_rates(len(highest), hours), 1)
    return float(slope), float(start)
