"""The oscillator bank as differentiable functions: the sound's way in, and its way out.

Each function has two forms that agree: compiled reverse-time adjoints on the CPU
(``models/adjoint.py``, about 50 times faster there than convolution), and an FFT form in plain
torch that runs on any device.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from models import adjoint

#: Threads numba was started with; it cannot use more later.
_MOST_THREADS = numba.get_num_threads()


def poles_from(f0_hz: Tensor, damping_ratio: Tensor, samplerate: float) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of λ = exp((-γ + iω_d) / samplerate), each [oscillators]."""
    radians = 2.0 * np.pi / samplerate * f0_hz
    size = torch.exp(-damping_ratio * radians)
    angle = radians * torch.sqrt(1.0 - damping_ratio**2)
    return size * torch.cos(angle), size * torch.sin(angle)


def hear(
    x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Energy Σ|z|² of each hop, and z (real, imaginary) at its end.

    Parameters
    ----------
    x
        Sound [batch, samples].
    edges
        Samples at which hops begin and end, int64 on the CPU [hops + 1].
    pole_re, pole_im
        λ [oscillators].

    Returns
    -------
    energy, end_re, end_im
        Each [batch, hops, oscillators].
    """
    if x.device.type == "cpu":
        return _Hear.apply(x, edges, pole_re, pole_im)  # type: ignore[no-any-return]
    return hear_fft(x, edges, pole_re, pole_im)


def play(
    x: Tensor, edges: Tensor, ramp: int,
    pole_re: Tensor, pole_im: Tensor, w_re: Tensor, w_im: Tensor,
) -> Tensor:  # fmt: skip
    """Additive synthesis ``Re Σ_k w_k z_k`` [batch, samples].

    In hop h the weights go from ``w[h]`` to ``w[h + 1]`` within ``ramp`` samples;
    ``w_re, w_im [batch, hops + 1, oscillators]``, the rest as in :func:`hear`.
    """
    if x.device.type == "cpu":
        return _Play.apply(x, edges, ramp, pole_re, pole_im, w_re, w_im)  # type: ignore[no-any-return]
    return play_fft(x, edges, ramp, pole_re, pole_im, w_re, w_im)


def states_fft(x: Tensor, pole_re: Tensor, pole_im: Tensor) -> Tensor:
    """Z of every sample by FFT convolution with λ^n, complex [batch, samples, oscillators]."""
    length = x.shape[-1]
    n = torch.arange(length, device=x.device, dtype=x.dtype)
    size = torch.log(torch.sqrt(pole_re**2 + pole_im**2))
    angle = torch.atan2(pole_im, pole_re)
    response = torch.polar(torch.exp(n[:, None] * size), n[:, None] * angle)
    spectrum = torch.fft.fft(x.to(response.dtype), 2 * length)[:, :, None]
    return torch.fft.ifft(
        spectrum * torch.fft.fft(response, 2 * length, dim=0), dim=1
    )[:, :length]  # fmt: skip


def hear_fft(
    x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`hear` in plain torch, for any device."""
    z = states_fft(x, pole_re, pole_im)
    power = torch.cumsum(torch.cat([torch.zeros_like(z.real[:, :1]), z.abs() ** 2], 1), 1)
    edges = edges.to(x.device)
    energy = power[:, edges[1:]] - power[:, edges[:-1]]
    end = z[:, edges[1:] - 1]
    return energy, end.real, end.imag


def play_fft(
    x: Tensor, edges: Tensor, ramp: int,
    pole_re: Tensor, pole_im: Tensor, w_re: Tensor, w_im: Tensor,
) -> Tensor:  # fmt: skip
    """:func:`play` in plain torch, for any device."""
    z = states_fft(x, pole_re, pole_im)
    lengths = edges[1:] - edges[:-1]
    hop = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    position = torch.arange(len(hop)) - edges[hop] + 1
    width = lengths.clamp(max=ramp)[hop]
    progress = (position.clamp(max=ramp).minimum(width) / width).to(x)[None, :, None]
    w = torch.complex(w_re, w_im)
    hop = hop.to(x.device)
    weights = w[:, hop] + progress * (w[:, hop + 1] - w[:, hop])
    y = (weights * z[:, : len(hop)]).real.sum(-1)
    return torch.nn.functional.pad(y, (0, x.shape[-1] - len(hop)))


def scan(pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor) -> tuple[Tensor, Tensor]:
    """Slow oscillators over frames, h[t] = λ[t] h[t-1] + u[t], all [batch, frames, states]."""
    if u_re.device.type == "cpu":
        return _Scan.apply(pole_re, pole_im, u_re, u_im)  # type: ignore[no-any-return]
    return scan_doubling(pole_re, pole_im, u_re, u_im)


def scan_doubling(
    pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`scan` by recursive doubling in log2(frames) parallel steps, for any device."""
    shift = 1
    while shift < u_re.shape[1]:
        late = (pole_re[:, shift:], pole_im[:, shift:])
        add_re, add_im = _times(*late, u_re[:, :-shift], u_im[:, :-shift])
        new_re, new_im = _times(*late, pole_re[:, :-shift], pole_im[:, :-shift])
        u_re = torch.cat([u_re[:, :shift], u_re[:, shift:] + add_re], 1)
        u_im = torch.cat([u_im[:, :shift], u_im[:, shift:] + add_im], 1)
        pole_re = torch.cat([pole_re[:, :shift], new_re], 1)
        pole_im = torch.cat([pole_im[:, :shift], new_im], 1)
        shift *= 2
    return u_re, u_im


def _times(a_re: Tensor, a_im: Tensor, b_re: Tensor, b_im: Tensor) -> tuple[Tensor, Tensor]:
    """Complex product in real parts (ONNX knows no complex numbers)."""
    return a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re


def _arrays(*tensors: Tensor) -> list[Any]:
    numba.set_num_threads(min(torch.get_num_threads(), _MOST_THREADS))
    return [t.detach().contiguous().numpy() for t in tensors]


class _Hear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor) -> Any:
        shape = (x.shape[0], len(edges) - 1, len(pole_re))
        energy, end_re, end_im = (x.new_zeros(shape) for _ in range(3))
        adjoint.listen_forward(*_arrays(x, edges, pole_re, pole_im, energy, end_re, end_im))
        ctx.save_for_backward(x, edges, pole_re, pole_im, end_re, end_im)
        return energy, end_re, end_im

    @staticmethod
    def backward(ctx: Any, d_energy: Tensor, d_re: Tensor, d_im: Tensor) -> Any:  # type: ignore[override]
        x, edges, pole_re, pole_im, end_re, end_im = ctx.saved_tensors
        dx = x.new_zeros(x.shape)
        dp_re, dp_im = (x.new_zeros(x.shape[0], len(pole_re)) for _ in range(2))
        adjoint.listen_backward(
            *_arrays(x, edges, pole_re, pole_im, end_re, end_im, d_energy, d_re, d_im),
            *_arrays(dx, dp_re, dp_im),
        )
        return dx, None, dp_re.sum(0), dp_im.sum(0)


class _Play(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, edges: Tensor, ramp: int,
        pole_re: Tensor, pole_im: Tensor, w_re: Tensor, w_im: Tensor,
    ) -> Any:  # fmt: skip
        y = x.new_zeros(x.shape)
        end_re, end_im = (x.new_zeros(x.shape[0], len(edges) - 1, len(pole_re)) for _ in range(2))
        rest = _arrays(pole_re, pole_im, w_re, w_im, end_re, end_im, y)
        adjoint.synthesise_forward(*_arrays(x, edges), ramp, *rest)  # type: ignore[call-arg]
        ctx.save_for_backward(x, edges, pole_re, pole_im, w_re, w_im, end_re, end_im)
        ctx.ramp = ramp
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        x, edges, pole_re, pole_im, w_re, w_im, end_re, end_im = ctx.saved_tensors
        with_poles = any(ctx.needs_input_grad[i] for i in (0, 3, 4))
        dx, dw_re, dw_im = (t.new_zeros(t.shape) for t in (x, w_re, w_im))
        dp_re, dp_im = (x.new_zeros(x.shape[0], len(pole_re)) for _ in range(2))
        middle = _arrays(pole_re, pole_im, w_re, w_im, end_re, end_im, dy)
        after = _arrays(dx, dp_re, dp_im, dw_re, dw_im)
        adjoint.synthesise_backward(  # type: ignore[call-arg]
            *_arrays(x, edges), ctx.ramp, *middle, with_poles, *after
        )
        return dx, None, None, dp_re.sum(0), dp_im.sum(0), dw_re, dw_im


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor) -> Any:
        h_re, h_im = (u_re.new_zeros(u_re.shape) for _ in range(2))
        adjoint.scan_forward(*_arrays(pole_re, pole_im, u_re, u_im, h_re, h_im))
        ctx.save_for_backward(pole_re, pole_im, h_re, h_im)
        return h_re, h_im

    @staticmethod
    def backward(ctx: Any, d_re: Tensor, d_im: Tensor) -> Any:  # type: ignore[override]
        saved = ctx.saved_tensors
        gradients = [torch.zeros(saved[0].shape, dtype=d_re.dtype) for _ in range(4)]
        adjoint.scan_backward(*_arrays(*saved, d_re, d_im), *_arrays(*gradients))
        return tuple(gradients)
