"""Slow oscillators of every token, coupled across the bank: one hop of one layer.

A token covers a few neighbouring oscillators of the bank (``models/controller.py``).

``x + W_out (silu(gate) · mixed h)``: layer norm, drive, gain and gate of every token; its slow
oscillators ``h[t] = (1 - g[t]) e^{iθ} h[t-1] + g[t] u[t]`` from hop to hop; their real and
imaginary parts mixed across the tokens by two matrices. A hop is here what lies between two updates
of the network, which may be several in a hop of the bank. Training (``models/coupled.py``) and the
application (``dsp/controller.py``) run these same lines.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from resonance.dsp.compiling import compiled
from resonance.dsp.simd import LANES, WIDE, exp, load, store, total

#: Slow oscillators of a token: one vector.
STATES = LANES
#: Columns of z [tokens, 5 · STATES]: drive (real, imaginary), gain, gate (real, imaginary).
U_RE, U_IM, GAIN, GATE = 0, STATES, 2 * STATES, 3 * STATES
NORM_EPS = 1e-5
_OPTIONS: dict[str, Any] = {"fastmath": True, "error_model": "numpy", "nogil": True}
_NEVER_CALLED_FROM_PYTHON: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
#: For what other kernels call: compiled as a part of them.
kernel = numba.njit(**_OPTIONS, **_NEVER_CALLED_FROM_PYTHON)
#: For what is called at one place: compiled by itself, it would take in and optimise all that it
#: calls, and its caller once more.
once = numba.njit(inline="always")
#: For what is called from Python: compiled for the types of the first call.
cached = compiled(**_OPTIONS)


@kernel
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + e^-x) of each lane."""
    return 1.0 / (1.0 + exp(0.0 - x))


@kernel
def _one_by_one(start, step, a, b, c, first, j):  # type: ignore[no-untyped-def]
    """16 columns from j on of the rows from the first on."""
    for i in range(first, a.shape[0]):
        c0 = load(start, (i * step, j))
        for k in range(a.shape[1]):
            c0 += a[i, k] * load(b, (k, j))
        store(c, (i, j), c0)


@kernel
def _by_eight(start, step, a, b, c):  # type: ignore[no-untyped-def]
    """:func:`set_product`, eight rows at a time; those of start lie ``step`` apart, 0 or 1."""
    rows, inner = a.shape
    even = rows - rows % 8
    for j in range(0, b.shape[1], LANES):
        for i in range(0, even, 8):
            c0, c1, c2, c3 = (
                load(start, (i * step, j)),
                load(start, ((i + 1) * step, j)),
                load(start, ((i + 2) * step, j)),
                load(start, ((i + 3) * step, j)),
            )
            c4, c5, c6, c7 = (
                load(start, ((i + 4) * step, j)),
                load(start, ((i + 5) * step, j)),
                load(start, ((i + 6) * step, j)),
                load(start, ((i + 7) * step, j)),
            )
            for k in range(inner):
                row = load(b, (k, j))
                c0 += a[i, k] * row
                c1 += a[i + 1, k] * row
                c2 += a[i + 2, k] * row
                c3 += a[i + 3, k] * row
                c4 += a[i + 4, k] * row
                c5 += a[i + 5, k] * row
                c6 += a[i + 6, k] * row
                c7 += a[i + 7, k] * row
            store(c, (i, j), c0)
            store(c, (i + 1, j), c1)
            store(c, (i + 2, j), c2)
            store(c, (i + 3, j), c3)
            store(c, (i + 4, j), c4)
            store(c, (i + 5, j), c5)
            store(c, (i + 6, j), c6)
            store(c, (i + 7, j), c7)
        _one_by_one(start, step, a, b, c, even, j)


@kernel
def _by_four(start, step, a, b, c):  # type: ignore[no-untyped-def]
    """:func:`_by_eight`, four rows at a time."""
    rows, inner = a.shape
    even = rows - rows % 4
    for j in range(0, b.shape[1], LANES):
        for i in range(0, even, 4):
            c0, c1, c2, c3 = (
                load(start, (i * step, j)),
                load(start, ((i + 1) * step, j)),
                load(start, ((i + 2) * step, j)),
                load(start, ((i + 3) * step, j)),
            )
            for k in range(inner):
                row = load(b, (k, j))
                c0 += a[i, k] * row
                c1 += a[i + 1, k] * row
                c2 += a[i + 2, k] * row
                c3 += a[i + 3, k] * row
            store(c, (i, j), c0)
            store(c, (i + 1, j), c1)
            store(c, (i + 2, j), c2)
            store(c, (i + 3, j), c3)
        _one_by_one(start, step, a, b, c, even, j)


#: As many sums as the processor needs to be busy and has registers for: eight rows of one AVX-512
#: register each, or four of two AVX registers; eight of two would be stored and loaded at every
#: step.
_rows_together = _by_eight if WIDE else _by_four


@kernel
def set_product(start, a, b, c):  # type: ignore[no-untyped-def]
    """Fill c [i, j] with start + a b; j a multiple of 16.

    Parameters
    ----------
    start
        Of c's shape, or the same row [1, j] for all.
    a, b
        Factors [i, k] and [k, j].
    c
        Filled; may be start.
    """
    _rows_together(start, min(1, start.shape[0] - 1), a, b, c)


@kernel
def add_product(a, b, c):  # type: ignore[no-untyped-def]
    """Add a b to c; j a multiple of 16.

    Parameters
    ----------
    a, b
        Factors [i, k] and [k, j].
    c
        What is added to [i, j].
    """
    set_product(c, a, b, c)


@kernel
def normalise(x, n, scale):  # type: ignore[no-untyped-def]
    """Zero mean, unit variance of each token.

    Parameters
    ----------
    x
        Tokens [T, C].
    n
        Filled with the normalised ones [T, C].
    scale
        Filled with 1 / deviation [T].
    """
    tokens, channels = x.shape
    number = scale.dtype.type  # what is double among singles would take twice the time
    one, share, least = number(1.0), number(1.0 / channels), number(NORM_EPS)
    for t in range(tokens):
        added = load(x, (t, 0))
        for c in range(LANES, channels, LANES):
            added += load(x, (t, c))
        mean = total(added) * share
        squares = added * 0.0
        for c in range(0, channels, LANES):
            away = load(x, (t, c)) - mean
            store(n, (t, c), away)
            squares += away * away
        scale[t] = total(squares)
    for t in range(tokens):  # in a loop of its own, many at once
        scale[t] = one / np.sqrt(scale[t] * share + least)
    for t in range(tokens):
        for c in range(0, channels, LANES):
            store(n, (t, c), load(n, (t, c)) * scale[t])


@kernel
def project(n, into, bias, z):  # type: ignore[no-untyped-def]
    """Fill z with what every token says to its oscillators.

    Parameters
    ----------
    n
        Normalised tokens [T, C].
    into, bias
        Weights [C, 5S] and [5S].
    z
        Drive (real, imaginary), gain and gate (real, imaginary) [T, 5S].
    """
    set_product(bias.reshape(1, len(bias)), n, into, z)


@kernel
def resonate(z, before, turn, h):  # type: ignore[no-untyped-def]
    """One hop of the oscillators.

    Parameters
    ----------
    z
        From :func:`project` [T, 5S].
    before, h
        Oscillators after the hop before and, filled, after this one [2, T or more, S].
    turn
        cos and sin of the angle per hop [2, S].
    """
    cos, sin = load(turn, (0, 0)), load(turn, (1, 0))
    for t in range(z.shape[0]):
        gain = sigmoid(load(z, (t, GAIN)))
        size = 1.0 - gain
        pole_re, pole_im = size * cos, size * sin
        re, im = load(before, (0, t, 0)), load(before, (1, t, 0))
        store(h, (0, t, 0), pole_re * re - pole_im * im + gain * load(z, (t, U_RE)))
        store(h, (1, t, 0), pole_re * im + pole_im * re + gain * load(z, (t, U_IM)))


@kernel
def mix_tokens(mix, h, mixed):  # type: ignore[no-untyped-def]
    """Mix the oscillators across the tokens.

    Parameters
    ----------
    mix
        Matrices for real and imaginary parts [2, T, T].
    h
        Oscillators [2, T or more, S].
    mixed
        Filled [2, T, S].
    """
    tokens = mix.shape[1]
    mixed[:] = 0.0
    for part in range(2):
        add_product(mix[part], h[part, :tokens], mixed[part])


@kernel
def gate(z, mixed, gated):  # type: ignore[no-untyped-def]
    """Fill gated with ``silu(a) · mixed``, a being the gate.

    Parameters
    ----------
    z
        From :func:`project` [T, 5S].
    mixed
        From :func:`mix_tokens` [2, T, S].
    gated
        Real, then imaginary parts [T, 2S].
    """
    for t in range(z.shape[0]):
        for part in range(2):
            a = load(z, (t, GATE + part * STATES))
            store(gated, (t, part * STATES), a * sigmoid(a) * load(mixed, (part, t, 0)))


@kernel
def scratch(tokens, channels, x):  # type: ignore[no-untyped-def]
    """Room for what :func:`couple` computes on the way.

    Parameters
    ----------
    tokens, channels
        T and C.
    x
        An array of the type wanted.
    """
    return (
        np.empty((tokens, channels), x.dtype),
        np.empty(tokens, x.dtype),
        np.empty((tokens, 5 * STATES), x.dtype),
        np.empty((2, tokens, STATES), x.dtype),
        np.empty((tokens, 2 * STATES), x.dtype),
    )


@kernel
def couple(x, into, bias, turn, mix, out, before, h, room, y):  # type: ignore[no-untyped-def]
    """One hop: add to x what its coupled oscillators say.

    Parameters
    ----------
    x, y
        Tokens in and out [T, C]; may be the same.
    into, bias, turn, mix, out
        Weights [C, 5S], [5S], (cos, sin) [2, S], [2, T, T], [2S, C].
    before, h
        Oscillators after the hop before, and after this one [2, T or more, S].
    room
        From :func:`scratch`.
    """
    n, scale, z, mixed, gated = room
    normalise(x, n, scale)
    project(n, into, bias, z)
    resonate(z, before, turn, h)
    mix_tokens(mix, h, mixed)
    gate(z, mixed, gated)
    set_product(x, gated, out, y)
