"""Coupled slow oscillators in training: all hops forwards, and back, within the cache.

A hop (``dsp/coupled.py``) is done with before the next one begins. Only x and h are kept for the
reverse pass; it computes the rest again.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resonance.dsp.compiling import compiled
from resonance.dsp.coupled import (
    GAIN,
    GATE,
    NORM_EPS,
    STATES,
    U_IM,
    U_RE,
    add_product,
    couple,
    kernel,
    mix_tokens,
    normalise,
    project,
    scratch,
    sigmoid,
)
from resonance.dsp.simd import LANES, load, store, total, transpose
from resonance.models import hopwise
from resonance.models.bank import arrays

_per_item = compiled(parallel=True, fastmath=True, error_model="numpy")


@kernel
def _normalise_backward(n, scale, dn, dy, dx):  # type: ignore[no-untyped-def]
    """Fill dx = dy + what comes through the norm; all [T, C]."""
    tokens, channels = n.shape
    for t in range(tokens):
        added = load(dn, (t, 0))
        along = added * load(n, (t, 0))
        for c in range(LANES, channels, LANES):
            d = load(dn, (t, c))
            added += d
            along += d * load(n, (t, c))
        mean, slope = total(added) / channels, total(along) / channels
        for c in range(0, channels, LANES):
            d = load(dn, (t, c)) - mean - slope * load(n, (t, c))
            store(dx, (t, c), load(dy, (t, c)) + scale[t] * d)


@kernel
def _resonate_backward(z, before, turn, dh, dz, d_turn):  # type: ignore[no-untyped-def]
    """Fill drive's and gain's part of dz, add to d_turn [2, S], take dh [2, T, S] one hop back."""
    cos, sin = load(turn, (0, 0)), load(turn, (1, 0))
    d_cos, d_sin = load(d_turn, (0, 0)), load(d_turn, (1, 0))
    for t in range(z.shape[0]):
        gain = sigmoid(load(z, (t, GAIN)))
        size = 1.0 - gain
        pole_re, pole_im = size * cos, size * sin
        re, im = load(before, (0, t, 0)), load(before, (1, t, 0))
        d_re, d_im = load(dh, (0, t, 0)), load(dh, (1, t, 0))
        d_pole_re = d_re * re + d_im * im
        d_pole_im = d_im * re - d_re * im
        d_gain = d_re * load(z, (t, U_RE)) + d_im * load(z, (t, U_IM))
        d_gain = d_gain - d_pole_re * cos - d_pole_im * sin
        store(dz, (t, U_RE), d_re * gain)
        store(dz, (t, U_IM), d_im * gain)
        store(dz, (t, GAIN), d_gain * gain * size)
        d_cos += d_pole_re * size
        d_sin += d_pole_im * size
        store(dh, (0, t, 0), pole_re * d_re + pole_im * d_im)
        store(dh, (1, t, 0), pole_re * d_im - pole_im * d_re)
    store(d_turn, (0, 0), d_cos)
    store(d_turn, (1, 0), d_sin)


@kernel
def _gate_backward(z, mixed, d_gated, gated, d_mixed, dz):  # type: ignore[no-untyped-def]
    """Fill gated, d_mixed and the gate's part of dz; shapes as in :func:`_gate`."""
    for t in range(z.shape[0]):
        for part in range(2):
            a, m = load(z, (t, GATE + part * STATES)), load(mixed, (part, t, 0))
            d = load(d_gated, (t, part * STATES))
            share = sigmoid(a)
            store(gated, (t, part * STATES), a * share * m)
            store(d_mixed, (part, t, 0), a * share * d)
            store(dz, (t, GATE + part * STATES), share * (1.0 + a * (1.0 - share)) * m * d)


@kernel
def _mix_backward(mix, h, columns, d_mixed, dh, d_mix):  # type: ignore[no-untyped-def]
    """Add to dh [2, T, S] and d_mix [2, T, T']; columns [2, S, T'] is scratch for h transposed."""
    for part in range(2):
        for t in range(0, columns.shape[2], LANES):
            transpose(h[part], (t, 0), columns[part], (0, t))
        add_product(d_mixed[part], columns[part], d_mix[part])
        add_product(mix[part].T, d_mixed[part], dh[part])


@kernel
def _add_rows(dz, d_bias):  # type: ignore[no-untyped-def]
    """Add the rows of dz [T, 5S] to d_bias [5S]."""
    for j in range(0, dz.shape[1], LANES):
        added = load(d_bias, (j,))
        for t in range(dz.shape[0]):
            added += load(dz, (t, j))
        store(d_bias, (j,), added)


@kernel
def _forward_item(x, into, bias, turn, mix, out, h, y):  # type: ignore[no-untyped-def]
    """All hops of one item, x [F, T, C] → h [F, 2, T', S] and y [F, T, C]."""
    hops, tokens, channels = x.shape
    room = scratch(tokens, channels, x)
    before = np.zeros(h.shape[1:], x.dtype)
    for f in range(hops):
        couple(x[f], into, bias, turn, mix, out, before, h[f], room, y[f])
        before = h[f]


@kernel
def _backward_item(  # type: ignore[no-untyped-def]
    x, into, bias, turn, mix, out, h, dy, dx, d_into, d_bias, d_turn, d_mix, d_out
):
    """Fill dx of one item; add to the gradients of what all hops share."""
    hops, tokens, channels = x.shape
    n, dn = np.empty((tokens, channels), x.dtype), np.empty((tokens, channels), x.dtype)
    scale = np.empty(tokens, x.dtype)
    z, dz = np.empty((tokens, 5 * STATES), x.dtype), np.empty((tokens, 5 * STATES), x.dtype)
    mixed, d_mixed = (
        np.empty((2, tokens, STATES), x.dtype),
        np.empty((2, tokens, STATES), x.dtype),
    )
    gated, d_gated = (
        np.empty((tokens, 2 * STATES), x.dtype),
        np.empty((tokens, 2 * STATES), x.dtype),
    )
    into_rows, out_rows = into.T.copy(), out.T.copy()
    columns = np.empty((2, STATES, h.shape[2]), x.dtype)
    dh, rest = np.zeros((2, tokens, STATES), x.dtype), np.zeros(h.shape[1:], x.dtype)
    for i in range(hops):
        f = hops - 1 - i
        normalise(x[f], n, scale)
        project(n, into, bias, z)
        mix_tokens(mix, h[f], mixed)
        d_gated[:] = 0.0
        add_product(dy[f], out_rows, d_gated)
        _gate_backward(z, mixed, d_gated, gated, d_mixed, dz)
        add_product(gated.T, dy[f], d_out)
        _mix_backward(mix, h[f], columns, d_mixed, dh, d_mix)
        before = h[f - 1] if f > 0 else rest
        _resonate_backward(z, before, turn, dh, dz, d_turn)
        _add_rows(dz, d_bias)
        add_product(n.T, dz, d_into)
        dn[:] = 0.0
        add_product(dz, into_rows, dn)
        _normalise_backward(n, scale, dn, dy[f], dx[f])


@_per_item
def _forward(x, into, bias, turn, mix, out, h, y):  # type: ignore[no-untyped-def]
    for b in numba.prange(x.shape[0]):
        _forward_item(x[b], into, bias, turn, mix, out, h[b], y[b])


@_per_item
def _backward(  # type: ignore[no-untyped-def]
    x, into, bias, turn, mix, out, h, dy, dx, d_into, d_bias, d_turn, d_mix, d_out
):
    for b in numba.prange(x.shape[0]):
        _backward_item(
            x[b],
            into,
            bias,
            turn,
            mix,
            out,
            h[b],
            dy[b],
            dx[b],
            d_into[b],
            d_bias[b],
            d_turn[b],
            d_mix[b],
            d_out[b],
        )


class _Coupled(torch.autograd.Function):
    """Of x [B, F, T, C], into [C, 5S], bias [5S], turn (cos, sin) [2, S], mix, out [2S, C]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        batch, hops, tokens, _ = x.shape
        padded = -(-tokens // LANES) * LANES
        h = x.new_zeros(batch, hops, 2, padded, STATES)
        y = torch.empty_like(x)
        _forward(*arrays(x, *weights, h, y))
        ctx.save_for_backward(x, *weights, h)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        x, *weights, h = ctx.saved_tensors
        batch, tokens = x.shape[0], x.shape[2]
        dx = torch.empty_like(x)
        into, bias, turn, mix, out = (x.new_zeros(batch, *w.shape) for w in weights)
        mix = x.new_zeros(batch, 2, tokens, h.shape[3])
        _backward(*arrays(x, *weights, h, dy, dx, into, bias, turn, mix, out))
        shared = (into, bias, turn, mix[..., :tokens], out)
        return dx, *(d.sum(0) for d in shared)


def coupled(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    into_weight: Tensor,
    into_bias: Tensor,
    turn: Tensor,
    mix: Tensor,
    out_weight: Tensor,
    *,
    fused: bool = False,
) -> Tensor:
    """Add to x what its coupled oscillators say.

    Parameters
    ----------
    x
        Tokens of all hops [batch, hops, tokens, channels].
    norm_weight, norm_bias
        Of the layer norm [channels].
    into_weight, into_bias
        To drive (real, imaginary), gain and gate [5 · STATES, channels], [5 · STATES].
    turn
        Angle of each slow oscillator per hop, rad [STATES].
    mix
        For the real and the imaginary parts [2, tokens, tokens].
    out_weight
        Back to the channels [channels, 2 · STATES].
    fused
        Compile what goes number by number, on other devices than the CPU.

    Returns
    -------
    The same shape as x.
    """
    if x.device.type != "cpu" or x.shape[-1] % LANES:
        given = norm_weight, norm_bias, into_weight, into_bias, turn, mix, out_weight
        return coupled_plain(x, *given, fused=fused)
    with torch.autocast("cpu", enabled=False):
        into = (into_weight * norm_weight).T.contiguous()
        bias = into_bias + into_weight @ norm_bias
        circle = torch.stack([torch.cos(turn), torch.sin(turn)])
        weights = into, bias, circle, mix.contiguous(), out_weight.T.contiguous()
        return _Coupled.apply(x.to(mix.dtype).contiguous(), *weights)  # type: ignore[no-any-return]


def coupled_plain(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    into_weight: Tensor,
    into_bias: Tensor,
    turn: Tensor,
    mix: Tensor,
    out_weight: Tensor,
    *,
    fused: bool = False,
) -> Tensor:
    """:func:`coupled` in plain torch, for any device; on a GPU products are of bfloat16.

    Parameters
    ----------
    x
        Tokens' channels [batch, hops, tokens, channels].
    norm_weight, norm_bias, into_weight, into_bias, turn, mix, out_weight
        As in :func:`coupled`.
    fused
        Compile what goes number by number.

    Returns
    -------
    Tensor
        Shaped like ``x``.
    """
    before, after = _fused() if fused else (_before, _after)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda):
        drive, gate = before(x, norm_weight, norm_bias, into_weight, into_bias)
        h = hopwise.resonate(drive, torch.stack([torch.cos(turn), torch.sin(turn)]))
        return after(x, h, gate, mix, out_weight)


def _before(
    x: Tensor, norm_weight: Tensor, norm_bias: Tensor, into_weight: Tensor, into_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Drive and gain [batch, hops, tokens, 3S], and gate [batch, hops, tokens, 2S]."""
    n = F.layer_norm(x, norm_weight.shape, norm_weight, norm_bias, NORM_EPS)
    parts = zip(into_weight.split(GATE), into_bias.split(GATE), strict=True)
    drive, gate = (F.linear(n, weight, bias) for weight, bias in parts)
    return drive, gate


def _after(x: Tensor, h: Tensor, gate: Tensor, mix: Tensor, out_weight: Tensor) -> Tensor:
    """What the oscillators h [batch, 2, tokens, hops, S] say through the gate, added to x."""
    mixed = torch.matmul(mix, h.flatten(3)).view(h.shape).permute(0, 3, 2, 1, 4)
    return x + F.linear(F.silu(gate) * mixed.flatten(-2), out_weight)


@cache
def _fused() -> tuple[Any, Any]:
    """Both, compiled: once for all layers, and only if wanted."""
    return torch.compile(_before, dynamic=False), torch.compile(_after, dynamic=False)
