"""Slow, obvious float64 twins of the compiled kernels: what tests compare them with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.bank import ComplexArray, FloatArray


def states(sound: FloatArray, poles: ComplexArray) -> ComplexArray:
    """Z of every oscillator after every sample [samples, oscillators]."""
    z = np.zeros(len(poles), dtype=np.complex128)
    every = np.empty((len(sound), len(poles)), dtype=np.complex128)
    for n, x in enumerate(sound):
        z = poles * z + x
        every[n] = z
    return every


def newton(sound: FloatArray, f0_hz: float, damping_ratio: float, samplerate: float) -> FloatArray:
    """Position and velocity of one oscillator kicked by every sample [samples, 2].

    Exact flow of ``x'' + 2γx' + ω0²x = 0`` between kicks to the velocity, in units where the
    sample period is 1.
    """
    w0 = 2 * np.pi * f0_hz / samplerate
    decay = damping_ratio * w0
    wd = np.sqrt(w0**2 - decay**2)
    c, s, e = np.cos(wd), np.sin(wd), np.exp(-decay)
    flow = e * np.array([[c + decay / wd * s, s / wd], [-(w0**2) / wd * s, c - decay / wd * s]])
    state = np.zeros(2)
    every = np.empty((len(sound), 2))
    for n, kick in enumerate(sound):
        state = flow @ state + np.array([0.0, kick])
        every[n] = state
    return every


def advance(
    sound: FloatArray, poles: ComplexArray, old: ComplexArray, new: ComplexArray, ramp: int
) -> tuple[FloatArray, FloatArray, ComplexArray]:
    """What ``kernels.advance`` gives from rest: out [samples], energy and z, each [oscillators]."""
    z = states(sound, poles)
    progress = np.minimum(np.arange(1, len(sound) + 1), ramp) / ramp
    weights = old + progress[:, None] * (new - old)
    return (weights * z).real.sum(axis=1), (np.abs(z) ** 2).sum(axis=0), z[-1]


def dbfs(block: NDArray[np.float32]) -> float:
    """RMS level of a block, dB of full scale."""
    return float(20 * np.log10(np.sqrt(np.mean(np.square(block, dtype=np.float64)))))
