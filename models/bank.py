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

from resonance.models import adjoint

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
    return listen_fft(x, edges, pole_re, pole_im, (own, following))


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
    return play_fft(x, edges, ramp, pole_re, pole_im, w_re, w_im)


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
    return rewind_fft(x, edges, ramp, ahead, pole_re, pole_im, w_re, w_im)


def rewind_fft(
    x: Tensor,
    edges: Tensor,
    ramp: int,
    ahead: int,
    pole_re: Tensor,
    pole_im: Tensor,
    w_re: Tensor,
    w_im: Tensor,
) -> Tensor:
    """:func:`rewind` in plain torch, for any device.

    Parameters
    ----------
    x, edges, ramp, ahead, pole_re, pole_im, w_re, w_im
        As in :func:`rewind`.

    Returns
    -------
    Tensor
        Sound to add [batch, samples].
    """
    out = torch.zeros_like(x)
    with torch.no_grad():
        padded = torch.nn.functional.pad(x, (0, ahead))
        starts = [int(e) for e in edges[:-1]]
        windows = torch.stack([padded[:, e : e + ahead] for e in starts], 1)
        back = states_fft(windows.flatten(0, 1).flip(-1), pole_re, pole_im).flip(1)
        back = back.unflatten(0, windows.shape[:2]) - windows[..., None]
    w, parts = torch.complex(w_re, w_im), []
    for h, length in enumerate(int(n) for n in edges[1:] - edges[:-1]):
        width = min(ramp, length)
        progress = (torch.arange(1, length + 1, device=x.device).clamp(max=width) / width).to(x)
        weights = w[:, h, None] + progress[:, None] * (w[:, h + 1, None] - w[:, h, None])
        parts.append((weights * back[:, h, :length]).real.sum(-1))
    whole = torch.cat(parts, 1)
    return torch.cat([whole, out[:, whole.shape[1] :]], 1)


def states_fft(x: Tensor, pole_re: Tensor, pole_im: Tensor) -> Tensor:
    """Z of every sample by FFT convolution with λ^n, complex [batch, samples, oscillators].

    Parameters
    ----------
    x
        Sound [batch, samples].
    pole_re, pole_im
        λ [oscillators].

    Returns
    -------
    Tensor
        Complex [batch, samples, oscillators].
    """
    length = x.shape[-1]
    n = torch.arange(length, device=x.device, dtype=x.dtype)
    size = torch.log(torch.sqrt(pole_re**2 + pole_im**2))
    angle = torch.atan2(pole_im, pole_re)
    response = torch.polar(torch.exp(n[:, None] * size), n[:, None] * angle)
    spectrum = torch.fft.fft(x.to(response.dtype), 2 * length)[:, :, None]
    return torch.fft.ifft(spectrum * torch.fft.fft(response, 2 * length, dim=0), dim=1)[:, :length]


def listen_fft(
    x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor, neighbours: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """:func:`listen` in plain torch, for any device.

    Parameters
    ----------
    x, edges, pole_re, pole_im, neighbours
        As in :func:`listen`.

    Returns
    -------
    tuple of Tensor
        As of :func:`listen`.
    """
    z = states_fft(x, pole_re, pole_im)
    edges = edges.to(x.device)
    own, following = (w.to(z) for w in neighbours)
    pairs = len(own)
    with torch.no_grad():
        between = own * z[..., :pairs] - following * z[..., 1 : pairs + 1]
        contrast = _sums(between, edges)
    end = z[:, edges[1:] - 1]
    return _sums(z, edges), contrast, end.real, end.imag


def _sums(z: Tensor, edges: Tensor) -> Tensor:
    """Σ|z|² of each hop."""
    power = torch.nn.functional.pad(z.abs().double().square(), (0, 0, 1, 0)).cumsum(1)
    return (power[:, edges[1:]] - power[:, edges[:-1]]).to(z.real.dtype)


def play_fft(
    x: Tensor,
    edges: Tensor,
    ramp: int,
    pole_re: Tensor,
    pole_im: Tensor,
    w_re: Tensor,
    w_im: Tensor,
) -> Tensor:
    """:func:`play` in plain torch, for any device.

    Parameters
    ----------
    x, edges, ramp, pole_re, pole_im, w_re, w_im
        As in :func:`play`.

    Returns
    -------
    Tensor
        Sound [batch, samples].
    """
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
    return scan_doubling(pole_re, pole_im, u_re, u_im)


def scan_doubling(
    pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`scan` by recursive doubling in log2(frames) parallel steps, for any device.

    Parameters
    ----------
    pole_re, pole_im, u_re, u_im
        As in :func:`scan`.

    Returns
    -------
    tuple of Tensor
        Real and imaginary part of h [batch, frames, states].
    """
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
