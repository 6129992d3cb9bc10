"""Whether values that come from outside (files, models, records) are what they should be."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

#: Samplerates that are taken, Hz; 8 to 96 kHz are tested.
SAMPLERATES = (4000, 192000)
#: Limits of the attenuation that make sense, dB.
LIMITS_DB = (0, 200)
#: False accepts per hour that can be asked for.
RATES_PER_HOUR = (1e-9, 1e6)


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether it is a finite number from ``low`` to ``high``; True and False are none.

    Parameters
    ----------
    value
        Anything.
    low, high
        Ends of the range, inclusive.

    Returns
    -------
    bool
        False for anything else, NaN and infinity too.
    """
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e300
        and math.isfinite(value)
        and low <= value <= high
    )


def is_count(value: Any, low: int = 0, high: int = 1 << 53) -> bool:
    """Whether it is a whole number from ``low`` to ``high``.

    Parameters
    ----------
    value
        Anything.
    low, high
        Ends of the range, inclusive.

    Returns
    -------
    bool
        False for anything else, True and False too.
    """
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def are_numbers(
    value: Any, lengths: Collection[int] | None = None, low: float = -1e300, high: float = 1e300
) -> bool:
    """Whether it is a list of finite numbers, of one of these lengths.

    Parameters
    ----------
    value
        Anything.
    lengths
        Lengths that the list may have.
    low, high
        Ends of the range, inclusive.

    Returns
    -------
    bool
        False for anything else.
    """
    return (
        isinstance(value, list)
        and (lengths is None or len(value) in lengths)
        and all(is_number(number, low, high) for number in value)
    )


def is_finite(value: Any) -> bool:
    """Whether there are only finite numbers, texts, lists and tables of them in it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_finite(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(is_finite, value))
    return value is None or isinstance(value, str | bool) or is_number(value)
