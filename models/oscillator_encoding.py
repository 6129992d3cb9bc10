"""Causal oscillator encoding: every feature of a sequence kicks a damped oscillator of its own.

The oscillators' positions and velocities are the sequence's code: they know what came, when, and
nothing of what comes. All at once by convolution with the impulse responses, or token by token
by the recurrence; both are the bank's equation ``s_n = λ s_{n-1} + u_n``, ``λ = e^{-γ + iω_d}``
(layer of the causal oscillator language model, parameter-golf submission 1061).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Real and imaginary part of s [batch, oscillators].
Swing = tuple[Tensor, Tensor]
#: Frequencies to begin with, rad per token, and bounds of the damping ratio.
LOWEST, HIGHEST = 0.1, math.pi
LEAST_DAMPING, DAMPING_SPAN = 0.05, 0.9


class OscillatorEncoding(nn.Module):
    """``oscillators`` drives [batch, tokens, oscillators] → positions, then velocities.

    ω and ζ are learned; log-spaced and 0.5 to begin with.
    """

    def __init__(self, oscillators: int) -> None:
        super().__init__()
        span = torch.linspace(math.log(LOWEST), math.log(HIGHEST), oscillators)
        self.log_omega = nn.Parameter(span)
        self.raw_damping = nn.Parameter(torch.zeros(oscillators))

    @property
    def omega(self) -> Tensor:
        """ω0, rad per token [oscillators]."""
        return self.log_omega.exp()

    @property
    def damping_ratio(self) -> Tensor:
        """ζ [oscillators]."""
        return LEAST_DAMPING + DAMPING_SPAN * torch.sigmoid(self.raw_damping)

    def forward(self, drive: Tensor) -> Tensor:
        """[batch, tokens, oscillators] → [batch, tokens, 2 · oscillators]."""
        tokens = drive.shape[1]
        n = torch.arange(tokens, device=drive.device, dtype=torch.float32)[:, None]
        decay, turn = self._decay(), self._turn()
        size, angle = torch.exp(-decay * n), turn * n
        position = size * torch.sin(angle) / turn
        responses = torch.cat([position, size * torch.cos(angle) - decay * position], -1)
        spectrum = torch.fft.rfft(drive.float(), 2 * tokens, dim=1).repeat(1, 1, 2)
        product = spectrum * torch.fft.rfft(responses, 2 * tokens, dim=0)
        return torch.fft.irfft(product, 2 * tokens, dim=1)[:, :tokens].to(drive.dtype)

    def step(self, drive: Tensor, swing: Swing) -> tuple[Tensor, Swing]:
        """One token [batch, oscillators] → its code [batch, 2 · oscillators], and the new swing."""
        decay, turn = self._decay(), self._turn()
        re, im = torch.exp(-decay) * torch.cos(turn), torch.exp(-decay) * torch.sin(turn)
        new_re = re * swing[0] - im * swing[1] + drive
        new_im = re * swing[1] + im * swing[0]
        position = new_im / turn
        return torch.cat([position, new_re - decay * position], -1), (new_re, new_im)

    def rest(self, batch: int = 1) -> Swing:
        """Oscillators that nothing has kicked yet."""
        zero = self.log_omega.new_zeros(batch, len(self.log_omega))
        return zero, zero

    def _decay(self) -> Tensor:
        return self.damping_ratio * self.omega

    def _turn(self) -> Tensor:
        """ω_d, rad per token."""
        return torch.sqrt((self.omega**2 - self._decay() ** 2).clamp(min=1e-6))
