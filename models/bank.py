"""The oscillator bank as differentiable functions: the sound's way in, and its way out.

Each function has two forms that agree: compiled reverse-time adjoints on the CPU
(``models/adjoint.py``), and plain torch (``models/hopwise.py``), a hop at a time, for other
devices; on NVIDIA GPUs what goes sample by sample is compiled, too (``models/gpu.py``).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from resonance.models import adjoint, hopwise

#: Weights (own, next) of neighbouring oscillators, or None.
Neighbours = tuple[Tensor, Tensor] | None
#: Threads numba was started with; it cannot use more later.
_MOST_THREADS = numba.get_num_threads()


def poles_from(f0_hz: Tensor, damping_ratio: Tensor, samplerate: float) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of λ = exp((-γ + iω_d) / samplerate), each [oscillators].

    Parameters
    ----------
    f0_hz
        Natural frequencies [oscillators].
    damping_ratio
        ζ [oscillators].
    samplerate
        Hz.

    Returns
    -------
    tuple of Tensor
        Real and imaginary part [oscillators].
    """
    radians = 2.0 * np.pi / samplerate * f0_hz
    size = torch.exp(-damping_ratio * radians)
    angle = radians * torch.sqrt(1.0 - damping_ratio**2)
    return size * torch.cos(angle), size * torch.sin(angle)


def listen(
    x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor, neighbours: Neighbours = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Energy Σ|z|² of each hop, that of the neighbours' differences, and z at its end.

    Parameters
    ----------
    x
        Sound [batch, samples].
    edges
        Samples at which hops begin and end, int64 on the CPU [hops + 1].
    pole_re, pole_im
        λ [oscillators].
    neighbours
        Weights (own, next) of ``resonance.dsp.contrast.neighbour_weights``, complex
        [oscillators - 1].

    Returns
    -------
    energy, contrast, end_re, end_im
        Each [batch, hops, oscillators]; contrast one oscillator less, and empty without weights.
        No gradient flows through the contrast: the bank learns from the other three.
    """
    own, following = neighbours or (pole_re.new_zeros(0, dtype=torch.complex64),) * 2
    if x.device.type == "cpu":
        return _Listen.apply(x, edges, pole_re, pole_im, own, following)  # type: ignore[no-any-return]
    return hopwise.listen(x, edges, pole_re, pole_im, (own, following))


def play(
    x: Tensor,
    edges: Tensor,
    ramp: int,
    pole_re: Tensor,
    pole_im: Tensor,
    w_re: Tensor,
    w_im: Tensor,
) -> Tensor:
    """Additive synthesis ``Re Σ_k w_k z_k`` [batch, samples].

    In hop h the weights go from ``w[h]`` to ``w[h + 1]`` within ``ramp`` samples;
    ``w_re, w_im [batch, hops + 1, oscillators]``, the rest as in :func:`listen`.

    Parameters
    ----------
    x
        Sound [batch, samples].
    edges
        First sample of each hop, and the end [hops + 1].
    ramp
        Samples in which weights change.
    pole_re, pole_im
        λ [oscillators].
    w_re, w_im
        Weights at each edge [batch, hops + 1, oscillators].

    Returns
    -------
    Tensor
        Sound [batch, samples].
    """
    if x.device.type == "cpu":
        return _Play.apply(x, edges, ramp, pole_re, pole_im, w_re, w_im)  # type: ignore[no-any-return]
    return hopwise.play(x, edges, ramp, pole_re, pole_im, w_re, w_im)


def rewind(
    x: Tensor,
    edges: Tensor,
    ramp: int,
    ahead: int,
    pole_re: Tensor,
    pole_im: Tensor,
    w_re: Tensor,
    w_im: Tensor,
) -> Tensor:
    """What :func:`play` lacks to be symmetric in time: oscillators that run backwards.

    Each hop's start from rest ``ahead`` samples after its beginning. With both, an oscillator
    answers an impulse by ``Re w λ^|n|``, before and after it alike, and turns no phase. Gradients
    reach the weights alone: a bank learns without look-ahead.

    Parameters
    ----------
    x, edges, ramp, pole_re, pole_im, w_re, w_im
        As in :func:`play`.
    ahead
        Samples of look-ahead.

    Returns
    -------
    Tensor
        Sound to add [batch, samples].
    """
    if x.device.type == "cpu":
        return _Rewind.apply(x, edges, ramp, ahead, pole_re, pole_im, w_re, w_im)  # type: ignore[no-any-return]
    return hopwise.rewind(x, edges, ramp, ahead, pole_re, pole_im, w_re, w_im)


def scan(pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor) -> tuple[Tensor, Tensor]:
    """Slow oscillators over frames, h[t] = λ[t] h[t-1] + u[t], all [batch, frames, states].

    Parameters
    ----------
    pole_re, pole_im
        λ of each frame and state.
    u_re, u_im
        Inputs.

    Returns
    -------
    tuple of Tensor
        Real and imaginary part of h [batch, frames, states].
    """
    if u_re.device.type == "cpu":
        return _Scan.apply(pole_re, pole_im, u_re, u_im)  # type: ignore[no-any-return]
    return hopwise.scan(pole_re, pole_im, u_re, u_im)


def arrays(*tensors: Tensor) -> list[Any]:
    """Tensors on the CPU as numpy arrays for the compiled passes."""
    numba.set_num_threads(min(torch.get_num_threads(), _MOST_THREADS))
    return [t.detach().contiguous().numpy() for t in tensors]


class _Listen(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        edges: Tensor,
        pole_re: Tensor,
        pole_im: Tensor,
        own: Tensor,
        following: Tensor,
    ) -> Any:
        shape = (x.shape[0], len(edges) - 1)
        energy, end_re, end_im = (x.new_zeros(*shape, len(pole_re)) for _ in range(3))
        contrast = x.new_zeros(*shape, len(own))
        weights = [w.to(x.dtype) for w in (own.real, own.imag, following.real, following.imag)]
        outputs = arrays(energy, contrast, end_re, end_im)
        adjoint.listen_forward(*arrays(x, edges, pole_re, pole_im, *weights), *outputs)
        ctx.save_for_backward(x, edges, pole_re, pole_im, end_re, end_im)
        ctx.mark_non_differentiable(contrast)
        return energy, contrast, end_re, end_im

    @staticmethod
    def backward(ctx: Any, d_energy: Tensor, _: Any, d_re: Tensor, d_im: Tensor) -> Any:  # type: ignore[override]
        x, edges, pole_re, pole_im, end_re, end_im = ctx.saved_tensors
        dx = x.new_zeros(x.shape)
        dp_re, dp_im = (x.new_zeros(x.shape[0], len(pole_re)) for _ in range(2))
        adjoint.listen_backward(
            *arrays(x, edges, pole_re, pole_im, end_re, end_im, d_energy, d_re, d_im),
            *arrays(dx, dp_re, dp_im),
        )
        return dx, None, dp_re.sum(0), dp_im.sum(0), None, None


class _Play(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        edges: Tensor,
        ramp: int,
        pole_re: Tensor,
        pole_im: Tensor,
        w_re: Tensor,
        w_im: Tensor,
    ) -> Any:
        y = x.new_zeros(x.shape)
        end_re, end_im = (x.new_zeros(x.shape[0], len(edges) - 1, len(pole_re)) for _ in range(2))
        rest = arrays(pole_re, pole_im, w_re, w_im, end_re, end_im, y)
        adjoint.synthesise_forward(*arrays(x, edges), ramp, *rest)  # type: ignore[call-arg]
        ctx.save_for_backward(x, edges, pole_re, pole_im, w_re, w_im, end_re, end_im)
        ctx.ramp = ramp
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        x, edges, pole_re, pole_im, w_re, w_im, end_re, end_im = ctx.saved_tensors
        dx, dw_re, dw_im = (t.new_zeros(t.shape) for t in (x, w_re, w_im))
        dp_re, dp_im = (x.new_zeros(x.shape[0], len(pole_re)) for _ in range(2))
        where = (*arrays(x, edges), ctx.ramp, *arrays(pole_re, pole_im))
        adjoint.weights_backward(*where, *arrays(dy, dw_re, dw_im))  # type: ignore[call-arg]
        if any(ctx.needs_input_grad[i] for i in (0, 3, 4)):
            rest = arrays(w_re, w_im, end_re, end_im, dy, dx, dp_re, dp_im)
            adjoint.synthesise_backward(*where, *rest)  # type: ignore[call-arg]
        return dx, None, None, dp_re.sum(0), dp_im.sum(0), dw_re, dw_im


class _Rewind(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        edges: Tensor,
        ramp: int,
        ahead: int,
        pole_re: Tensor,
        pole_im: Tensor,
        w_re: Tensor,
        w_im: Tensor,
    ) -> Any:
        y = x.new_zeros(x.shape)
        rest = arrays(pole_re, pole_im, w_re, w_im, y)
        adjoint.rewind_forward(*arrays(x, edges), ramp, ahead, *rest)  # type: ignore[call-arg]
        ctx.save_for_backward(x, edges, pole_re, pole_im, w_re, w_im)
        ctx.ramp, ctx.ahead = ramp, ahead
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        x, edges, pole_re, pole_im, w_re, w_im = ctx.saved_tensors
        dw_re, dw_im = (w.new_zeros(w.shape) for w in (w_re, w_im))
        rest = arrays(pole_re, pole_im, dy, dw_re, dw_im)
        adjoint.rewind_backward(*arrays(x, edges), ctx.ramp, ctx.ahead, *rest)  # type: ignore[call-arg]
        return None, None, None, None, None, None, dw_re, dw_im


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor) -> Any:
        h_re, h_im = (u_re.new_zeros(u_re.shape) for _ in range(2))
        adjoint.scan_forward(*arrays(pole_re, pole_im, u_re, u_im, h_re, h_im))
        ctx.save_for_backward(pole_re, pole_im, h_re, h_im)
        return h_re, h_im

    @staticmethod
    def backward(ctx: Any, d_re: Tensor, d_im: Tensor) -> Any:  # type: ignore[override]
        saved = ctx.saved_tensors
        gradients = [torch.zeros(saved[0].shape, dtype=d_re.dtype) for _ in range(4)]
        adjoint.scan_backward(*arrays(*saved, d_re, d_im), *arrays(*gradients))
        return tuple(gradients)
