"""Kerr oscillators: their frequency depends on how strongly they and their neighbours swing.

``Ż_k = (-γ_k + iφ_k) Z_k`` with ``φ_k = ω_k + Σ_j K_kj |Z_j|²`` over one unit of time. The phase
never changes an amplitude, ``d|Z|²/dt = -2γ|Z|²``, so the equation needs no integrator:

``Z_k(1) = Z_k(0) e^{-γ_k} exp(i [ω_k + Σ_j K_kj ℓ_j |Z_j(0)|²])``, ``ℓ = (1 - e^{-2γ}) / 2γ``.

It is stable for all inputs, ``|Z(1)| ≤ |Z(0)|``, and exact for any real coupling ``K``. As a
feed-forward part: atech-hub, *Wave-Coherence* and *kerr-engine*, who integrate it numerically.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Where training begins: damping, and coupling to itself and to neighbours.
FIRST_DAMPING, FIRST_COUPLING = 0.1, 0.1


def ring(damping: Tensor) -> Tensor:
    """ℓ = ∫₀¹ e^{-2γt} dt, 1 without damping."""
    safe = torch.where(damping == 0, torch.ones_like(damping), damping)
    return torch.where(damping == 0, 1.0 - damping, -torch.expm1(-2.0 * safe) / (2.0 * safe))


def neighbour_sum(power: Tensor) -> Tensor:
    """Σ of the two neighbours on each side [..., bands], none beyond the ends."""
    padded, bands = F.pad(power, (2, 2)), power.shape[-1]
    return sum(padded[..., i : i + bands] for i in (0, 1, 3, 4))  # type: ignore[return-value]


class KerrOscillators(nn.Module):
    """Features in pairs are oscillators; they swing for one unit of time.

    Parameters
    ----------
    bands
        Oscillators.
    coupling
        "neighbours": α for itself and β for two on each side, as published; "full": any K.
    """

    def __init__(self, bands: int, coupling: Literal["neighbours", "full"] = "neighbours") -> None:
        super().__init__()
        first = torch.full((bands,), math.log(math.expm1(FIRST_DAMPING)))
        self.raw_damping = nn.Parameter(first)
        self.frequency = nn.Parameter(torch.arange(1, bands + 1) / bands)
        self.own = self.beside = self.matrix = None
        if coupling == "full":
            near = FIRST_COUPLING * (torch.eye(bands) + neighbour_sum(torch.eye(bands)))
            self.matrix = nn.Parameter(near)
        else:
            self.own = nn.Parameter(torch.tensor(FIRST_COUPLING))
            self.beside = nn.Parameter(torch.tensor(FIRST_COUPLING))

    def forward(self, x: Tensor) -> Tensor:
        """Re, Im, Re, Im … [..., 2·bands] → the same, later."""
        re, im = x[..., 0::2], x[..., 1::2]
        phase = self._phase(re.square() + im.square(), self.damping)
        size, cos, sin = torch.exp(-self.damping), torch.cos(phase), torch.sin(phase)
        turned = size * (re * cos - im * sin), size * (re * sin + im * cos)
        return torch.stack(turned, -1).flatten(-2)

    def inverse(self, x: Tensor) -> Tensor:
        """The exact start of what :meth:`forward` made."""
        re, im = x[..., 0::2], x[..., 1::2]
        grown = torch.exp(self.damping)
        phase = self._phase((re.square() + im.square()) * grown**2, self.damping)
        cos, sin = torch.cos(phase), torch.sin(phase)
        return torch.stack(
            (grown * (re * cos + im * sin), grown * (im * cos - re * sin)), -1
        ).flatten(-2)

    @property
    def damping(self) -> Tensor:
        """γ > 0 [bands]."""
        return F.softplus(self.raw_damping)

    def _phase(self, power: Tensor, damping: Tensor) -> Tensor:
        seen = ring(damping) * power
        if self.matrix is not None:
            return self.frequency + F.linear(seen, self.matrix)
        assert self.own is not None
        assert self.beside is not None
        return self.frequency + self.own * seen + self.beside * neighbour_sum(seen)


class KerrFeedForward(nn.Module):
    """``W(kerr(x) + maestro(x)) + b``: in place of a transformer's feed-forward part.

    ``maestro`` is the width of a bottleneck that sees all bands, 0 for none.
    """

    def __init__(
        self, width: int, maestro: int = 0, coupling: Literal["neighbours", "full"] = "neighbours"
    ) -> None:
        super().__init__()
        self.oscillators = KerrOscillators(width // 2, coupling)
        self.maestro = None
        if maestro:
            self.maestro = nn.Sequential(
                nn.Linear(width, maestro), nn.GELU(), nn.Linear(maestro, width)
            )
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → the same shape."""
        swung = self.oscillators(x)
        if self.maestro is not None:
            swung = swung + self.maestro(x)
        return self.out(swung)  # type: ignore[no-any-return]
