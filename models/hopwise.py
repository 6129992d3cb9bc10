"""The bank in plain torch, a hop at a time: matrix products and short FFTs, differentiable.

On an NVIDIA GPU, what goes from sample to sample or hop to hop is compiled (``models/gpu.py``).
What an oscillator does within a hop follows from where it was when the hop began, and from the
hop's samples: ``z[i] = λ^(i+1) z_before + Σ_j λ^(i-j) x[j]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

#: Real and imaginary parts of λ^0, λ^1, …, each [oscillators, count].
Powers = tuple[Tensor, Tensor]


def listen(
    x: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor, neighbours: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``resonance.models.bank.listen``.

    Parameters
    ----------
    x, edges, pole_re, pole_im, neighbours
        As there.

    Returns
    -------
    tuple of Tensor
        As there.
    """
    if x.is_cuda and not (x.requires_grad or pole_re.requires_grad):
        return _kernels().listen(x, layout(edges, x.device).edges, pole_re, pole_im, neighbours)  # type: ignore[no-any-return]
    where = layout(edges, x.device)
    sound = _hops(x, where)
    powers = _powers(pole_re, pole_im, sound.shape[-1] + 1)
    end_re, end_im = _ends(sound, where, powers)
    before = torch.complex(*(_shifted(e) for e in (end_re, end_im)))
    z = _within(sound, before, powers)
    own, following = (w.to(z) for w in neighbours)
    pairs = len(own)
    with torch.no_grad():
        between = own * z[..., :pairs] - following * z[..., 1 : pairs + 1]
        contrast = _energy(between, where.inside)
    return _energy(z, where.inside), contrast, end_re, end_im


def play(
    x: Tensor,
    edges: Tensor,
    ramp: int,
    pole_re: Tensor,
    pole_im: Tensor,
    w_re: Tensor,
    w_im: Tensor,
) -> Tensor:
    """``resonance.models.bank.play``.

    Parameters
    ----------
    x, edges, ramp, pole_re, pole_im, w_re, w_im
        As there.

    Returns
    -------
    Tensor
        Sound [batch, samples].
    """
    where = layout(edges, x.device)
    sound = _hops(x, where)
    powers = _powers(pole_re, pole_im, sound.shape[-1] + 1)
    before_re, before_im = (_shifted(e) for e in _ends(sound, where, powers))

    def played(w_re: Tensor, w_im: Tensor, length: int) -> Tensor:
        answer = _response(powers, w_re, w_im, length + 1)
        # What the oscillators bring along, as if it were weights.
        kept_re = w_re * before_re - w_im * before_im
        kept_im = w_re * before_im + w_im * before_re
        kept = _response(powers, kept_re, kept_im, length + 1)[..., 1:]
        return kept + _convolved(sound[..., :length], answer[..., :length])

    return _moving(played, w_re, w_im, ramp, where, x.shape[-1])


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
    """``resonance.models.bank.rewind``.

    Parameters
    ----------
    x, edges, ramp, ahead, pole_re, pole_im, w_re, w_im
        As there.

    Returns
    -------
    Tensor
        Sound to add [batch, samples].
    """
    where = layout(edges, x.device)
    powers = _powers(pole_re, pole_im, ahead)
    coming = F.pad(x, (0, ahead))[:, where.at[:, :1] + torch.arange(ahead, device=x.device)]

    def played(w_re: Tensor, w_im: Tensor, length: int) -> Tensor:
        answer = _response(powers, w_re, w_im, ahead)
        later = F.pad(answer[..., 1:], (1, 0))  # the sample itself has been played
        found = _convolved(coming.flip(-1), later).flip(-1)[..., :length]
        return F.pad(found, (0, length - found.shape[-1]))

    return _moving(played, w_re, w_im, ramp, where, x.shape[-1])


def scan(pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor) -> tuple[Tensor, Tensor]:
    """``resonance.models.bank.scan``.

    Parameters
    ----------
    pole_re, pole_im, u_re, u_im
        As there.

    Returns
    -------
    tuple of Tensor
        As there.
    """
    if u_re.is_cuda:
        return _kernels().scan(pole_re, pole_im, u_re, u_im)  # type: ignore[no-any-return]
    return _scan_doubling(pole_re, pole_im, u_re, u_im)


def resonate(drive: Tensor, circle: Tensor) -> Tensor:
    """Slow oscillators of every token over all hops, from rest (``dsp/coupled.py``).

    Parameters
    ----------
    drive
        Drive (real, imaginary) and gain [batch, hops, tokens, 3 · states].
    circle
        cos and sin of the angle per hop [2, states].

    Returns
    -------
    Tensor
        Real and imaginary parts [batch, 2, tokens, hops, states].
    """
    if drive.is_cuda:
        return _kernels().resonate(drive, circle)  # type: ignore[no-any-return]
    u_re, u_im, gain = drive.chunk(3, -1)
    gain = torch.sigmoid(gain)
    size = 1.0 - gain
    parts = size * circle[0], size * circle[1], gain * u_re, gain * u_im
    h = torch.stack(scan(*(p.flatten(2) for p in parts)), 1)
    return h.unflatten(-1, u_re.shape[2:]).transpose(2, 3)


def _scan_doubling(
    pole_re: Tensor, pole_im: Tensor, u_re: Tensor, u_im: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`scan` by recursive doubling, in log2(frames) parallel steps."""
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
    """Complex product in real parts."""
    return a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re


@dataclass(frozen=True)
class Layout:
    """Where the hops lie, on the sound's device: what follows from their edges alone."""

    edges: Tensor  #: int32 [hops + 1]
    lengths: Tensor  #: samples of each hop [hops]
    inside: Tensor  #: which of the longest hop's places each hop has [hops, longest]
    at: Tensor  #: samples of these places [hops, longest]
    kept: Tensor  #: places that hops have, numbered through [samples]


def layout(edges: Tensor, device: torch.device) -> Layout:
    """The layout of hops from ``edges`` [hops + 1], on the CPU; made once for each.

    Parameters
    ----------
    edges
        First sample of each hop, and the end, int64.
    device
        Where it is wanted.

    Returns
    -------
    Layout
        Shared: not to be changed.
    """
    return _layout(edges.numpy().tobytes(), device)


@cache  # recorded steps read these tensors for ever
def _layout(edges: bytes, device: torch.device) -> Layout:
    at = torch.frombuffer(bytearray(edges), dtype=torch.int64)
    lengths = at[1:] - at[:-1]
    place = torch.arange(int(lengths.max()))
    inside = place < lengths[:, None]
    kept = torch.arange(inside.numel())[inside.flatten()]
    parts = at.to(torch.int32), lengths, inside, at[:-1, None] + place, kept
    return Layout(*(part.to(device) for part in parts))


def _hops(x: Tensor, where: Layout) -> Tensor:
    """Samples of each hop, then zeros [batch, hops, longest]."""
    return x[:, where.at.clamp(max=x.shape[-1] - 1)] * where.inside


def _powers(pole_re: Tensor, pole_im: Tensor, count: int) -> Powers:
    """λ^0 … λ^(count - 1), real and imaginary parts [oscillators, count]."""
    n = torch.arange(count, device=pole_re.device, dtype=pole_re.dtype)
    size = torch.log(torch.sqrt(pole_re**2 + pole_im**2))[:, None]
    angle = n.double() * torch.atan2(pole_im, pole_re).double()[:, None]
    decayed = torch.exp(n * size)
    return decayed * torch.cos(angle).to(n), decayed * torch.sin(angle).to(n)


def _response(powers: Powers, w_re: Tensor, w_im: Tensor, count: int) -> Tensor:
    """``Re Σ_k w_k λ_k^n`` for n < count [batch, hops, count]."""
    re, im = (part[:, :count] for part in powers)
    return w_re @ re - w_im @ im


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    """The first samples of a convolution of equally long stretches [..., samples]."""
    length = a.shape[-1]
    spectrum = torch.fft.rfft(a, 2 * length) * torch.fft.rfft(b, 2 * length)
    return torch.fft.irfft(spectrum, 2 * length)[..., :length]


def _ends(sound: Tensor, where: Layout, powers: Powers) -> tuple[Tensor, Tensor]:
    """Z after each hop, real and imaginary [batch, hops, oscillators]."""
    lengths, longest = where.lengths, sound.shape[-1]
    re, im = powers
    # A short hop's samples, moved to the end of the longest.
    at = torch.arange(longest, device=sound.device) - (longest - lengths)[:, None]
    late = torch.take_along_dim(sound, at.clamp(min=0)[None], -1) * (at >= 0)
    driven_re, driven_im = (late @ p[:, :-1].flip(1).T for p in (re, im))
    keep_re, keep_im = (p.T[lengths].expand_as(driven_re) for p in (re, im))
    return scan(keep_re, keep_im, driven_re, driven_im)


def _shifted(end: Tensor) -> Tensor:
    """What was there when each hop began: the end of the one before [batch, hops, ...]."""
    return F.pad(end, (0, 0, 1, 0))[:, :-1]


def _within(sound: Tensor, before: Tensor, powers: Powers) -> Tensor:
    """Z of every sample of each hop, complex [batch, hops, longest, oscillators]."""
    decay = torch.complex(*powers).T  # [longest + 1, oscillators]
    place = torch.arange(sound.shape[-1], device=sound.device)
    since = place - place[:, None]  # from sample (row) to sample (column)
    answer = decay[since.clamp(min=0)] * (since >= 0)[..., None]
    driven = (torch.einsum("bhj,jik->bhik", sound, part) for part in (answer.real, answer.imag))
    return torch.complex(*driven) + decay[1:] * before[:, :, None]


def _energy(z: Tensor, inside: Tensor) -> Tensor:
    """Σ|z|² of each hop."""
    return ((z.real.square() + z.imag.square()) * inside[..., None]).sum(2)


def _moving(
    played: Callable[[Tensor, Tensor, int], Tensor],
    w_re: Tensor,
    w_im: Tensor,
    ramp: int,
    where: Layout,
    samples: int,
) -> Tensor:
    """Sound of all hops [batch, samples], played with the weights of one edge and of the next.

    ``played`` gives the first samples of each hop from weights [batch, hops, oscillators].
    """
    longest = where.inside.shape[-1]
    new = played(w_re[:, 1:], w_im[:, 1:], longest)
    old = played(w_re[:, :-1], w_im[:, :-1], min(ramp, longest))
    return _joined(_faded(old, new, where, ramp), where, samples)


def _faded(old: Tensor, new: Tensor, where: Layout, ramp: int) -> Tensor:
    """From the old sound [batch, hops, ramp] to the new [batch, hops, longest]."""
    width = where.lengths[:, None].clamp(max=ramp)
    place = torch.arange(1, new.shape[-1] + 1, device=old.device)
    progress = (place / width).clamp(max=1.0).to(new)
    return new + (1.0 - progress) * (F.pad(old, (0, new.shape[-1] - old.shape[-1])) - new)


def _joined(hops: Tensor, where: Layout, samples: int) -> Tensor:
    """The hops end to end, then silence [batch, samples]."""
    whole = hops.flatten(1).index_select(1, where.kept)
    return F.pad(whole, (0, samples - whole.shape[-1]))


def _kernels() -> ModuleType:
    """The GPU's; on Linux their compiler comes with torch."""
    from resonance.models import gpu

    return gpu
