"""Measures of one cleaned sound against the clean one, all at 16 kHz."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pystoi import stoi

from resonance.models.data import SAMPLERATE
from resonance.models.losses import si_sdr_db

Sound = NDArray[np.float32]

EDGE_S = 0.06
FRAME = SAMPLERATE // 100


def sdr_db(estimate: Sound, target: Sound) -> float:
    """SI-SDR of one sound, dB."""
    pair = (torch.from_numpy(np.asarray(s)).double()[None] for s in (estimate, target))
    return float(si_sdr_db(*pair))


def snr_db(estimate: Sound, target: Sound) -> float:
    """Plain signal-to-noise ratio, dB."""
    return float(10 * np.log10(np.sum(target**2.0) / np.sum((estimate - target) ** 2.0)))


def estoi(estimate: Sound, target: Sound) -> float:
    """Extended short-time objective intelligibility (package pystoi)."""
    return float(stoi(target, estimate, SAMPLERATE, extended=True))


def wideband_pesq(estimate: Sound, target: Sound) -> float:
    """PESQ-WB, 1.0 … 4.6 (package pesq); 1.0 where it finds no voice."""
    from pesq import NoUtterancesError, pesq  # built from source: not everybody has it

    try:
        return float(pesq(SAMPLERATE, target, estimate, "wb"))
    except NoUtterancesError:
        return 1.0


def word_edges(clean: Sound) -> list[slice]:
    """First and last 60 ms of every stretch of speech between pauses of 0.1 s or more."""
    frames = clean[: len(clean) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    spoken = np.flatnonzero(power > 10**-3.0 * np.sort(power)[-max(1, len(power) // 20)])
    if not len(spoken):
        return []
    breaks = np.flatnonzero(np.diff(spoken) > 10)
    starts = spoken[np.concatenate([[0], breaks + 1])]
    ends = spoken[np.concatenate([breaks, [-1]])] + 1
    size = round(EDGE_S * SAMPLERATE)
    edges = []
    for start, end in zip(starts * FRAME, ends * FRAME, strict=True):
        if end - start >= 2 * size:
            edges += [slice(start, start + size), slice(end - size, end)]
    return edges


def edge_energy_kept(estimate: Sound, clean: Sound) -> float:
    """Share of the speech's energy in its :func:`word_edges` that is still there; NaN without any.

    In spectra of 20 ms every bin counts at most what the speech had in it, whatever its phase;
    noise left over can fill bins, so in noise this is an upper bound.
    """
    kept = there = 0.0
    for edge in word_edges(clean):
        s, y = (np.abs(_spectra(sound[edge])) for sound in (clean, estimate))
        kept += float(np.sum(np.minimum(s, y) ** 2))
        there += float(np.sum(s**2))
    return kept / there if there else float("nan")


def _spectra(sound: Sound) -> NDArray[np.complex128]:
    """Spectra of half-overlapping windows of 20 ms [frames, bins]."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 2 * FRAME)[::FRAME]
    return np.fft.rfft(frames * np.hanning(2 * FRAME), axis=1)
