"""Where the parts of hops lie, in samples; neither need be a whole number of them.

Compiled without fast mathematics, so that all find the same; called alone from Python,
``edge.py_func`` takes less time.
"""

from __future__ import annotations

import numpy as np

from resonance.dsp.compiling import compiled

_OPTIONS = {"nogil": True, "error_model": "numpy"}


@compiled("int64(int64, int64, float64)", **_OPTIONS)
def edge(part, parts, hop):  # type: ignore[no-untyped-def]
    """Sample at which a part begins; half samples go to the even one.

    Parameters
    ----------
    part
        Its number, from the first hop's first one on; may be negative.
    parts, hop
        Of a hop, and its samples.

    Returns
    -------
    int
        The sample.
    """
    return round(part / parts * hop)


@compiled("int64[::1](int64, int64, int64, float64)", **_OPTIONS)
def lengths_up_to(first, count, parts, hop):  # type: ignore[no-untyped-def]
    """Samples of ``count`` parts from ``first`` on, and of those that make a hop with the first.

    Parameters
    ----------
    first, count
        Number of a part, and how many.
    parts, hop
        As in :func:`edge`.

    Returns
    -------
    int64 array
        [parts - 1 + count].
    """
    lengths = np.empty(parts - 1 + count, np.int64)
    for i in range(len(lengths)):
        part = first + 1 - parts + i
        lengths[i] = edge(part + 1, parts, hop) - edge(part, parts, hop)
    return lengths


@compiled("int64[::1](int64, int64, float64, int64)", **_OPTIONS)
def edges_ahead(part, parts, hop, known):  # type: ignore[no-untyped-def]
    """Where a part ends, and each of those that follow and are known whole, from its start on.

    Parameters
    ----------
    part, parts, hop
        As in :func:`edge`.
    known
        Samples known from its start on.

    Returns
    -------
    int64 array
        [1 or more].
    """
    start, count = edge(part, parts, hop), 1
    while edge(part + count + 1, parts, hop) - start <= known:
        count += 1
    edges = np.empty(count, np.int64)
    for i in range(count):
        edges[i] = edge(part + 1 + i, parts, hop) - start
    return edges
