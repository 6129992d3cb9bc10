"""What the networks read of a hop of oscillator states: the one definition, streaming and training.

Every function takes ``xp``, the array module (numpy while streaming, torch while training),
and works along the last axis, so that both worlds run the same lines.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.bank import FloatArray, OscillatorBank, hz_to_erb

#: Of the agreement between model files and this code.
FORMAT_VERSION = 2
#: Names of the features, in the order of the last axis.
FEATURE_NAMES = ("log_power", "log_contrast", "phase_advance_cos", "phase_advance_sin")
#: Mean power of a pooled band below this (-100 dB of full scale) counts as silence.
POWER_FLOOR = 1e-10
#: Mean power of an oscillator below this (-160 dB of full scale) counts as silence.
SILENT_POWER = 1e-16
#: ``log_power`` is ``(ln(power + floor) - LOG_OFFSET) / LOG_SCALE``.
LOG_OFFSET = -14.0
LOG_SCALE = 4.0


def log_power(power: Any, xp: ModuleType = np, floor: float = POWER_FLOOR) -> Any:
    """Normalised log of the mean power [..., oscillators or bands], about -2 … 2.

    Parameters
    ----------
    power
        Mean power, array or tensor of any shape.
    xp
        numpy or torch.
    floor
        Added to the power, so that silence has a level.

    Returns
    -------
    array or tensor
        Of the same shape.
    """
    return (xp.log(power + floor) - LOG_OFFSET) * (1.0 / LOG_SCALE)


def hop_features(
    power: Any,
    contrast: Any,
    re: Any,
    im: Any,
    before_re: Any,
    before_im: Any,
    turn_re: Any,
    turn_im: Any,
    xp: ModuleType = np,
) -> Any:
    """Features of one hop (or many) [..., oscillators, 4], in the order of FEATURE_NAMES.

    Parameters
    ----------
    power
        Mean of |z|² over the hop, z scaled to unit peak [..., oscillators].
    contrast
        Mean power of the difference of neighbours (``dsp/contrast.py``) [..., oscillators].
    re, im
        z at the end of the hop, scaled to unit peak [..., oscillators].
    before_re, before_im
        z at the end of the hop before, likewise.
    turn_re, turn_im
        exp(iω_d t) of the time between the two: what a free oscillator would turn by.

    The phase features are the cosine and sine of how much further z turned than expected:
    zero angle at resonance, proportional to the detuning elsewhere. They shrink to 0 in silence.

    Returns
    -------
    Any
        Array of the same library [..., oscillators, 4].
    """
    expected_re = before_re * turn_re - before_im * turn_im
    expected_im = before_re * turn_im + before_im * turn_re
    cos = re * expected_re + im * expected_im
    sin = im * expected_re - re * expected_im
    power_now = re * re + im * im
    power_before = expected_re * expected_re + expected_im * expected_im
    inverse = 1.0 / xp.sqrt(power_now * power_before + SILENT_POWER**2)
    levels = (log_power(x, xp, SILENT_POWER) for x in (power, contrast))
    return xp.stack((*levels, cos * inverse, sin * inverse), -1)


def band_pooling(
    bank: OscillatorBank, bands: int = 40, low_hz: float = 80.0, high_hz: float = 7400.0
) -> FloatArray:
    """Triangular ERB-spaced averages of oscillator powers [bands, oscillators]; rows sum to 1.

    Parameters
    ----------
    bank
        Whose powers are pooled [oscillators].
    bands
        How many, at least 2, evenly spaced on the ERB-rate scale.
    low_hz, high_hz
        Centres of the first and the last band.

    Returns
    -------
    float64 array
        [bands, oscillators].
    """
    centres = np.linspace(hz_to_erb(low_hz), hz_to_erb(high_hz), bands)
    step = centres[1] - centres[0]
    distance = np.abs(hz_to_erb(bank.f0_hz)[None, :] - centres[:, None]) / step
    weights = np.clip(1.5 - distance, 0.0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def hop_edges(hops: int, hop_s: float, samplerate: float) -> NDArray[np.int64]:
    """Sample index at which each hop ends, from 0 [hops + 1]; hops may differ by one sample.

    Parameters
    ----------
    hops
        How many.
    hop_s
        Length of one, s.
    samplerate
        Hz.

    Returns
    -------
    int64 array
        [hops + 1], beginning with 0.
    """
    return np.asarray(np.rint(np.arange(hops + 1) * (hop_s * samplerate)), dtype=np.int64)
