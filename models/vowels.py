"""Synthetic vowels: the task of the published oscillator-bank denoiser (7.8 dB in, 10.8 dB out).

Harmonics of a wavering fundamental shaped by three formant resonances (Klatt 1980's cascade of
second-order resonators, formants from Peterson & Barney 1952), in white noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: First three formants of eight vowels, Hz (men's averages).
FORMANTS_HZ = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (660, 1720, 2410),
    (490, 1350, 1690),
    (440, 1020, 2240),
)
BANDWIDTHS_HZ = (80.0, 90.0, 120.0)
SNR_DB = 7.8
LENGTH = 8192  #: samples at 16 kHz, about half a second


def vowel(
    rng: np.random.Generator,
    length: int = LENGTH,
    samplerate: int = 16000,
    which: int | None = None,
) -> NDArray[np.float32]:
    """One vowel [samples] with RMS 0.1: F0 80–300 Hz with 2 % vibrato at 5 Hz, -6 dB per octave.

    ``which`` of FORMANTS_HZ; any, unless given.

    Parameters
    ----------
    rng
        Random numbers.
    length
        Samples.
    samplerate
        Hz.
    which
        Number of a row of FORMANTS_HZ; None: any.

    Returns
    -------
    array
        Sound [samples].
    """
    which = int(rng.integers(len(FORMANTS_HZ))) if which is None else which
    formants = np.array(FORMANTS_HZ[which]) * rng.uniform(0.9, 1.2)
    f0_hz = rng.uniform(80.0, 300.0)
    t = np.arange(length) / samplerate
    wavering = f0_hz * (1.0 + 0.02 * np.sin(2 * np.pi * 5.0 * t + rng.uniform(0, 2 * np.pi)))
    phase = 2 * np.pi * np.cumsum(wavering) / samplerate
    order = np.arange(1, int(7000 / f0_hz) + 1)
    hz = order * f0_hz
    level = 1.0 / order
    for formant, bandwidth in zip(formants, BANDWIDTHS_HZ, strict=True):
        level *= formant**2 / np.hypot(formant**2 - hz**2, bandwidth * hz)
    start = rng.uniform(0, 2 * np.pi, len(order))
    sound = (level[:, None] * np.sin(order[:, None] * phase + start[:, None])).sum(axis=0)
    return (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def noisy_vowel(
    rng: np.random.Generator, length: int = LENGTH
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A vowel and the same in white noise at 7.8 dB, both [samples]."""
    clean = vowel(rng, length)
    noise = rng.standard_normal(length)
    noise *= np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-SNR_DB / 20)
    return clean, (clean + noise).astype(np.float32)


def fixed_wiener(clean: NDArray[np.float32], noisy: NDArray[np.float32]) -> float:
    """SNR that one fixed Wiener filter reaches that knows the average spectra, dB.

    ``clean`` and ``noisy`` are [sounds, samples].
    """
    wanted = (np.abs(np.fft.rfft(clean)) ** 2).mean(0)
    wanted = np.convolve(wanted, np.ones(201) / 201, "same")
    noise = (np.abs(np.fft.rfft(noisy - clean)) ** 2).mean(0)
    found = np.fft.irfft(np.fft.rfft(noisy) * wanted / (wanted + noise), clean.shape[-1])
    left = ((found - clean) ** 2).sum(-1)
    return float(np.mean(10 * np.log10((clean**2).sum(-1) / left)))
