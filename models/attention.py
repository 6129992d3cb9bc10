"""Attention by synchronisation: tokens as oscillators that settle towards anchors on a sphere.

Token i is an oscillator on the unit sphere, pulled towards the anchors ``r_j`` of the tokens it
is coupled to: ``ż_i = (I - z_i z_iᵀ) h_i`` with ``h_i = Σ_j w_ij r_j`` (Lohe's model; Kuramoto's on
the circle). It has exactly two equilibria, ``±h/‖h‖``, the positive one attracting all but one
point, so the settled position is known without solving the equation: ``z* = h/‖h‖``. How much
token i attends to token j is how near it settled to anchor j (Pasqualetti & Guo, *Attention by
Synchronization in Coupled Oscillator Networks*).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.dsp.keyword_kernels import LEAST_COUPLING, SOFTENING


class Synchronisation(NamedTuple):
    """What the window draws; shapes [batch, heads, frames, …]."""

    settled: Tensor  #: z* [batch, heads, frames, d_osc]
    anchors: Tensor  #: r [heads, frames, d_osc]
    order: Tensor  #: order parameter ‖h‖ / Σ_j w_ij, 0 … 1 [batch, heads, frames]
    pull: Tensor  #: ‖h‖, how fast a free oscillator settles [batch, heads, frames]
    weights: Tensor  #: attention [batch, heads, frames, frames]


class OscillatorAttention(nn.Module):
    """Multi-head attention whose weights come from settled oscillators instead of softmax.

    Parameters
    ----------
    width
        Features per token.
    heads
        Heads; each has ``width // heads`` features.
    frames
        Longest sequence; each position has its own anchor in each head.
    d_osc
        Dimension of the space whose unit sphere the oscillators live on; 2 is Kuramoto's circle.
    exponent
        p of the readout ``(1 + z*·r)^p``; larger is sharper.
    coupling
        "relu" (no exponential anywhere) or "softplus" (as published).
    normalise_anchors
        Keep anchors on the sphere (the theory) or let them drift (the published code).
    causal
        Tokens see only themselves and earlier ones.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        frames: int,
        *,
        d_osc: int = 2,
        exponent: int = 2,
        coupling: Literal["relu", "softplus"] = "relu",
        normalise_anchors: bool = True,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} must be a multiple of heads {heads}")
        self.heads, self.exponent, self.coupling = heads, exponent, coupling
        self.normalise_anchors, self.causal = normalise_anchors, causal
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.anchors = nn.Parameter(F.normalize(torch.randn(heads, frames, d_osc), dim=-1))

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """[batch, frames, width] → the same shape; ``present [batch, frames]`` masks padding."""
        return self.synchronise(x, present)[0]

    def synchronise(
        self, x: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, Synchronisation]:
        """:meth:`forward`, and how the oscillators settled."""
        q, k, v = (_split(f(x), self.heads) for f in (self.query, self.key, self.value))
        coupling = self.couple(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))
        mask = _mask(x, present, self.causal)
        if mask is not None:
            coupling = coupling * mask
        anchors = self.anchors[:, : x.shape[1]]
        if self.normalise_anchors:
            anchors = F.normalize(anchors, dim=-1)
        drive = coupling @ anchors
        settled = self.settle(drive)
        nearness = (1.0 + settled @ anchors.transpose(-1, -2)).clamp(min=0.0)
        weights = nearness if self.exponent == 1 else nearness**self.exponent
        if mask is not None:
            weights = weights * mask
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-9)
        pull = drive.norm(dim=-1)
        order = pull / (coupling.sum(-1) + 1e-9)
        out = self.out(_join(weights @ v))
        return out, Synchronisation(settled, anchors, order, pull, weights)

    def couple(self, scores: Tensor) -> Tensor:
        """How strongly tokens pull each other: positive, the shape of ``scores``."""
        if self.coupling == "relu":
            return F.relu(scores) + LEAST_COUPLING
        return F.softplus(scores)

    def settle(self, drive: Tensor) -> Tensor:
        """Where oscillators come to rest that are driven by ``drive [..., d_osc]``."""
        return drive / torch.sqrt(drive.square().sum(-1, keepdim=True) + SOFTENING**2)


class SoftmaxAttention(nn.Module):
    """The control: ordinary scaled dot-product attention of the same size, without anchors."""

    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """[batch, frames, width] → the same shape; ``present [batch, frames]`` masks padding."""
        q, k, v = (_split(f(x), self.heads) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        mask = _mask(x, present, self.causal)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -torch.inf)
        return self.out(_join(scores.softmax(-1) @ v))  # type: ignore[no-any-return]


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, x.shape[-1] // heads)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(-2)


def _mask(x: Tensor, present: Tensor | None, causal: bool) -> Tensor | None:
    """1 where a token may look, broadcastable to [batch, heads, frames, frames], or None."""
    mask = None
    if causal:
        mask = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device).tril()
    if present is not None:
        padding = present.to(x.dtype)[:, None, None, :]
        mask = padding if mask is None else padding * mask
    return mask


def trajectory(start: Tensor, drive: Tensor, time: float | Tensor) -> Tensor:
    """Where oscillators from ``start [..., d]`` are after ``time``, pulled by ``drive [..., d]``.

    The angle to the settled position obeys ``φ̇ = -‖h‖ sin φ``, hence exactly
    ``tan(φ(t)/2) = tan(φ0/2) e^{-‖h‖ t}`` in the plane of start and drive.

    Parameters
    ----------
    start
        Unit vectors [..., d].
    drive
        What pulls them [..., d].
    time
        Since the start; ``drive`` is a rate.

    Returns
    -------
    Tensor
        Unit vectors [..., d].
    """
    size = drive.norm(dim=-1, keepdim=True)
    goal = drive / size
    along = (start * goal).sum(-1, keepdim=True)
    side = start - along * goal
    across = side.norm(dim=-1, keepdim=True)
    angle = torch.atan2(across, along)
    angle = 2.0 * torch.atan(torch.tan(0.5 * angle) * torch.exp(-size * time))
    return torch.cos(angle) * goal + torch.sin(angle) * side / across.clamp(min=1e-30)


def cap_probability(angle: float, d_osc: int) -> float:
    """Chance that a random start lies within ``angle`` [rad, at most π/2] of the unstable point.

    ``½ I_{sin² angle}((d-1)/2, ½)``: the share of the sphere in a cap (their Proposition 4).
    """
    from scipy.special import betainc

    return float(0.5 * betainc((d_osc - 1) / 2, 0.5, math.sin(angle) ** 2))


def settled_fraction(size: float, time: float, tolerance: float) -> float:
    """Share of random starts on the circle within ``tolerance`` after ``time``, if ‖h‖ = size.

    Parameters
    ----------
    size
        ‖h‖.
    time
        Since the start.
    tolerance
        Largest distance from the goal on the unit circle.

    Returns
    -------
    float
        From 0 to 1.
    """
    near = 2.0 * math.asin(tolerance / 2.0)
    return 2.0 / math.pi * math.atan(math.tan(near / 2.0) * math.exp(min(700.0, size * time)))
