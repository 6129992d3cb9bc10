"""The oscillator bank: where each damped oscillator sits, and what it does to sound.

One oscillator obeys ``x'' + 2γx' + ω0²x = F(t)``. Driven by samples it is exactly the
complex one-pole filter ``z[n] = λ z[n-1] + F[n]`` with ``λ = exp((-γ + iω_d) / samplerate)``:
the real part of ``z`` carries its velocity, the imaginary part its position
(impulse invariance; Oppenheim & Schafer, *Discrete-Time Signal Processing*, 7.1).

A bank is written down in continuous time (Hz and damping ratios), so one bank serves every
samplerate: the poles are made for the rate at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

#: Oscillators above this fraction of the samplerate rest: nothing of theirs is left below Nyquist.
REST_ABOVE = 0.49
#: Highest wing oscillator as a fraction of the samplerate.
WING_TOP = 0.47
#: Distance of neighbouring wing oscillators in equivalent rectangular bandwidths.
WING_STEP_ERB = 0.6


def hz_to_erb(hz: ArrayLike) -> FloatArray:
    """Frequency [Hz] on the ERB-rate scale (Glasberg & Moore 1990)."""
    return np.asarray(21.4 * np.log10(1.0 + 0.00437 * np.asarray(hz, dtype=np.float64)))


def erb_to_hz(erb: FloatArray | float) -> FloatArray:
    """Inverse of :func:`hz_to_erb`."""
    return np.asarray((10.0 ** (np.asarray(erb, dtype=np.float64) / 21.4) - 1.0) / 0.00437)


def erb_bandwidth_hz(hz: FloatArray | float) -> FloatArray:
    """Equivalent rectangular bandwidth [Hz] of the ear at ``hz`` (Glasberg & Moore 1990)."""
    return np.asarray(24.7 * (1.0 + 0.00437 * np.asarray(hz, dtype=np.float64)))


@dataclass(frozen=True)
class OscillatorBank:
    """Damped oscillators in continuous time.

    Parameters
    ----------
    f0_hz
        Undamped resonance frequencies ω0 / 2π [oscillators], Hz, above 0.
    damping_ratio
        ζ = γ / ω0 [oscillators], strictly between 0 and 1 (under-damped).

    Raises
    ------
    ValueError
        If the shapes differ, or a value lies outside its range.

    Examples
    --------
    >>> from resonance import OscillatorBank
    >>> bank = OscillatorBank(f0_hz=[220.0, 440.0], damping_ratio=[0.02, 0.02])
    >>> abs(bank.poles(16000)).round(4)
    array([0.9983, 0.9966])
    >>> bank.impulse_response(3, 16000).shape
    (3, 2)
    """

    f0_hz: FloatArray
    damping_ratio: FloatArray

    def __post_init__(self) -> None:
        f0_hz = np.array(self.f0_hz, dtype=np.float64)
        damping_ratio = np.array(self.damping_ratio, dtype=np.float64)
        if f0_hz.ndim != 1 or f0_hz.shape != damping_ratio.shape or not f0_hz.size:
            raise ValueError(
                f"f0_hz {f0_hz.shape} and damping_ratio {damping_ratio.shape} must be "
                "one-dimensional, of equal length and not empty"
            )
        if not (np.isfinite(f0_hz).all() and (f0_hz > 0).all()):
            raise ValueError(f"every f0_hz must be finite and above 0, the lowest is {f0_hz.min()}")
        if not ((damping_ratio > 0) & (damping_ratio < 1)).all():
            raise ValueError(
                "every damping_ratio must lie between 0 and 1, "
                f"these reach from {damping_ratio.min()} to {damping_ratio.max()}"
            )
        object.__setattr__(self, "f0_hz", f0_hz)
        object.__setattr__(self, "damping_ratio", damping_ratio)

    def __len__(self) -> int:
        return len(self.f0_hz)

    @property
    def decay_hz(self) -> FloatArray:
        """γ / 2π [oscillators], Hz; the resonance is ``2 * decay_hz`` wide at -3 dB."""
        return self.damping_ratio * self.f0_hz

    @property
    def damped_hz(self) -> FloatArray:
        """ω_d / 2π [oscillators], Hz: the frequency at which a struck oscillator rings."""
        return self.f0_hz * np.sqrt(1.0 - self.damping_ratio**2)

    @property
    def ring_time_s(self) -> FloatArray:
        """Time for a struck oscillator to fall by 60 dB [oscillators], s."""
        return np.asarray(np.log(1000.0) / (2.0 * np.pi * self.decay_hz))

    def awake(self, samplerate: float) -> NDArray[np.bool_]:
        """Which oscillators a samplerate can carry [oscillators]; the others rest."""
        return np.asarray(self.damped_hz < REST_ABOVE * samplerate)

    def poles(self, samplerate: float) -> ComplexArray:
        """λ = exp((-γ + iω_d) / samplerate) [oscillators]; always inside the unit circle."""
        if not samplerate > 0:
            raise ValueError(f"samplerate must be above 0 Hz, not {samplerate}")
        return np.asarray(np.exp(2.0 * np.pi * (-self.decay_hz + 1j * self.damped_hz) / samplerate))

    def impulse_response(self, length: int, samplerate: float) -> ComplexArray:
        """λ^n for n = 0 … length-1 [length, oscillators]; 1 at n = 0: no delay."""
        return np.asarray(self.poles(samplerate)[None, :] ** np.arange(length)[:, None])

    def transfer_function(self, hz: FloatArray, samplerate: float) -> ComplexArray:
        """H(f) = 1 / (1 - λ e^(-iω)) of the sampled oscillators [frequencies, oscillators]."""
        delay = np.exp(-2j * np.pi * np.asarray(hz, dtype=np.float64) / samplerate)
        return np.asarray(1.0 / (1.0 - self.poles(samplerate)[None, :] * delay[:, None]))

    def joined(self, other: OscillatorBank) -> OscillatorBank:
        """This bank followed by another one."""
        return OscillatorBank(
            np.concatenate([self.f0_hz, other.f0_hz]),
            np.concatenate([self.damping_ratio, other.damping_ratio]),
        )


def broad_bank(
    count: int = 64, low_hz: float = 50.0, high_hz: float = 7600.0, width: float = 1.019
) -> OscillatorBank:
    """Oscillators spaced and damped like the ear's filters: quick to follow an attack.

    Parameters
    ----------
    count
        Oscillators, evenly spaced on the ERB-rate scale (Glasberg & Moore 1990).
    low_hz, high_hz
        f0 of the first and the last one.
    width
        Decay γ/2π in units of the ear's bandwidth (1.019: Patterson et al. 1987).

    Returns
    -------
    OscillatorBank
        [count] oscillators, from low to high.

    Raises
    ------
    ValueError
        If a frequency is not above 0.
    """
    f0_hz = erb_to_hz(np.linspace(hz_to_erb(low_hz), hz_to_erb(high_hz), count))
    return OscillatorBank(f0_hz, np.clip(width * erb_bandwidth_hz(f0_hz) / f0_hz, 0.01, 0.6))


def narrow_bank(
    count: int = 128, low_hz: float = 70.0, high_hz: float = 4500.0, width_hz: float = 30.0
) -> OscillatorBank:
    """Evenly spaced oscillators ``width_hz`` wide at -3 dB: they resolve a voice's harmonics.

    Parameters
    ----------
    count
        Oscillators.
    low_hz, high_hz
        f0 of the first and the last one.
    width_hz
        Width of each resonance at -3 dB, twice its decay γ/2π.

    Returns
    -------
    OscillatorBank
        [count] oscillators, from low to high.

    Raises
    ------
    ValueError
        If a frequency or the width is not above 0, or one is wider than its f0 allows.
    """
    f0_hz = np.linspace(low_hz, high_hz, count)
    return OscillatorBank(f0_hz, 0.5 * width_hz / f0_hz)


def wing_bank(above_hz: float, samplerate: float) -> OscillatorBank | None:
    """Broad oscillators from ``above_hz`` up to almost Nyquist, or None if there is no room.

    They carry the band above a model's trained range at samplerates that have one.
    """
    low, high = hz_to_erb(above_hz) + WING_STEP_ERB, hz_to_erb(WING_TOP * samplerate)
    if high <= low:
        return None
    count = int(np.ceil((high - low) / WING_STEP_ERB)) + 1
    return broad_bank(count, float(erb_to_hz(low)), float(erb_to_hz(high)))
