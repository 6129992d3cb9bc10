"""Compiled forward and reverse-time passes of the oscillator bank, for training on the CPU.

All arrays carry a batch first. ``edges [hops + 1]`` are the samples at which hops end; states are
kept only there, and the reverse passes replay one hop at a time from them, so that training needs
memory for one hop of states instead of all of them.

The adjoint of ``z[n] = λ z[n-1] + x[n]`` is the same oscillator run backwards in time,
``p[n] = conj(λ) p[n+1] + ∂L/∂z[n]``, with ``∂L/∂λ = Σ p[n] conj(z[n-1])`` and
``∂L/∂x[n] = Σ_k Re p_k[n]`` (real and imaginary parts as independent variables).
"""

from __future__ import annotations

import numba
import numpy as np

from resonance.dsp.compiling import compiled
from resonance.dsp.kernels import add_contrast

_FASTMATH = {"reassoc", "nsz", "contract"}
_per_item = compiled(parallel=True, fastmath=_FASTMATH)
_inner = compiled(fastmath=_FASTMATH, error_model="numpy")
_BIAS = 1e-15


@_inner
def _step(x, pole_re, pole_im, z_re, z_im):  # type: ignore[no-untyped-def]
    for k in range(pole_re.shape[0]):
        re = pole_re[k] * z_re[k] - pole_im[k] * z_im[k] + x
        z_im[k] = pole_re[k] * z_im[k] + pole_im[k] * z_re[k]
        z_re[k] = re


@_per_item
def listen_forward(  # type: ignore[no-untyped-def]
    x, edges, pole_re, pole_im, own_re, own_im, next_re, next_im, energy, contrast, end_re, end_im
):
    """Energy of each hop and z at its end [batch, hops, oscillators], from x [batch, samples].

    With weights of neighbours also their ``contrast [batch, hops, weights]`` (dsp/contrast.py).

    Parameters
    ----------
    x
        Sound [batch, samples].
    edges
        First sample of each hop, and the end [hops + 1].
    pole_re, pole_im
        λ of each oscillator [oscillators].
    own_re, own_im, next_re, next_im
        Weights of differences of neighbours [weights].
    energy, contrast, end_re, end_im
        Results, filled in.
    """
    for b in numba.prange(x.shape[0]):
        z_re = np.zeros_like(pole_re)
        z_im = np.zeros_like(pole_re)
        bias = x.dtype.type(_BIAS)
        for h in range(edges.shape[0] - 1):
            e = energy[b, h]
            c = contrast[b, h]
            for n in range(edges[h], edges[h + 1]):
                _step(x[b, n] + bias, pole_re, pole_im, z_re, z_im)
                for k in range(z_re.shape[0]):
                    e[k] += z_re[k] * z_re[k] + z_im[k] * z_im[k]
                add_contrast(z_re, z_im, own_re, own_im, next_re, next_im, c)
            end_re[b, h] = z_re
            end_im[b, h] = z_im


@_per_item
def synthesise_forward(  # type: ignore[no-untyped-def]
    x, edges, ramp, pole_re, pole_im, w_re, w_im, end_re, end_im, y
):
    """Weighted sum of the oscillators, y [batch, samples]; w [batch, hops + 1, oscillators].

    In hop h the weights go from ``w[h]`` to ``w[h + 1]`` within ``ramp`` samples. z at the end of
    each hop is kept in ``end [batch, hops, oscillators]`` for the reverse pass.

    Parameters
    ----------
    x
        Sound [batch, samples].
    edges
        First sample of each hop, and the end [hops + 1].
    ramp
        Samples in which weights change.
    pole_re, pole_im
        λ of each oscillator [oscillators].
    w_re, w_im
        Weights at each edge [batch, hops + 1, oscillators].
    end_re, end_im, y
        Results, filled in.
    """
    for b in numba.prange(x.shape[0]):
        z_re = np.zeros_like(pole_re)
        z_im = np.zeros_like(pole_re)
        one = x.dtype.type(1.0)
        bias = x.dtype.type(_BIAS)
        for h in range(edges.shape[0] - 1):
            width = min(ramp, edges[h + 1] - edges[h])
            for n in range(edges[h], edges[h + 1]):
                _step(x[b, n] + bias, pole_re, pole_im, z_re, z_im)
                old = x.dtype.type(0.0)
                new = x.dtype.type(0.0)
                for k in range(z_re.shape[0]):
                    old += w_re[b, h, k] * z_re[k] - w_im[b, h, k] * z_im[k]
                    new += w_re[b, h + 1, k] * z_re[k] - w_im[b, h + 1, k] * z_im[k]
                r = x.dtype.type(min(n - edges[h] + 1, width)) / x.dtype.type(width)
                y[b, n] = (one - r) * old + r * new
            end_re[b, h] = z_re
            end_im[b, h] = z_im


@_inner
def _replay(x, start, stop, pole_re, pole_im, begin_re, begin_im, z_re, z_im):  # type: ignore[no-untyped-def]
    """States z[0] … z[stop - start], the first being the state before the hop."""
    bias = x.dtype.type(_BIAS)
    z_re[0] = begin_re
    z_im[0] = begin_im
    for n in range(start, stop):
        i = n - start
        for k in range(pole_re.shape[0]):
            z_re[i + 1, k] = pole_re[k] * z_re[i, k] - pole_im[k] * z_im[i, k] + x[n] + bias
            z_im[i + 1, k] = pole_re[k] * z_im[i, k] + pole_im[k] * z_re[i, k]


@_inner
def _reverse_step(i, pole_re, pole_im, z_re, z_im, p_re, p_im, d_re, d_im, dp_re, dp_im):  # type: ignore[no-untyped-def]
    """One sample back: p ← conj(λ) p + d, gather ∂L/∂λ; returns ∂L/∂x."""
    total = p_re[0] * 0.0
    for k in range(pole_re.shape[0]):
        re = pole_re[k] * p_re[k] + pole_im[k] * p_im[k] + d_re[k]
        im = pole_re[k] * p_im[k] - pole_im[k] * p_re[k] + d_im[k]
        p_re[k] = re
        p_im[k] = im
        dp_re[k] += re * z_re[i, k] + im * z_im[i, k]
        dp_im[k] += im * z_re[i, k] - re * z_im[i, k]
        total += re
    return total


@_per_item
def listen_backward(  # type: ignore[no-untyped-def]
    x, edges, pole_re, pole_im, end_re, end_im, d_energy, d_end_re, d_end_im, dx, dp_re, dp_im
):
    """Reverse of :func:`listen_forward`; fills dx [batch, samples], dp [batch, oscillators].

    Parameters
    ----------
    x, edges, pole_re, pole_im, end_re, end_im
        As in :func:`listen_forward`.
    d_energy, d_end_re, d_end_im
        Gradients of its results.
    dx, dp_re, dp_im
        Results, filled in.
    """
    hops = edges.shape[0] - 1
    longest = np.max(edges[1:] - edges[:-1])
    for b in numba.prange(x.shape[0]):
        count = pole_re.shape[0]
        z_re = np.empty((longest + 1, count), x.dtype)
        z_im = np.empty((longest + 1, count), x.dtype)
        p_re = np.zeros_like(pole_re)
        p_im = np.zeros_like(pole_re)
        d_re = np.zeros_like(pole_re)
        d_im = np.zeros_like(pole_re)
        zero = np.zeros_like(pole_re)
        for j in range(hops):
            h = hops - 1 - j
            begin_re = end_re[b, h - 1] if h > 0 else zero
            begin_im = end_im[b, h - 1] if h > 0 else zero
            _replay(x[b], edges[h], edges[h + 1], pole_re, pole_im, begin_re, begin_im, z_re, z_im)
            p_last = True
            for m in range(edges[h + 1] - edges[h]):
                i = edges[h + 1] - edges[h] - 1 - m
                for k in range(count):
                    d_re[k] = 2 * d_energy[b, h, k] * z_re[i + 1, k]
                    d_im[k] = 2 * d_energy[b, h, k] * z_im[i + 1, k]
                    if p_last:
                        d_re[k] += d_end_re[b, h, k]
                        d_im[k] += d_end_im[b, h, k]
                p_last = False
                dx[b, edges[h] + i] = _reverse_step(
                    i, pole_re, pole_im, z_re, z_im, p_re, p_im, d_re, d_im, dp_re[b], dp_im[b]
                )


@_inner
def _gather(g, z_re, z_im, dw_re, dw_im):  # type: ignore[no-untyped-def]
    for k in range(z_re.shape[0]):
        dw_re[k] += g * z_re[k]
        dw_im[k] -= g * z_im[k]


@_inner
def _hand_over(sum_re, sum_im, dw_re, dw_im):  # type: ignore[no-untyped-def]
    """Add a hop's sums to dw and begin new ones."""
    dw_re += sum_re
    dw_im += sum_im
    sum_re[:] = 0
    sum_im[:] = 0


@_per_item
def weights_backward(x, edges, ramp, pole_re, pole_im, dy, dw_re, dw_im):  # type: ignore[no-untyped-def]
    """Reverse of :func:`synthesise_forward` for the weights: dw [batch, hops + 1, oscillators].

    A sum over each hop needs no reverse order, so the bank simply listens once more.

    Parameters
    ----------
    x, edges, ramp, pole_re, pole_im
        As in :func:`synthesise_forward`.
    dy
        Gradient of its output [batch, samples].
    dw_re, dw_im
        Results, filled in.
    """
    for b in numba.prange(x.shape[0]):
        z_re = np.zeros_like(pole_re)
        z_im = np.zeros_like(pole_re)
        old_re, old_im = np.zeros_like(pole_re), np.zeros_like(pole_re)
        new_re, new_im = np.zeros_like(pole_re), np.zeros_like(pole_re)
        bias = x.dtype.type(_BIAS)
        for h in range(edges.shape[0] - 1):
            width = min(ramp, edges[h + 1] - edges[h])
            for n in range(edges[h], edges[h + 1]):
                _step(x[b, n] + bias, pole_re, pole_im, z_re, z_im)
                r = x.dtype.type(min(n - edges[h] + 1, width)) / x.dtype.type(width)
                new = dy[b, n] * r
                _gather(new, z_re, z_im, new_re, new_im)
                if n - edges[h] < width:  # afterwards the old weights are gone
                    _gather(dy[b, n] - new, z_re, z_im, old_re, old_im)
            _hand_over(old_re, old_im, dw_re[b, h], dw_im[b, h])
            _hand_over(new_re, new_im, dw_re[b, h + 1], dw_im[b, h + 1])


@_per_item
def synthesise_backward(  # type: ignore[no-untyped-def]
    x, edges, ramp, pole_re, pole_im, w_re, w_im, end_re, end_im, dy, dx, dp_re, dp_im
):
    """Reverse of :func:`synthesise_forward` for dx [batch, samples], dp [batch, oscillators].

    Parameters
    ----------
    x, edges, ramp, pole_re, pole_im, w_re, w_im, end_re, end_im
        As in :func:`synthesise_forward`.
    dy
        Gradient of its output [batch, samples].
    dx, dp_re, dp_im
        Results, filled in.
    """
    hops = edges.shape[0] - 1
    longest = np.max(edges[1:] - edges[:-1])
    for b in numba.prange(x.shape[0]):
        count = pole_re.shape[0]
        one = x.dtype.type(1.0)
        z_re = np.empty((longest + 1, count), x.dtype)
        z_im = np.empty((longest + 1, count), x.dtype)
        p_re = np.zeros_like(pole_re)
        p_im = np.zeros_like(pole_re)
        d_re = np.zeros_like(pole_re)
        d_im = np.zeros_like(pole_re)
        zero = np.zeros_like(pole_re)
        for j in range(hops):
            h = hops - 1 - j
            begin_re = end_re[b, h - 1] if h > 0 else zero
            begin_im = end_im[b, h - 1] if h > 0 else zero
            _replay(x[b], edges[h], edges[h + 1], pole_re, pole_im, begin_re, begin_im, z_re, z_im)
            width = min(ramp, edges[h + 1] - edges[h])
            for m in range(edges[h + 1] - edges[h]):
                i = edges[h + 1] - edges[h] - 1 - m
                g = dy[b, edges[h] + i]
                r = x.dtype.type(min(i + 1, width)) / x.dtype.type(width)
                new = g * r
                old = g * (one - r)
                for k in range(count):
                    d_re[k] = old * w_re[b, h, k] + new * w_re[b, h + 1, k]
                    d_im[k] = -(old * w_im[b, h, k] + new * w_im[b, h + 1, k])
                dx[b, edges[h] + i] = _reverse_step(
                    i, pole_re, pole_im, z_re, z_im, p_re, p_im, d_re, d_im, dp_re[b], dp_im[b]
                )


@_per_item
def rewind_forward(x, edges, ramp, ahead, pole_re, pole_im, w_re, w_im, y):  # type: ignore[no-untyped-def]
    """Add the oscillators that run backwards in time to y [batch, samples].

    Hop h lets them start from rest ``ahead`` samples after its own beginning; the sample itself,
    which the forward run has played, counts once. Weights as in :func:`synthesise_forward`.

    Parameters
    ----------
    x, edges, ramp, pole_re, pole_im, w_re, w_im
        As in :func:`synthesise_forward`.
    ahead
        Samples of look-ahead.
    y
        Output, added to [batch, samples].
    """
    for b in numba.prange(x.shape[0]):
        z_re = np.zeros_like(pole_re)
        z_im = np.zeros_like(pole_re)
        one = x.dtype.type(1.0)
        bias = x.dtype.type(_BIAS)
        for h in range(edges.shape[0] - 1):
            z_re[:] = 0
            z_im[:] = 0
            width = min(ramp, edges[h + 1] - edges[h])
            stop = min(edges[h] + ahead, x.shape[1])
            for m in range(stop - edges[h]):
                n = stop - 1 - m
                _step(x[b, n] + bias, pole_re, pole_im, z_re, z_im)
                if n < edges[h + 1]:
                    old = x.dtype.type(0.0)
                    new = x.dtype.type(0.0)
                    for k in range(z_re.shape[0]):
                        past = z_re[k] - x[b, n]
                        old += w_re[b, h, k] * past - w_im[b, h, k] * z_im[k]
                        new += w_re[b, h + 1, k] * past - w_im[b, h + 1, k] * z_im[k]
                    r = x.dtype.type(min(n - edges[h] + 1, width)) / x.dtype.type(width)
                    y[b, n] += (one - r) * old + r * new


@_per_item
def rewind_backward(x, edges, ramp, ahead, pole_re, pole_im, dy, dw_re, dw_im):  # type: ignore[no-untyped-def]
    """Reverse of :func:`rewind_forward` for the weights, added to dw [batch, hops + 1, osc.].

    Parameters
    ----------
    x, edges, ramp, ahead, pole_re, pole_im
        As in :func:`rewind_forward`.
    dy
        Gradient of its output [batch, samples].
    dw_re, dw_im
        Results, added to.
    """
    for b in numba.prange(x.shape[0]):
        z_re = np.zeros_like(pole_re)
        z_im = np.zeros_like(pole_re)
        past = np.zeros_like(pole_re)
        old_re, old_im = np.zeros_like(pole_re), np.zeros_like(pole_re)
        new_re, new_im = np.zeros_like(pole_re), np.zeros_like(pole_re)
        bias = x.dtype.type(_BIAS)
        for h in range(edges.shape[0] - 1):
            z_re[:] = 0
            z_im[:] = 0
            width = min(ramp, edges[h + 1] - edges[h])
            stop = min(edges[h] + ahead, x.shape[1])
            for m in range(stop - edges[h]):
                n = stop - 1 - m
                _step(x[b, n] + bias, pole_re, pole_im, z_re, z_im)
                if n < edges[h + 1]:
                    r = x.dtype.type(min(n - edges[h] + 1, width)) / x.dtype.type(width)
                    new = dy[b, n] * r
                    for k in range(past.shape[0]):
                        past[k] = z_re[k] - x[b, n]
                    _gather(new, past, z_im, new_re, new_im)
                    if n - edges[h] < width:
                        _gather(dy[b, n] - new, past, z_im, old_re, old_im)
            _hand_over(old_re, old_im, dw_re[b, h], dw_im[b, h])
            _hand_over(new_re, new_im, dw_re[b, h + 1], dw_im[b, h + 1])


@_per_item
def scan_forward(pole_re, pole_im, u_re, u_im, h_re, h_im):  # type: ignore[no-untyped-def]
    """h[t] = λ[t] h[t-1] + u[t], all [batch, frames, states].

    Parameters
    ----------
    pole_re, pole_im
        λ of each frame and state.
    u_re, u_im
        Inputs.
    h_re, h_im
        Results, filled in.
    """
    for b in numba.prange(u_re.shape[0]):
        re = np.zeros_like(u_re[b, 0])
        im = np.zeros_like(re)
        for t in range(u_re.shape[1]):
            for k in range(re.shape[0]):
                new = pole_re[b, t, k] * re[k] - pole_im[b, t, k] * im[k] + u_re[b, t, k]
                im[k] = pole_re[b, t, k] * im[k] + pole_im[b, t, k] * re[k] + u_im[b, t, k]
                re[k] = new
            h_re[b, t] = re
            h_im[b, t] = im


@_per_item
def scan_backward(pole_re, pole_im, h_re, h_im, d_re, d_im, dp_re, dp_im, du_re, du_im):  # type: ignore[no-untyped-def]
    """Reverse pass of :func:`scan_forward`: fills dp and du from d = ∂L/∂h.

    Parameters
    ----------
    pole_re, pole_im, h_re, h_im
        As in :func:`scan_forward`.
    d_re, d_im
        Gradients of h.
    dp_re, dp_im, du_re, du_im
        Results, filled in.
    """
    for b in numba.prange(h_re.shape[0]):
        re = np.zeros_like(h_re[b, 0])
        im = np.zeros_like(re)
        frames = h_re.shape[1]
        for j in range(frames):
            t = frames - 1 - j
            for k in range(re.shape[0]):
                if j > 0:
                    new = pole_re[b, t + 1, k] * re[k] + pole_im[b, t + 1, k] * im[k]
                    im[k] = pole_re[b, t + 1, k] * im[k] - pole_im[b, t + 1, k] * re[k]
                    re[k] = new
                re[k] += d_re[b, t, k]
                im[k] += d_im[b, t, k]
                du_re[b, t, k] = re[k]
                du_im[b, t, k] = im[k]
                if t > 0:
                    dp_re[b, t, k] = re[k] * h_re[b, t - 1, k] + im[k] * h_im[b, t - 1, k]
                    dp_im[b, t, k] = im[k] * h_re[b, t - 1, k] - re[k] * h_im[b, t - 1, k]
