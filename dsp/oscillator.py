"""One damped driven oscillator: its figures, its response, and how it moves sample by sample.

``x'' + 2γx' + ω0²x = F(t)``, with f0 = ω0 / 2π and the damping ratio ζ = γ / ω0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import ComplexArray, FloatArray
from resonance.dsp.kernels import advance
from resonance.dsp.stream import NOTHING


@dataclass(frozen=True)
class Oscillator:
    """An under-damped oscillator in continuous time.

    Parameters
    ----------
    f0_hz
        Undamped resonance frequency, Hz, above 0.
    damping_ratio
        ζ, strictly between 0 and 1.

    Raises
    ------
    ValueError
        If a value lies outside its range.
    """

    f0_hz: float
    damping_ratio: float

    def __post_init__(self) -> None:
        if not (0 < self.f0_hz < math.inf and 0 < self.damping_ratio < 1):
            raise ValueError(
                f"f0_hz {self.f0_hz} must be above 0, damping_ratio {self.damping_ratio} between "
                "0 and 1"
            )

    @property
    def decay_per_s(self) -> float:
        """γ, 1/s: a plucked oscillator falls as ``e^(-γt)``."""
        return 2 * math.pi * self.damping_ratio * self.f0_hz

    @property
    def damped_hz(self) -> float:
        """ω_d / 2π, Hz: the frequency at which it rings when plucked."""
        return self.f0_hz * math.sqrt(1 - self.damping_ratio**2)

    @property
    def quality(self) -> float:
        """Q = 1 / 2ζ: how much further it swings at resonance than under a constant push."""
        return 0.5 / self.damping_ratio

    @property
    def width_hz(self) -> float:
        """Width of the resonance at half power, Hz."""
        return 2 * self.damping_ratio * self.f0_hz

    @property
    def ring_time_s(self) -> float:
        """Time in which it falls by 60 dB, s."""
        return math.log(1000) / self.decay_per_s

    def response(self, hz: FloatArray) -> ComplexArray:
        """X / F of the steady state at ``hz [frequencies]``, 1 under a constant push.

        ``ω0² / (ω0² - ω² + 2iγω)``; its angle is how far x lags behind F, below 0.
        """
        ratio = np.asarray(hz, dtype=np.float64) / self.f0_hz
        return np.asarray(1.0 / (1.0 - ratio**2 + 2j * self.damping_ratio * ratio))


class MovingOscillator:
    """An oscillator in time: driven by sound, plucked, and changed while it rings.

    Its displacement x is scaled so that a steady tone at resonance comes out as loud as it went
    in, whatever the damping.

    Parameters
    ----------
    samplerate
        Hz.
    """

    def __init__(self, samplerate: float) -> None:
        self.samplerate = samplerate
        self._z = np.zeros((2, 1), np.float32)  # real and imaginary part
        self._weight = 0.0  # of the last block: x = Re(-i weight z)
        self._unused = np.zeros(1, np.float32)

    def move(self, oscillator: Oscillator, drive: Float32Array, pluck: float = 0.0) -> Float32Array:
        """Displacement x [samples] while ``drive`` pushes.

        Parameters
        ----------
        oscillator
            As it is from now on.
        drive
            The force [samples].
        pluck
            Added to the displacement at the start, without a push: full scale is 1.

        Returns
        -------
        float32 array
            [samples].
        """
        pole = np.exp(
            (-oscillator.decay_per_s + 2j * np.pi * oscillator.damped_hz) / self.samplerate
        )
        weight = 2 * (1 - abs(pole))
        if pluck:
            lean = oscillator.decay_per_s / (2 * np.pi * oscillator.damped_hz)  # so that x' = 0
            self._z += np.array([[lean], [1.0]], np.float32) * np.float32(pluck / weight)
        before = self._weight or weight
        self._weight = weight
        old = np.array([-before], np.float32)
        step = np.array([before - weight], np.float32)
        zero = np.zeros(1, np.float32)
        x = np.empty(len(drive), np.float32)
        advance(
            np.ascontiguousarray(drive, np.float32),
            np.array([pole.real], np.float32),
            np.array([pole.imag], np.float32),
            self._z[0],
            self._z[1],
            self._unused,
            *[NOTHING] * 4,
            self._unused,
            zero,
            old,
            zero,
            step,
            0,
            len(drive),
            *[NOTHING] * 2,
            *np.zeros(2, np.float32),
            x,
        )
        self._unused[:] = 0.0
        return x
