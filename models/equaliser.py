"""From gains and phases per band to one complex gain per oscillator.

Broad oscillators overlap: to quieten one band alone, many weights must move together. That map is
known, so it need not be learned: least squares gives the weights whose sum has the wanted complex
response at every frequency. A filter without delay turns phases where its gain changes: the least
it can turn follows from the log gain by the Hilbert transform (minimum phase; Oppenheim & Schafer,
*Discrete-Time Signal Processing*, 12.2). How much of it is taken is learned for each band, between
the least squared error (little) and the deepest suppression (all). With look-ahead, oscillators
that also run backwards in time turn no phase at all, and gains are simply gains.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resonance.dsp.bank import FloatArray, OscillatorBank, hz_to_erb
from resonance.dsp.identity import (
    GRID,
    TRAINING_SAMPLERATE,
    least_squares,
    response_matrix,
    unit_peak,
)

RIDGE = 1e-5


class Equaliser(nn.Module):
    """Bands are the broad oscillators' own frequencies [bands]; the others stay untouched.

    Parameters
    ----------
    bank, identity
        Oscillators that carry the sound, and their identity weights [bands].
    two_sided
        Whether they run backwards in time, too.
    """

    phase_map: Tensor
    weight_map: Tensor

    def __init__(
        self, bank: OscillatorBank, identity: NDArray[np.complex128], *, two_sided: bool
    ) -> None:
        super().__init__()
        self.bands, self.two_sided = len(bank), two_sided
        #: Numbers wanted per band: an attenuation, and one-sided also a turn.
        self.kinds = 1 if two_sided else 2
        hz = (np.arange(GRID) + 0.5) / GRID * TRAINING_SAMPLERATE / 2
        spread = _interpolation(hz_to_erb(bank.f0_hz), hz_to_erb(hz))
        weights = _response_to_gains(bank, identity, hz, two_sided)
        self._keep("weight_map", weights @ np.kron(np.eye(self.kinds), spread))
        if not two_sided:
            sample = _interpolation(hz, bank.f0_hz)
            self._keep("phase_map", sample @ _least_phase(GRID) @ spread)
            self.phase_share = nn.Parameter(torch.full((self.bands,), 0.7))

    def _keep(self, name: str, matrix: FloatArray) -> None:
        tensor = torch.tensor(matrix.T, dtype=torch.float32).contiguous()
        self.register_buffer(name, tensor, persistent=False)

    def forward(self, wanted: Tensor) -> Tensor:
        """Attenuation (and turn) [..., kinds · bands] → gain minus 1 [..., bands, 2].

        Zeros give zeros; an attenuation of a lets ``2 / (1 + e^a)`` pass, at most 6 dB more.
        """
        passed = 2.0 * torch.sigmoid(-wanted[..., : self.bands])
        if self.two_sided:
            response = passed - 1.0
        else:
            angle = torch.log(passed + 1e-4) @ self.phase_map * self.phase_share
            angle = angle + wanted[..., self.bands :]
            response = torch.cat([passed * torch.cos(angle) - 1.0, passed * torch.sin(angle)], -1)
        return (response @ self.weight_map).unflatten(-1, (self.bands, 2))


def _interpolation(at: FloatArray, wanted: FloatArray) -> FloatArray:
    """Matrix of linear interpolation from values at ``at`` [wanted, at]."""
    return np.stack([np.interp(wanted, at, row) for row in np.eye(len(at))], axis=1)


def _least_phase(count: int) -> FloatArray:
    """Matrix from log gains on an even grid to the minimum phase [grid, grid]."""
    gains = np.eye(count)
    both = np.concatenate([gains, gains[:, ::-1]], axis=1)
    # The grid lies half a step off the transform's, on both sides alike.
    shift = np.exp(-1j * np.pi * np.fft.fftfreq(2 * count))
    cepstrum = (np.fft.fft(both, axis=1) * shift).real / (2 * count)
    n = np.arange(1, count)
    angle = np.pi * (np.arange(count) + 0.5) / count
    return np.asarray(-2.0 * np.sin(angle[:, None] * n[None, :]) @ cepstrum[:, 1:count].T)


def _response_to_gains(
    bank: OscillatorBank, identity: NDArray[np.complex128], hz: FloatArray, two_sided: bool
) -> FloatArray:
    """Matrix from a change of response (real, then imaginary part) to gains [2 · bands, 2 · grid].

    The gains are laid out as pairs (real, imaginary) and count in units of the identity weights.
    Two-sided, the response to ``Re w λ^|n|`` is real, and so is the wanted one [2 · bands, grid].
    """
    scale = unit_peak(bank.poles(TRAINING_SAMPLERATE))
    stacked = response_matrix(bank, scale, hz, TRAINING_SAMPLERATE, two_sided=two_sided)
    weights = least_squares(stacked, np.eye(len(stacked)), RIDGE)
    change = weights[: len(bank)] + 1j * weights[len(bank) :]
    gains = change * (scale / identity)[:, None]
    return np.stack([gains.real, gains.imag], axis=1).reshape(2 * len(bank), -1)
