"""How much worse speech sounds than its original: the model inside PESQ, for training.

ITU-T P.862 and P.862.2 (wide band, 16 kHz) without what cleaned sound does not need: the search
for delays, bad stretches judged twice, silence cut off at both ends, and weights over time beyond
16 s. Values are clipped as there, but what is worst keeps some slope.
"""

from __future__ import annotations

from functools import cache
from math import pi

import torch
from torch import Tensor, nn

from resonance.models.data import SAMPLERATE

#: Mean square of a target that holds no speech.
SILENT = 1e-10
_FRAME, _HOP = 512, 256
_WORST, _SLOPE_BEYOND = 45.0, 0.1  # a frame's distance counts so much at most
_TINY = 1e-12  # keeps roots differentiable at 0
_POWER_SCALE, _LOUDNESS_SCALE = 6.910853e-6, 0.1866055
# Tables of ITU-T P.862 for 16 kHz: bins in each of 49 bands, their widths in Bark, what corrects
# their power for the number of bins, and the power of the threshold of hearing.
# fmt: off
_BINS = (
    1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4,
    3, 4, 5, 4, 5, 6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20,
)
_WIDTHS_BARK = (
    0.157344, 0.317994, 0.322441, 0.326934, 0.331474, 0.336061, 0.340697, 0.345381, 0.350114,
    0.354897, 0.359729, 0.364611, 0.369544, 0.374529, 0.379565, 0.384653, 0.389794, 0.394989,
    0.400236, 0.405538, 0.410894, 0.416306, 0.421773, 0.427297, 0.432877, 0.438514, 0.444209,
    0.449962, 0.455774, 0.461645, 0.467577, 0.473569, 0.479621, 0.485736, 0.491912, 0.498151,
    0.504454, 0.510819, 0.517250, 0.523745, 0.530308, 0.536934, 0.543629, 0.550390, 0.557220,
    0.564119, 0.571085, 0.578125, 0.585232,
)
_CORRECTIONS = (
    100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 50.0, 100.0, 100.0, 100.0, 100.0,
    100.0, 53.047077, 110.000046, 117.991989, 65.0, 68.760147, 69.999931, 71.428818, 75.000038,
    76.843384, 80.968781, 88.646126, 63.864388, 68.155350, 72.547775, 75.584831, 58.379192,
    80.950836, 64.135651, 54.384785, 73.821884, 64.437073, 59.176456, 65.521278, 61.399822,
    58.144047, 57.004543, 64.126297, 54.311001, 61.114979, 55.077751, 56.849335, 55.628868,
    53.137054, 54.985844, 79.546974,
)
_THRESHOLDS = (
    51286152.0, 2454709.5, 70794.59375, 4897.788574, 1174.897705, 389.045166, 104.71286,
    45.70882, 17.782795, 9.772372, 4.897789, 3.090296, 1.905461, 1.258925, 0.977237, 0.724436,
    0.562341, 0.457088, 0.389045, 0.331131, 0.295121, 0.269153, 0.25704, 0.251189, 0.251189,
    0.251189, 0.251189, 0.263027, 0.288403, 0.30903, 0.338844, 0.371535, 0.398107, 0.436516,
    0.467735, 0.489779, 0.501187, 0.501187, 0.512861, 0.524807, 0.524807, 0.524807, 0.512861,
    0.47863, 0.42658, 0.371535, 0.363078, 0.416869, 0.537032,
)
# fmt: on


def perceptual_distance(estimate: Tensor, target: Tensor) -> Tensor:
    """How many points of PESQ's raw scale of 4.5 a sound loses [batch]; about 0 without speech.

    Parameters
    ----------
    estimate, target
        Cleaned and clean sound at 16 kHz [batch, samples].

    Returns
    -------
    Tensor
        ``4.5 - raw PESQ`` [batch].
    """
    spoken = target.square().mean(-1, keepdim=True) > SILENT
    ours, theirs = _bark_power(torch.where(spoken, estimate, target)), _bark_power(target)
    silent = _audible(theirs, 100.0) < 1e7
    theirs = theirs * _response(ours, theirs, silent)[:, None]
    ours = ours * _level(ours, theirs)[..., None]
    a, b = _loudness(ours), _loudness(theirs)
    masked = 0.25 * torch.minimum(a, b)
    heard = (a - b) - (a - b).clamp(-masked, masked)
    added = ((ours + 50) / (theirs + 50)) ** 1.2
    added = torch.where(added < 3, 0.0, added.clamp(max=12))
    width = _table(_WIDTHS_BARK, theirs.device)[1:]
    total = width.sum()
    heard = heard[..., 1:] * width
    changed = total * (heard.square().sum(-1) / total + _TINY).sqrt()
    noise = (heard.abs() * added[..., 1:]).sum(-1)
    quiet = ((_audible(theirs, 1.0) + 1e5) / 1e7) ** -0.04
    return 0.1 * _over_time(changed * quiet) + 0.0309 * _over_time(noise * quiet)


def wideband_pesq(lost: Tensor) -> Tensor:
    """PESQ-WB, 1.04 to 4.64, from the points that :func:`perceptual_distance` says are lost."""
    return 0.999 + 4.0 / (1.0 + torch.exp(-1.3669 * (4.5 - lost) + 3.8224))


def _bark_power(sound: Tensor) -> Tensor:
    """Power of the sound at the level of listening in 49 Bark bands [batch, frames, 49]."""
    length = sound.shape[-1] + 2048  # room for the filter to ring
    spectrum = torch.fft.rfft(sound, length)
    speech_band, filtering = _filters(length, sound.device)
    level = (spectrum.real.square() + spectrum.imag.square()) @ speech_band
    scale = (1e7 / (level / (sound.shape[-1] + 5120) + 1e-13)).sqrt()
    sound = torch.fft.irfft(spectrum * filtering, length)[..., : sound.shape[-1]] * scale[:, None]
    window = torch.hann_window(_FRAME, device=sound.device)
    frames = torch.fft.rfft(sound.unfold(-1, _FRAME, _HOP) * window)
    power: Tensor = (frames.real.square() + frames.imag.square()) @ _bands(sound.device)
    return power


@cache
def _filters(length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """What weighs each bin's power for the level, and the response of the listening filter.

    The level is that of 350 to 3250 Hz; the filter P.862.2's, which passes wide band speech.
    """
    turn = torch.linspace(0, pi, length // 2 + 1, dtype=torch.float64)
    hz = turn / pi * (SAMPLERATE / 2)
    weights = ((hz >= 350) & (hz <= 3250)).float() * (2 / length)
    z = torch.exp(-1j * turn)
    response = 2.740826 * (1 - 2 * z + z**2) / (1 - 1.9444777 * z + 0.94597794 * z**2)
    return weights.to(device), response.to(torch.complex64).to(device)


@cache
def _bands(device: torch.device) -> Tensor:
    """Which of 257 bins belong to each band, and what scales their power [bins, 49]."""
    band = torch.repeat_interleave(torch.arange(len(_BINS)), torch.tensor(_BINS))
    bins = nn.functional.one_hot(band, len(_BINS)).float()
    bins = nn.functional.pad(bins, (0, 0, 0, 257 - len(bins)))
    bins[0] = 0.0
    return (bins * (torch.tensor(_CORRECTIONS) * _POWER_SCALE)).to(device)


@cache
def _table(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A table on a device; copied there once, as a recorded step cannot."""
    return torch.tensor(values, device=device)


def _audible(power: Tensor, above: float) -> Tensor:
    """Power of each frame in bands ``above`` times the threshold of hearing [batch, frames]."""
    return (power * (power > _table(_THRESHOLDS, power.device) * above)).sum(-1)


def _response(ours: Tensor, theirs: Tensor, silent: Tensor) -> Tensor:
    """Gain in each band that speech passed through, which is not held against it [batch, 49]."""

    def mean(power: Tensor) -> Tensor:
        counted = (power > _table(_THRESHOLDS, power.device) * 100) & ~silent[..., None]
        return (power * counted).mean(1)

    return ((mean(ours) + 1000) / (mean(theirs) + 1000)).clamp(0.01, 100)


def _level(ours: Tensor, theirs: Tensor) -> Tensor:
    """Gain of each frame up to which levels may follow each other [batch, frames]."""
    ratio = (_audible(theirs, 1.0) + 5e3) / (_audible(ours, 1.0) + 5e3)
    weights = 0.8 * 0.2 ** torch.arange(9, -1, -1, device=ratio.device)  # what came before fades
    before = nn.functional.pad(ratio[:, None], (9, 0), mode="replicate")[:, 0]
    return (before.unfold(-1, 10, 1) @ weights).clamp(3e-4, 5)


def _loudness(power: Tensor) -> Tensor:
    """Zwicker's loudness of each band; none below the threshold of hearing."""
    threshold = _table(_THRESHOLDS, power.device)
    width = _table(_WIDTHS_BARK, power.device)
    bark = width.cumsum(0) - width / 2
    exponent = 0.23 * (6 / (bark + 2)).clamp(1, 2) ** 0.15
    above = (0.5 + 0.5 * power / threshold) ** exponent - 1
    return _LOUDNESS_SCALE * (threshold / 0.5) ** exponent * above.clamp(min=0)


def _over_time(distance: Tensor) -> Tensor:
    """One number [batch] from the distance of each frame: bad moments count more."""
    most = distance.clamp(max=_WORST)
    distance = most + _SLOPE_BEYOND * ((distance - most) - (distance - most).detach())
    distance = nn.functional.pad(distance, (0, 19))
    moments = ((distance.unfold(-1, 20, 10) ** 6).mean(-1) + _TINY) ** (1 / 6)
    return moments.square().mean(-1).sqrt()
