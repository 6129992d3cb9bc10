"""Kernels for NVIDIA GPUs (Triton, part of torch on Linux): what runs from sample to sample.

The same lines as ``models/adjoint.py`` and ``dsp/coupled.py``, for the oscillators of many sounds
at once. Slow oscillators are computed for HOPS hops at a time: ``h[t] = λ[t] h[t-1] + u[t]`` is an
associative scan (Blelloch 1990, *Prefix Sums and Their Applications*).
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Hops, and oscillators, of a tile.
HOPS, LANES = 16, 64


@triton.jit
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _after(a_re, a_im, u_re, u_im, b_re, b_im, v_re, v_im):  # type: ignore[no-untyped-def]
    """One after the other: h → b (a h + u) + v."""
    return (
        a_re * b_re - a_im * b_im,
        a_re * b_im + a_im * b_re,
        b_re * u_re - b_im * u_im + v_re,
        b_re * u_im + b_im * u_re + v_im,
    )


@triton.jit
def _scanned(p_re, p_im, u_re, u_im, c_re, c_im, reverse: tl.constexpr):  # type: ignore[no-untyped-def]
    """H of a tile [HOPS, LANES] from its λ and input, and from h [LANES] of the hop before it."""
    a_re, a_im, s_re, s_im = tl.associative_scan(
        (p_re, p_im, u_re, u_im), 0, _after, reverse=reverse
    )
    re = s_re + a_re * c_re[None, :] - a_im * c_im[None, :]
    im = s_im + a_re * c_im[None, :] + a_im * c_re[None, :]
    return re, im


@triton.jit
def _row(tile, number, at: tl.constexpr):  # type: ignore[no-untyped-def]
    """Row ``at`` of a tile [HOPS, LANES]; number counts its rows [HOPS, 1]."""
    return tl.sum(tl.where(number == at, tile, 0.0), 0)


@triton.jit
def _scan_forward(  # type: ignore[no-untyped-def]
    p_re, p_im, u_re, u_im, h_re, h_im, hops, count, tile: tl.constexpr, lanes: tl.constexpr
):
    lane = tl.program_id(1) * lanes + tl.arange(0, lanes)[None, :]
    number = tl.arange(0, tile)[:, None]
    start = tl.program_id(0).to(tl.int64) * hops * count
    c_re, c_im = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
    for first in range(0, hops, tile):
        inside = (first + number < hops) & (lane < count)
        at = start + (first + number) * count + lane
        re, im = _scanned(
            tl.load(p_re + at, inside, 0.0),
            tl.load(p_im + at, inside, 0.0),
            tl.load(u_re + at, inside, 0.0),
            tl.load(u_im + at, inside, 0.0),
            c_re,
            c_im,
            False,
        )
        tl.store(h_re + at, re, inside)
        tl.store(h_im + at, im, inside)
        c_re, c_im = _row(re, number, tile - 1), _row(im, number, tile - 1)


@triton.jit
def _scan_backward(  # type: ignore[no-untyped-def]
    p_re,
    p_im,
    h_re,
    h_im,
    d_re,
    d_im,
    dp_re,
    dp_im,
    du_re,
    du_im,
    hops,
    count,
    tile: tl.constexpr,
    lanes: tl.constexpr,
):
    lane = tl.program_id(1) * lanes + tl.arange(0, lanes)[None, :]
    number = tl.arange(0, tile)[:, None]
    start = tl.program_id(0).to(tl.int64) * hops * count
    c_re, c_im = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
    tiles = (hops + tile - 1) // tile
    for back in range(tiles):
        hop = (tiles - 1 - back) * tile + number
        inside = (hop < hops) & (lane < count)
        later = (hop + 1 < hops) & (lane < count)
        earlier = inside & (hop > 0)
        at = start + hop * count + lane
        re, im = _scanned(
            tl.load(p_re + at + count, later, 0.0),
            -tl.load(p_im + at + count, later, 0.0),
            tl.load(d_re + at, inside, 0.0),
            tl.load(d_im + at, inside, 0.0),
            c_re,
            c_im,
            True,
        )
        b_re = tl.load(h_re + at - count, earlier, 0.0)
        b_im = tl.load(h_im + at - count, earlier, 0.0)
        tl.store(du_re + at, re, inside)
        tl.store(du_im + at, im, inside)
        tl.store(dp_re + at, re * b_re + im * b_im, inside)
        tl.store(dp_im + at, im * b_re - re * b_im, inside)
        c_re, c_im = _row(re, number, 0), _row(im, number, 0)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Any:
        given = tuple(g.contiguous() for g in given)
        batch, hops, count = given[0].shape
        h = tuple(torch.empty_like(given[0]) for _ in range(2))
        grid = batch, triton.cdiv(count, LANES)
        _scan_forward[grid](*given, *h, hops, count, HOPS, LANES)
        ctx.save_for_backward(*given[:2], *h)
        return h

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> Any:  # type: ignore[override]
        saved = ctx.saved_tensors
        batch, hops, count = saved[0].shape
        out = tuple(torch.empty_like(saved[0]) for _ in range(4))
        d = tuple(t.contiguous() for t in d)
        grid = batch, triton.cdiv(count, LANES)
        _scan_backward[grid](*saved, *d, *out, hops, count, HOPS, LANES)
        return out


def scan(pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor) -> tuple[Tensor, Tensor]:
    """``resonance.models.bank.scan`` on a GPU.

    Parameters
    ----------
    pole_re, pole_im, u_re, u_im
        λ and input of each hop and state [batch, hops, states], float32.

    Returns
    -------
    tuple of Tensor
        Real and imaginary part of h [batch, hops, states].
    """
    return _Scan.apply(pole_re, pole_im, u_re, u_im)  # type: ignore[no-any-return]


@triton.jit
def _resonate_forward(  # type: ignore[no-untyped-def]
    drive,
    circle,
    h,
    hops,
    tokens,
    states: tl.constexpr,
    tile: tl.constexpr,
    lanes: tl.constexpr,
):
    lane = tl.program_id(1) * lanes + tl.arange(0, lanes)[None, :]
    number = tl.arange(0, tile)[:, None]
    token, state = lane // states, lane % states
    cos, sin = tl.load(circle + state), tl.load(circle + states + state)
    item, part = tl.program_id(0).to(tl.int64), tokens * hops * states
    c_re, c_im = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
    for first in range(0, hops, tile):
        hop = item * hops + first + number
        inside = (first + number < hops) & (token < tokens)
        z = drive + (hop * tokens + token) * 3 * states + state
        gain = _sigmoid(tl.load(z + 2 * states, inside, 0.0).to(tl.float32))
        size = 1.0 - gain
        re, im = _scanned(
            size * cos,
            size * sin,
            gain * tl.load(z, inside, 0.0).to(tl.float32),
            gain * tl.load(z + states, inside, 0.0).to(tl.float32),
            c_re,
            c_im,
            False,
        )
        at = h + item * 2 * part + (token * hops + first + number) * states + state
        tl.store(at, re.to(h.dtype.element_ty), inside)
        tl.store(at + part, im.to(h.dtype.element_ty), inside)
        c_re, c_im = _row(re, number, tile - 1), _row(im, number, tile - 1)


@triton.jit
def _resonate_backward(  # type: ignore[no-untyped-def]
    drive,
    circle,
    h,
    dh,
    d_drive,
    d_circle,
    hops,
    tokens,
    states: tl.constexpr,
    tile: tl.constexpr,
    lanes: tl.constexpr,
):
    lane = tl.program_id(1) * lanes + tl.arange(0, lanes)[None, :]
    number = tl.arange(0, tile)[:, None]
    token, state = lane // states, lane % states
    cos, sin = tl.load(circle + state), tl.load(circle + states + state)
    item, part = tl.program_id(0).to(tl.int64), tokens * hops * states
    c_re, c_im = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
    t_re, t_im = tl.zeros([tile, lanes], tl.float32), tl.zeros([tile, lanes], tl.float32)
    tiles = (hops + tile - 1) // tile
    for back in range(tiles):
        inner = (tiles - 1 - back) * tile + number
        hop = item * hops + inner
        inside = (inner < hops) & (token < tokens)
        later = (inner + 1 < hops) & (token < tokens)
        earlier = inside & (inner > 0)
        z = drive + (hop * tokens + token) * 3 * states + state
        at = item * 2 * part + (token * hops + inner) * states + state
        next_gain = _sigmoid(tl.load(z + (3 * tokens + 2) * states, later, 0.0).to(tl.float32))
        next_size = tl.where(later, 1.0 - next_gain, 0.0)
        re, im = _scanned(
            next_size * cos,
            -next_size * sin,
            tl.load(dh + at, inside, 0.0).to(tl.float32),
            tl.load(dh + at + part, inside, 0.0).to(tl.float32),
            c_re,
            c_im,
            True,
        )
        c_re, c_im = _row(re, number, 0), _row(im, number, 0)
        b_re = tl.load(h + at - states, earlier, 0.0).to(tl.float32)
        b_im = tl.load(h + at + part - states, earlier, 0.0).to(tl.float32)
        gain = _sigmoid(tl.load(z + 2 * states, inside, 0.0).to(tl.float32))
        pole_re, pole_im = re * b_re + im * b_im, im * b_re - re * b_im
        d_gain = re * tl.load(z, inside, 0.0).to(tl.float32)
        d_gain += im * tl.load(z + states, inside, 0.0).to(tl.float32)
        d_gain -= pole_re * cos + pole_im * sin
        dz = d_drive + (hop * tokens + token) * 3 * states + state
        tl.store(dz, (re * gain).to(d_drive.dtype.element_ty), inside)
        tl.store(dz + states, (im * gain).to(d_drive.dtype.element_ty), inside)
        tl.store(
            dz + 2 * states, (d_gain * gain * (1.0 - gain)).to(d_drive.dtype.element_ty), inside
        )
        t_re += tl.where(inside, pole_re * (1.0 - gain), 0.0)
        t_im += tl.where(inside, pole_im * (1.0 - gain), 0.0)
    turned = d_circle + item * 2 * tokens * states + lane
    tl.store(turned, tl.sum(t_re, 0)[None, :], token < tokens)
    tl.store(turned + tokens * states, tl.sum(t_im, 0)[None, :], token < tokens)


class _Resonate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive: Tensor, circle: Tensor) -> Tensor:
        batch, hops, tokens, three = drive.shape
        states = three // 3
        h = drive.new_empty(batch, 2, tokens, hops, states)
        grid = batch, triton.cdiv(tokens * states, LANES)
        drive = drive.contiguous()
        _resonate_forward[grid](drive, circle, h, hops, tokens, states, HOPS, LANES)
        ctx.save_for_backward(drive, circle, h)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> Any:  # type: ignore[override]
        drive, circle, h = ctx.saved_tensors
        batch, hops, tokens, three = drive.shape
        states = three // 3
        d_drive = torch.empty_like(drive)
        d_circle = circle.new_empty(batch, 2, tokens, states)
        grid = batch, triton.cdiv(tokens * states, LANES)
        _resonate_backward[grid](
            drive,
            circle,
            h,
            dh.contiguous(),
            d_drive,
            d_circle,
            hops,
            tokens,
            states,
            HOPS,
            LANES,
        )
        return d_drive, d_circle.sum((0, 2))


@torch.compiler.disable
def resonate(drive: Tensor, circle: Tensor) -> Tensor:
    """Slow oscillators of every token over all hops, from rest.

    Parameters
    ----------
    drive
        Drive (real, imaginary) and gain [batch, hops, tokens, 3 · states], float32 or bfloat16.
    circle
        cos and sin of the angle per hop [2, states], float32.

    Returns
    -------
    Tensor
        Real and imaginary parts [batch, 2, tokens, hops, states], of the type of ``drive``.
    """
    return _Resonate.apply(drive, circle)  # type: ignore[no-any-return]


@triton.jit
def _listen(  # type: ignore[no-untyped-def]
    x,
    edges,
    pole_re,
    pole_im,
    own_re,
    own_im,
    next_re,
    next_im,
    energy,
    contrast,
    end_re,
    end_im,
    samples,
    hops,
    count,
    pairs,
    lanes: tl.constexpr,
):
    k = tl.program_id(1) * lanes + tl.arange(0, lanes)
    item = tl.program_id(0).to(tl.int64)
    here, paired = k < count, k < pairs
    a_re, a_im = tl.load(pole_re + k, here, 0.0), tl.load(pole_im + k, here, 0.0)
    b_re, b_im = tl.load(pole_re + k + 1, paired, 0.0), tl.load(pole_im + k + 1, paired, 0.0)
    o_re, o_im = tl.load(own_re + k, paired, 0.0), tl.load(own_im + k, paired, 0.0)
    n_re, n_im = tl.load(next_re + k, paired, 0.0), tl.load(next_im + k, paired, 0.0)
    z_re, z_im = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
    y_re, y_im = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
    for h in range(hops):
        e, c = tl.zeros([lanes], tl.float32), tl.zeros([lanes], tl.float32)
        for n in range(tl.load(edges + h), tl.load(edges + h + 1)):
            driven = tl.load(x + item * samples + n)
            new = a_re * z_re - a_im * z_im + driven
            z_im = a_re * z_im + a_im * z_re
            z_re = new
            new = b_re * y_re - b_im * y_im + driven
            y_im = b_re * y_im + b_im * y_re
            y_re = new
            re = o_re * z_re - o_im * z_im - n_re * y_re + n_im * y_im
            im = o_re * z_im + o_im * z_re - n_re * y_im - n_im * y_re
            e += z_re * z_re + z_im * z_im
            c += re * re + im * im
        at = (item * hops + h) * count + k
        tl.store(energy + at, e, here)
        tl.store(end_re + at, z_re, here)
        tl.store(end_im + at, z_im, here)
        tl.store(contrast + (item * hops + h) * pairs + k, c, paired)


def listen(
    x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor, neighbours: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``resonance.models.bank.listen`` on a GPU; no gradients.

    Parameters
    ----------
    x, edges, pole_re, pole_im, neighbours
        As there, float32, but ``edges`` int32; all on the GPU.

    Returns
    -------
    tuple of Tensor
        As there.
    """
    own, following = neighbours
    weights = own.real, own.imag, following.real, following.imag
    shape, count = (x.shape[0], len(edges) - 1), len(pole_re)
    energy, end_re, end_im = (x.new_empty(*shape, count) for _ in range(3))
    contrast = x.new_empty(*shape, len(own))
    lanes = 32
    _listen[x.shape[0], triton.cdiv(count, lanes)](
        x.contiguous(),
        edges,
        pole_re.contiguous(),
        pole_im.contiguous(),
        *(w.contiguous() for w in weights),
        energy,
        contrast,
        end_re,
        end_im,
        x.shape[1],
        shape[1],
        count,
        len(own),
        lanes,
        num_warps=1,
    )
    return energy, contrast, end_re, end_im
