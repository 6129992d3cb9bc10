"""Training losses and measures on waveforms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-8


def si_sdr_db(estimate: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio [batch], dB (Le Roux et al. 2019)."""
    energy = target.square().sum(-1, keepdim=True) + TINY
    projection = (estimate * target).sum(-1, keepdim=True) / energy * target
    noise = estimate - projection
    return 10 * torch.log10((projection.square().sum(-1) + TINY) / (noise.square().sum(-1) + TINY))


def error_db(estimate: Tensor, target: Tensor, noisy: Tensor, best_db: float = 30.0) -> Tensor:
    """Error relative to the target [batch], dB, levelling off at ``-best_db``: lower is better.

    Without any target (no speech) it is the output relative to the input.
    """
    silent = target.square().mean(-1) < TINY * 1e-2
    reference = torch.where(silent, noisy.square().sum(-1), target.square().sum(-1)) + TINY
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10(error / reference + 10 ** (-best_db / 10))


def spectral_distance(
    estimate: Tensor, target: Tensor, noisy: Tensor,
    windows: Sequence[int] = (320, 1024), power: float = 0.3,
) -> Tensor:  # fmt: skip
    """Distance of compressed complex spectra at several resolutions [scalar].

    Spectra are compressed to ``|X|^power e^{i arg X}`` (Ephrat et al. 2018; Braun & Tashev 2020);
    magnitude and complex distance weigh 0.7 and 0.3. Levels are taken relative to the mixture.
    """
    scale = noisy.square().mean(-1, keepdim=True).sqrt() + 1e-5
    total = estimate.new_zeros(())
    for window in windows:
        shape = torch.hann_window(window, device=estimate.device)
        a, b = (
            torch.stft(s / scale, window, window // 2, window=shape, return_complex=True)
            for s in (estimate, target)
        )
        size_a, size_b = ((s.real.square() + s.imag.square() + 1e-8).sqrt() for s in (a, b))
        small_a, small_b = size_a**power, size_b**power
        complex_distance = (a * (small_a / size_a) - b * (small_b / size_b)).abs().square().mean()
        total = total + 0.7 * (small_a - small_b).square().mean() + 0.3 * complex_distance
    return total / len(windows)


def denoising_loss(estimate: Tensor, target: Tensor, noisy: Tensor) -> Tensor:
    """Waveform error and spectral distance in one number [scalar]."""
    waveform = error_db(estimate, target, noisy).mean() / 10
    return waveform + spectral_distance(estimate, target, noisy)
