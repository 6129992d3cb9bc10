"""Resonant layers: slow damped oscillators over frames that remember, and a gated mix of them.

A layer is the bank's own equation once more, ``h[t] = λ[t] h[t-1] + (1 - |λ[t]|) u[t]``, with
natural frequencies of 0 to about 15 Hz, and damping that depends on the input: an oscillator
can hold its state or let it go (a diagonal state-space model: Gu & Dao 2023; Orvieto et al. 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.models.bank import scan

#: One layer's memory: real and imaginary part of the oscillators [batch, states].
State = tuple[Tensor, Tensor]


class RMSNorm(nn.Module):
    """``x / rms(x)`` times a learned weight (Zhang & Sennrich 2019).

    Written out in the form that onnxruntime fuses into one operation; torch's own is not.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → the same shape."""
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1.2e-7) * self.weight


class ResonantLayer(nn.Module):
    """Slow oscillators and a gated feed-forward part, each added to their input.

    Parameters
    ----------
    width
        Features per frame.
    states
        Slow oscillators.
    frame_s
        Time between frames, s.
    ring_s, top_hz
        Shortest and longest decay time, s, and highest natural frequency, Hz, to begin with.
    """

    def __init__(
        self,
        width: int,
        states: int,
        frame_s: float,
        *,
        ring_s: tuple[float, float] = (0.01, 2.0),
        top_hz: float = 15.0,
    ) -> None:
        super().__init__()
        self.states = states
        self.norm = RMSNorm(width)
        self.drive = nn.Linear(width, 2 * states, bias=False)
        self.damping = nn.Linear(width, states)
        self.readout = nn.Linear(2 * states, width, bias=False)
        self.gate = nn.Linear(width, width)
        self.mix_norm = RMSNorm(width)
        self.mix_in = nn.Linear(width, 3 * width, bias=False)
        self.mix_out = nn.Linear(3 * width // 2, width, bias=False)
        decay = frame_s / torch.logspace(math.log10(ring_s[0]), math.log10(ring_s[1]), states)
        with torch.no_grad():
            self.damping.weight.mul_(0.3)
            self.damping.bias.copy_(torch.log(torch.expm1(decay)))
        hz = torch.linspace(0.0, top_hz, states)[torch.randperm(states)]
        self.turn = nn.Parameter(2 * math.pi * frame_s * hz)

    def forward(self, x: Tensor) -> Tensor:
        """All frames at once [batch, frames, width] → the same shape, from rest."""
        pole_re, pole_im, u_re, u_im, normed = self._driven(x)
        h_re, h_im = scan(pole_re, pole_im, u_re, u_im)
        return self._read(x, normed, h_re, h_im)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One frame [batch, width] and the state before it → output and new state."""
        pole_re, pole_im, u_re, u_im, normed = self._driven(x)
        h_re = pole_re * state[0] - pole_im * state[1] + u_re
        h_im = pole_re * state[1] + pole_im * state[0] + u_im
        return self._read(x, normed, h_re, h_im), (h_re, h_im)

    def _driven(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        normed = self.norm(x)
        gain = torch.sigmoid(self.damping(normed))  # 1 - e^{-γ} for a decay γ = softplus
        size = 1.0 - gain
        drive = self.drive(normed)
        pole_re, pole_im = size * torch.cos(self.turn), size * torch.sin(self.turn)
        u_re, u_im = gain * drive[..., : self.states], gain * drive[..., self.states :]
        return pole_re, pole_im, u_re, u_im, normed

    def _read(self, x: Tensor, normed: Tensor, h_re: Tensor, h_im: Tensor) -> Tensor:
        x = x + self.readout(torch.cat([h_re, h_im], -1)) * F.silu(self.gate(normed))
        a, b = self.mix_in(self.mix_norm(x)).chunk(2, -1)
        return x + self.mix_out(F.silu(a) * b)
