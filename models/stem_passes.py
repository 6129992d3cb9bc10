"""Compiled forward and reverse passes of the spotter's stem, for training on the CPU.

What torch does one operation at a time (convolve over bands, normalise, average, add, rectify),
each time through all of memory, is done here while a channel of one example lies in the cache, by
one thread.

Arrays are [batch, channels, bands, frames]; normalisation is by the batch's own mean and variance
of each channel, in each of equal parts of its bands (Ioffe & Szegedy 2015, Chang et al. 2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from resonance.dsp.compiling import compiled

_compiled = compiled(fastmath={"reassoc", "nsz", "contract"}, error_model="numpy")
Array = NDArray[Any]


@_compiled
def _convolve(z, weight, stride, out):  # type: ignore[no-untyped-def]
    """Three bands of each channel weighed; ``out`` has every ``stride``-th band."""
    batch, channels, bands, frames = z.shape
    for b in range(batch):
        for c in range(channels):
            for o in range(out.shape[2]):
                f = o * stride
                before = z[b, c, max(f - 1, 0)]
                here = z[b, c, f]
                after = z[b, c, min(f + 1, bands - 1)]
                w0 = weight[c, 0] if f > 0 else weight.dtype.type(0)
                w1 = weight[c, 1]
                w2 = weight[c, 2] if f + 1 < bands else weight.dtype.type(0)
                row = out[b, c, o]
                for t in range(frames):
                    row[t] = w0 * before[t] + w1 * here[t] + w2 * after[t]


@_compiled
def _convolve_back(z, weight, stride, grad, grad_z, grad_weight):  # type: ignore[no-untyped-def]
    """Gradients of :func:`_convolve`; ``grad_z`` and ``grad_weight`` begin as zeros."""
    batch, channels, bands, frames = z.shape
    for b in range(batch):
        for c in range(channels):
            for o in range(grad.shape[2]):
                row = grad[b, c, o]
                for k in range(3):
                    f = o * stride + k - 1
                    if f < 0 or f >= bands:
                        continue
                    source, target, w = z[b, c, f], grad_z[b, c, f], weight[c, k]
                    total = grad.dtype.type(0)
                    for t in range(frames):
                        total += row[t] * source[t]
                        target[t] += w * row[t]
                    grad_weight[c, k] += total


@_compiled
def _moments(x, parts, mean, var):  # type: ignore[no-untyped-def]
    """Mean and variance of each part of each channel [channels, parts]."""
    batch, channels, bands, frames = x.shape
    each = bands // parts
    total, square = np.zeros(mean.shape), np.zeros(mean.shape)
    for b in range(batch):
        for c in range(channels):
            for f in range(bands):
                row = x[b, c, f]
                s, q = x.dtype.type(0), x.dtype.type(0)
                for t in range(frames):
                    s += row[t]
                    q += row[t] * row[t]
                total[c, f // each] += s
                square[c, f // each] += q
    count = batch * each * frames
    mean[:] = total / count
    var[:] = np.maximum(square / count - (total / count) ** 2, 0.0)


@_compiled
def _normalise(x, scale, shift, rectify, out, average):  # type: ignore[no-untyped-def]
    """``scale · x + shift`` [channels, parts], rectified or not, and its mean over the bands."""
    batch, channels, bands, frames = x.shape
    each, share = bands // scale.shape[1], x.dtype.type(1) / x.dtype.type(bands)
    for b in range(batch):
        for c in range(channels):
            mean = average[b, c]
            mean[:] = 0
            for f in range(bands):
                a, d = scale[c, f // each], shift[c, f // each]
                row, target = x[b, c, f], out[b, c, f]
                if rectify:
                    for t in range(frames):
                        target[t] = max(a * row[t] + d, x.dtype.type(0))
                else:
                    for t in range(frames):
                        target[t] = a * row[t] + d
                        mean[t] += share * target[t]


@_compiled
def _normalise_back(x, out, mean, rstd, rectify, grad, grad_average, sums):  # type: ignore[no-untyped-def]
    """``grad`` becomes the gradient of the normalised values, their mean's taken in.

    ``sums [2, channels, parts]`` get those of shift and of scale.
    """
    batch, channels, bands, frames = x.shape
    each, share = bands // mean.shape[1], x.dtype.type(1) / x.dtype.type(bands)
    for b in range(batch):
        for c in range(channels):
            common = grad_average[b, c]
            for f in range(bands):
                m, r = mean[c, f // each], rstd[c, f // each]
                row, result, g = x[b, c, f], out[b, c, f], grad[b, c, f]
                s, q = x.dtype.type(0), x.dtype.type(0)
                if rectify:
                    for t in range(frames):
                        now = g[t] if result[t] > 0 else x.dtype.type(0)
                        g[t] = now
                        s += now
                        q += now * (row[t] - m)
                else:
                    for t in range(frames):
                        now = g[t] + share * common[t]
                        g[t] = now
                        s += now
                        q += now * (row[t] - m)
                sums[0, c, f // each] += s
                sums[1, c, f // each] += q * r


@_compiled
def _through_moments(x, mean, rstd, weight, sums, grad):  # type: ignore[no-untyped-def]
    """``grad`` of the normalised values becomes that of ``x``, whose moments depend on it."""
    batch, channels, bands, frames = x.shape
    each = bands // mean.shape[1]
    count = batch * each * frames
    for b in range(batch):
        for c in range(channels):
            for f in range(bands):
                p = f // each
                m, r = mean[c, p], rstd[c, p]
                scale = weight[c, p] * r
                fixed = x.dtype.type(sums[0, c, p] / count)
                along = r * x.dtype.type(sums[1, c, p] / count)
                row, g = x[b, c, f], grad[b, c, f]
                for t in range(frames):
                    g[t] = scale * (g[t] - fixed - along * (row[t] - m))


@_compiled
def _join(spread, timed, x, residual, out):  # type: ignore[no-untyped-def]
    """``spread`` and ``timed [batch, channels, frames]`` (and ``x``) added up and rectified."""
    batch, channels, bands, frames = spread.shape
    for b in range(batch):
        for c in range(channels):
            common = timed[b, c]
            for f in range(bands):
                row, target = spread[b, c, f], out[b, c, f]
                if residual:
                    more = x[b, c, f]
                    for t in range(frames):
                        target[t] = max(row[t] + common[t] + more[t], row.dtype.type(0))
                else:
                    for t in range(frames):
                        target[t] = max(row[t] + common[t], row.dtype.type(0))


@_compiled
def _join_back(out, grad, grad_sum, grad_timed):  # type: ignore[no-untyped-def]
    """Gradient of the sum, and of ``timed``."""
    batch, channels, bands, frames = out.shape
    for b in range(batch):
        for c in range(channels):
            common = grad_timed[b, c]
            common[:] = 0
            for f in range(bands):
                result, g, target = out[b, c, f], grad[b, c, f], grad_sum[b, c, f]
                for t in range(frames):
                    now = g[t] if result[t] > 0 else g.dtype.type(0)
                    target[t] = now
                    common[t] += now


def _array(x: Tensor) -> Array:
    return x.detach().contiguous().numpy()


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, stride: int) -> Tensor:
        batch, channels, bands, frames = z.shape
        out = np.empty((batch, channels, -(-bands // stride), frames), np.float32)
        ctx.save_for_backward(z, weight)
        ctx.stride = stride
        _convolve(_array(z), _array(weight), stride, out)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        z, weight = (_array(x) for x in ctx.saved_tensors)
        grad_z, grad_weight = np.zeros_like(z), np.zeros(weight.shape)
        _convolve_back(z, weight, ctx.stride, _array(grads[0]), grad_z, grad_weight)
        return torch.from_numpy(grad_z), torch.from_numpy(grad_weight).float(), None


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, rectify: bool
    ) -> tuple[Tensor, ...]:
        array, scale = _array(x), _array(weight)
        mean, var = np.empty_like(scale), np.empty_like(scale)
        _moments(array, scale.shape[1], mean, var)
        rstd = (1 / np.sqrt(var + eps)).astype(np.float32)
        out, average = np.empty_like(array), np.empty_like(array[:, :, 0])
        factor = scale * rstd
        _normalise(array, factor, _array(bias) - factor * mean, rectify, out, average)
        ctx.kept = array, out, mean, rstd, scale, rectify
        moments = torch.from_numpy(mean), torch.from_numpy(var)
        ctx.mark_non_differentiable(*moments)
        return torch.from_numpy(out), torch.from_numpy(average), *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        array, out, mean, rstd, scale, rectify = ctx.kept
        grad, sums = _array(grads[0]).copy(), np.zeros((2, *mean.shape))
        _normalise_back(array, out, mean, rstd, rectify, grad, _array(grads[1]), sums)
        _through_moments(array, mean, rstd, scale, sums, grad)
        bias, weight = torch.from_numpy(sums.astype(np.float32))
        return torch.from_numpy(grad), weight, bias, None, None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spread: Tensor, timed: Tensor, x: Tensor | None) -> Tensor:
        rows = _array(spread)
        out = np.empty_like(rows)
        _join(rows, _array(timed), rows if x is None else _array(x), x is not None, out)
        ctx.kept = out, x is not None
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out, residual = ctx.kept
        total, timed = np.empty_like(out), np.empty_like(out[:, :, 0])
        _join_back(out, _array(grads[0]), total, timed)
        whole = torch.from_numpy(total)
        return whole, torch.from_numpy(timed), whole if residual else None


def mix_channels(x: Tensor, weight: Tensor) -> Tensor:
    """Channels mixed by ``weight [after, before]``.

    Parameters
    ----------
    x
        [batch, before, bands, frames].
    weight
        [after, before].

    Returns
    -------
    Tensor
        [batch, after, bands, frames].
    """
    mixed = torch.bmm(weight.expand(len(x), -1, -1), x.flatten(2))
    return mixed.unflatten(2, x.shape[2:])


def convolve(z: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Depthwise convolution over three bands: ``weight [channels, 1, 3, 1]``, zeros beyond.

    Parameters
    ----------
    z
        [batch, channels, bands, frames].
    weight
        [channels, 1, 3, 1].
    stride
        Of the bands.

    Returns
    -------
    Tensor
        [batch, channels, bands / stride, frames].
    """
    return _Convolve.apply(z, weight.flatten(1), stride)  # type: ignore[no-untyped-call,no-any-return]


def normalise(
    x: Tensor, norm: nn.BatchNorm2d, parts: int = 1, *, rectify: bool = False
) -> tuple[Tensor, Tensor]:
    """Batch normalisation in training, and the mean of the result over the bands.

    Parameters
    ----------
    x
        [batch, channels, bands, frames].
    norm
        Of [channels · parts]; its running moments are updated.
    parts
        Of the bands, each normalised on its own.
    rectify
        Negative results become 0; then the mean is not made.

    Returns
    -------
    tuple of Tensor
        Shaped like ``x``, and [batch, channels, frames].

    Raises
    ------
    ValueError
        If the bands cannot be divided into so many parts.
    """
    if x.shape[2] % parts:
        raise ValueError(f"{x.shape[2]} bands are no multiple of {parts}")
    weight, bias = (p.view(-1, parts) for p in (norm.weight, norm.bias))
    y, average, mean, var = _Normalise.apply(x, weight, bias, norm.eps, rectify)  # type: ignore[no-untyped-call]
    count = x.numel() / mean.numel()
    assert norm.momentum is not None
    for running, now in ((norm.running_mean, mean), (norm.running_var, var * count / (count - 1))):
        assert running is not None
        running.lerp_(now.flatten(), norm.momentum)
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    return y, average


def join(spread: Tensor, timed: Tensor, x: Tensor | None) -> Tensor:
    """``spread`` + ``timed [batch, channels, frames]`` in all bands (+ ``x``), rectified.

    Parameters
    ----------
    spread
        [batch, channels, bands, frames].
    timed
        [batch, channels, frames].
    x
        Shaped like ``spread``, or None.

    Returns
    -------
    Tensor
        Shaped like ``spread``.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    fits = timed.shape == spread[:, :, 0].shape and (x is None or x.shape == spread.shape)
    if not fits:
        raise ValueError(f"{tuple(timed.shape)} does not fit {tuple(spread.shape)}")
    return _Join.apply(spread, timed, x)  # type: ignore[no-untyped-call,no-any-return]
