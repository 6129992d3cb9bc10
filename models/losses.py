"""Training losses and measures on waveforms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from resonance.models.data import SAMPLERATE
from resonance.models.perception import SILENT, perceptual_distance

#: Of cleaned, clean and noisy sound [batch, samples]: one number [scalar].
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

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

    Parameters
    ----------
    estimate, target, noisy
        Cleaned, clean and noisy sound [batch, samples].
    best_db
        Where it levels off.

    Returns
    -------
    Tensor
        dB [batch].
    """
    silent = target.square().mean(-1) < SILENT
    reference = torch.where(silent, noisy.square().sum(-1), target.square().sum(-1)) + TINY
    error = (estimate - target).square().sum(-1)
    return 10 * torch.log10(error / reference + 10 ** (-best_db / 10))


def spectral_distance(
    estimate: Tensor,
    target: Tensor,
    noisy: Tensor,
    windows: Sequence[int] = (320, 1024),
    power: float = 0.3,
) -> Tensor:
    """Distance of compressed complex spectra at several resolutions [scalar].

    Spectra are compressed to ``|X|^power e^{i arg X}`` (Ephrat et al. 2018; Braun & Tashev 2020);
    magnitude and complex distance weigh 0.7 and 0.3. Levels are taken relative to the mixture.

    Parameters
    ----------
    estimate, target, noisy
        Cleaned, clean and noisy sound [batch, samples].
    windows
        Lengths of the windows, samples.
    power
        Exponent of the compression.

    Returns
    -------
    Tensor
        Mean distance [scalar].
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


def estoi(estimate: Tensor, target: Tensor) -> Tensor:
    """Extended short-time objective intelligibility of each sound [batch], differentiable.

    Jensen & Taal 2016, 16 kHz sounds [batch, samples]: envelopes in 15 one-third octave bands,
    stretches of 30 frames (384 ms) normalised over time and bands, and their correlation. Frames
    more than 40 dB below the target's loudest do not count; a sound with fewer than 30 gives 1.
    """
    length = estimate.shape[-1] * 10_000 // SAMPLERATE
    window = torch.hann_window(256, device=estimate.device)

    def bands(sound: Tensor) -> Tensor:
        sound = torch.fft.irfft(torch.fft.rfft(sound)[..., : length // 2 + 1], length)
        frames = nn.functional.pad(sound.unfold(-1, 256, 128) * window, (0, 256))
        power = torch.fft.rfft(frames).abs().square()
        return (power @ _third_octaves(power.device).to(power.dtype) + TINY * 1e-4).sqrt()

    ours, theirs = bands(estimate), bands(target)
    level = theirs.square().sum(-1)
    audible = level > 1e-4 * level.amax(-1, keepdim=True) + TINY
    return _correlation(ours, theirs, audible)


def _correlation(ours: Tensor, theirs: Tensor, audible: Tensor) -> Tensor:
    """Mean correlation [batch] of envelopes [batch, frames, bands] over 30 audible frames each."""
    if ours.shape[1] < 30:
        return ours.new_ones(len(ours))
    order = torch.argsort(~audible, dim=1, stable=True)[..., None]  # the audible ones first

    def normalised(x: Tensor) -> Tensor:
        x = torch.take_along_dim(x, order, 1).unfold(1, 30, 1)  # [batch, stretches, bands, frames]
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().sum(-1, keepdim=True) + 1e-12).sqrt()
        x = x - x.mean(2, keepdim=True)
        return x / (x.square().sum(2, keepdim=True) + 1e-12).sqrt()

    found = (normalised(ours) * normalised(theirs)).sum((2, 3)) / 30
    count = audible.sum(1, keepdim=True) - 29  # stretches of audible frames alone
    counted = torch.arange(found.shape[1], device=found.device) < count
    mean = (found * counted).sum(1) / count[:, 0].clamp(min=1)
    return torch.where(count[:, 0] > 0, mean, 1.0)


@cache
def _third_octaves(device: torch.device) -> Tensor:
    """Which of 257 bins at 10 kHz belong to each of 15 bands from 150 Hz [bins, bands]."""
    hz = torch.linspace(0, 5000, 257)
    centre = 150.0 * 2.0 ** (torch.arange(15) / 3)
    low, high = ((hz[:, None] - centre * 2.0**side).abs().argmin(0) for side in (-1 / 6, 1 / 6))
    bins = torch.arange(257)[:, None]
    return ((bins >= low) & (bins < high)).float().to(device)


def edges_lost(estimate: Tensor, target: Tensor) -> Tensor:
    """Share of speech's energy that is missing where words begin and end [batch]; 0 without any.

    In the first and last 60 ms of speech beside 0.1 s of pause, in spectra of 20 ms, where every
    bin counts at most what the speech had in it (as amplitude: what is gone altogether must be
    able to come back). Where a recording begins or ends is no edge.

    Parameters
    ----------
    estimate, target
        Cleaned and clean sound at 16 kHz [batch, samples].

    Returns
    -------
    Tensor
        Share, 0 to 1 [batch].
    """
    window = torch.hann_window(320, device=target.device)
    ours, theirs = (
        torch.stft(s, 320, 160, window=window, center=False, return_complex=True)
        for s in (estimate, target)
    )
    size, there = ((s.real.square() + s.imag.square() + TINY).sqrt() for s in (ours, theirs))
    edge = _edges(target)[:, None, : there.shape[-1]]
    energy = (there.square() * edge).sum((1, 2))
    kept = (torch.minimum(size, there) * there * edge).sum((1, 2))
    return 1.0 - (kept + 1e-3) / (energy + 1e-3)


def _edges(target: Tensor) -> Tensor:
    """Which windows of two frames of 10 ms lie at the edges of speech [batch, frames]."""
    power = target.unfold(-1, 160, 160).square().mean(-1)
    loud = power.quantile(0.95, dim=-1, keepdim=True)
    spoken = ((power > 1e-3 * loud) & (loud > SILENT)).float()

    def within(x: Tensor, first: int, last: int) -> Tensor:  # any of frames i + first ... i + last
        x = nn.functional.pad(x, (max(0, -first), max(0, last)))
        x = x[..., max(0, first) : x.shape[-1] + min(0, last)]
        return nn.functional.max_pool1d(x[:, None], last - first + 1, 1)[:, 0]

    inside = torch.zeros_like(spoken)
    inside[:, 10:-10] = 1.0
    begins = spoken * inside * (1 - within(spoken, -10, -1))
    ends = spoken * inside * (1 - within(spoken, 1, 10))
    return torch.maximum(within(begins, -4, 0), within(ends, 1, 5))


#: What the denoiser's loss adds up, by name.
TERMS: dict[str, Loss] = {
    "waveform": lambda ours, clean, noisy: error_db(ours, clean, noisy).mean() / 10,
    "spectra": spectral_distance,
    "quality": lambda ours, clean, _: 0.5 * perceptual_distance(ours, clean).mean(),
    "intelligibility": lambda ours, clean, _: 2.0 * (1.0 - estoi(ours, clean)).mean(),
    "edges": lambda ours, clean, _: edges_lost(ours, clean).mean(),
}


def denoising_loss(factors: Mapping[str, float] | None = None) -> Loss:
    """Waveform error, spectral distance, quality, intelligibility and edges in one number.

    Parameters
    ----------
    factors
        By which terms count more or less, by name; 0 leaves a term out.

    Returns
    -------
    Callable
        Their weighted sum.
    """
    factors = dict.fromkeys(TERMS, 1.0) | dict(factors or {})
    counted = {name: factor for name, factor in factors.items() if factor}

    def loss(estimate: Tensor, target: Tensor, noisy: Tensor) -> Tensor:
        return torch.stack(
            [factor * TERMS[name](estimate, target, noisy) for name, factor in counted.items()]
        ).sum()

    loss.__name__ = "_".join(n if f == 1.0 else f"{n}*{f:g}" for n, f in counted.items())
    return loss


def waveform_loss(estimate: Tensor, target: Tensor, noisy: Tensor) -> Tensor:
    """Waveform error alone [scalar]; for sounds nobody listens to.

    Parameters
    ----------
    estimate, target, noisy
        Cleaned, clean and noisy sound [batch, samples].

    Returns
    -------
    Tensor
        Mean error, dB [scalar].
    """
    return error_db(estimate, target, noisy).mean() / 10


def readings_loss(readings: Tensor, noisy: Tensor, clean: Tensor) -> Tensor:
    """Loss of the read-outs (voice logit, noise dBFS) of a mixture [scalar].

    Parameters
    ----------
    readings
        Voice logit and noise level, dBFS [batch, times, 2].
    noisy, clean
        Sounds [batch, samples].

    Returns
    -------
    Tensor
        Sum of both losses [scalar].
    """
    voice, noise_dbfs = true_readings(noisy, clean, readings.shape[1])
    wrong_voice = nn.functional.binary_cross_entropy_with_logits(readings[..., 0], voice)
    return wrong_voice + nn.functional.smooth_l1_loss(readings[..., 1] / 10, noise_dbfs / 10)


def true_readings(noisy: Tensor, clean: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """Whether there is voice, and the noise level over 0.4 s, dBFS, each [batch, times].

    Parameters
    ----------
    noisy, clean
        Sounds [batch, samples].
    times
        How many, evenly spread.

    Returns
    -------
    tuple of Tensor
        Voice (0 or 1) and noise level, dBFS [batch, times].
    """

    def power(sound: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool1d(sound.square()[:, None], times)[:, 0]

    spoken = power(clean)
    voice = (spoken > 1e-3 * spoken.amax(-1, keepdim=True)) & (spoken > 1e-12)
    half = round(0.2 * SAMPLERATE * times / noisy.shape[-1])
    noise = nn.functional.avg_pool1d(
        power(noisy - clean)[:, None], 2 * half + 1, 1, half, count_include_pad=False
    )[:, 0]
    least = 1e-5 * power(noisy).mean(-1, keepdim=True)  # what cannot be found below speech
    return voice.float(), 10 * torch.log10(noise + least + 1e-12)
