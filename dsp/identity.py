"""Identity weights: the weighted sum of the oscillators that gives the input back, undelayed.

The impulse responses ``λ_k^n`` all start at 1 at n = 0, so a sum ``Re Σ w_k λ_k^n`` can come
close to the unit impulse itself. Its squared error over all time is the mean squared error on
white noise, and needs no sampling in time or frequency: the inner products of the responses are
geometric series, ``Σ_n λ_j^n conj(λ_k)^n = 1 / (1 - λ_j conj(λ_k))``.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.bank import ComplexArray, FloatArray, OscillatorBank

#: The samplerate [Hz] at which the networks learn; gains mean the same at every other rate.
TRAINING_SAMPLERATE = 16000
#: Strength of the ridge, relative to the mean diagonal of the Gram matrix.
RIDGE = 1e-6
#: How much stronger a model's oscillators are held to their own weights above the training
#: samplerate, where others carry what they cannot.
HOLD = 1e3
#: Frequencies at which responses of gains are compared, evenly spaced; and a ridge as above.
GRID, GRID_RIDGE = 400, 1e-4


def unit_peak(poles: ComplexArray) -> FloatArray:
    """1 - |λ| [oscillators]: scales each oscillator to a gain of 1 at its resonance."""
    return np.asarray(1.0 - np.abs(poles))


def identity_weights(
    poles: ComplexArray,
    carriers: NDArray[np.bool_] | None = None,
    prior: ComplexArray | None = None,
    hold: FloatArray | None = None,
    onset: ComplexArray | None = None,
) -> ComplexArray:
    """Weights w with ``Re Σ_k w_k z_k[n] ≈ x[n]`` by ridge least squares [oscillators].

    Parameters
    ----------
    poles
        λ of every oscillator [oscillators].
    carriers
        Oscillators that take part [oscillators]; the others get weight 0. Default: all.
    prior
        Weights to stay close to where the sound leaves a choice [oscillators], in units of
        each oscillator's :func:`unit_peak`. A model trained at one samplerate passes its own
        weights here, so that its gains mean the same at every other. Default: 0.
    hold
        How strongly, in units of the ridge [oscillators]. Default: 1.
    onset
        What each oscillator answers at once beside z (:func:`onset_shares`) [oscillators].
        Default: 0.

    Returns
    -------
    ComplexArray
        Complex [oscillators].
    """
    chosen = np.ones(len(poles), dtype=bool) if carriers is None else carriers
    scale = unit_peak(poles[chosen])
    at_once = np.zeros(len(poles), np.complex128) if onset is None else onset
    gram, target = _normal_equations(poles[chosen], scale, at_once[chosen])
    start = np.zeros(len(target))
    if prior is not None:
        start = np.concatenate([prior[chosen].real, prior[chosen].imag])
    held = np.ones(len(scale)) if hold is None else hold[chosen]
    ridge = RIDGE * np.trace(gram) / len(gram) * np.concatenate([held, held])
    solution = start + np.linalg.solve(gram + np.diag(ridge), target - gram @ start)
    weights = np.zeros(len(poles), dtype=np.complex128)
    half = len(solution) // 2
    weights[chosen] = (solution[:half] + 1j * solution[half:]) * scale
    return weights


def onset_shares(bank: OscillatorBank, samplerate: float, *, two_sided: bool) -> ComplexArray:
    """What makes an oscillator answer as at the training samplerate [oscillators].

    Its sampled response is a sum where that in continuous time is an integral, and begins with a
    jump. By the Euler-Maclaurin formula (DLMF 2.10.1) the two differ by half the jump and a
    twelfth of its slope, the same at all frequencies: less, the higher the samplerate. The
    difference between two rates is a share of the input itself: ``w (z + share x)`` answers
    alike at both. Zero at the training samplerate; below it other errors are larger, it is zero,
    too, and :func:`translation` makes up for them.

    Parameters
    ----------
    bank
        The oscillators.
    samplerate
        Hz.
    two_sided
        Whether they run backwards in time, too: the jumps cancel, the slopes add up.

    Returns
    -------
    ComplexArray
        [oscillators].
    """
    if samplerate <= TRAINING_SAMPLERATE:
        return np.zeros(len(bank), np.complex128)
    finer = samplerate / TRAINING_SAMPLERATE
    slope = 2 * np.pi * (1j * bank.damped_hz - bank.decay_hz) / TRAINING_SAMPLERATE
    slope = slope * (finer - 1 / finer) / 12
    return np.asarray(-2 * slope if two_sided else (finer - 1) / 2 - slope)


def identity_and_span(
    bank: OscillatorBank,
    carriers: NDArray[np.bool_],
    samplerate: float,
    trained: int | None = None,
    *,
    two_sided: bool = False,
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Weights of a wire, and how far each moves when its gain moves by 1, both [oscillators].

    A weight is ``identity + span * (gain - 1)``. Carriers hold the unchanged sound: their span is
    their identity weight, so a gain of 0 mutes them. The others are silent at a gain of 1; their
    span is their :func:`unit_peak`.

    Parameters
    ----------
    bank, samplerate
        The oscillators and the rate they work at, Hz.
    carriers
        Which of them are carriers [oscillators].
    trained
        How many, from the first, belong to the model: at any rate their weights stay close to
        those of the training samplerate, and they answer by :func:`onset_shares`, too.
        Default: all.
    two_sided
        As in :func:`onset_shares`.

    Returns
    -------
    tuple[NDArray[np.complex64], NDArray[np.complex64]]
        Weights of the wire, and span, each complex [oscillators].
    """
    count = len(bank) if trained is None else trained
    what = (part.tobytes() for part in (bank.f0_hz, bank.damping_ratio, carriers))
    return _identity_and_span(*what, samplerate, count, two_sided)


@functools.lru_cache(maxsize=16)
def _identity_and_span(
    f0_hz: bytes,
    damping_ratio: bytes,
    carrying: bytes,
    samplerate: float,
    count: int,
    two_sided: bool,
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Solved once for all channels of a sound, and for all files of a rate."""
    bank = OscillatorBank(np.frombuffer(f0_hz), np.frombuffer(damping_ratio))
    carriers = np.frombuffer(carrying, dtype=np.bool_)
    poles, awake = bank.poles(samplerate), bank.awake(samplerate)
    reference = bank.poles(TRAINING_SAMPLERATE)[:count]
    prior, onset = np.zeros((2, len(bank)), dtype=np.complex128)
    prior[:count] = identity_weights(reference, carriers[:count]) / unit_peak(reference)
    if samplerate == TRAINING_SAMPLERATE:
        identity = prior * unit_peak(poles)
    else:
        onset[:count] = onset_shares(bank, samplerate, two_sided=two_sided)[:count]
        hold = np.where(onset == 0, 1.0, HOLD)
        identity = identity_weights(poles, carriers & awake, prior, hold, onset)
    span = np.where(carriers, identity, unit_peak(poles)) * awake
    found = identity.astype(np.complex64), span.astype(np.complex64)
    for array in found:
        array.flags.writeable = False  # it is shared
    return found


def response_matrix(
    bank: OscillatorBank,
    units: NDArray[np.inexact],
    hz: FloatArray,
    samplerate: float,
    *,
    two_sided: bool,
) -> FloatArray:
    """From gains to what the weighted oscillators together do to each frequency.

    Parameters
    ----------
    bank
        The oscillators.
    units
        Weights at a gain of 1 [oscillators].
    hz
        Frequencies [frequencies], Hz.
    samplerate
        Hz.
    two_sided
        Whether they run backwards in time, too: the response to ``Re w λ^|n|`` is real.

    Returns
    -------
    FloatArray
        Matrix from real, then imaginary parts of the gains to those of the response
        [2 · frequencies, 2 · oscillators]; two-sided [frequencies, 2 · oscillators].
    """
    above, below = (bank.transfer_function(f, samplerate) * units for f in (hz, -hz))
    columns = np.concatenate([(above + below.conj()) / 2, 1j * (above - below.conj()) / 2], axis=1)
    if two_sided:  # the sample itself counts once
        return np.asarray(2.0 * columns.real - np.concatenate([units.real, -units.imag]))
    return np.concatenate([columns.real, columns.imag])


def least_squares(able: FloatArray, wanted: FloatArray, ridge: float) -> FloatArray:
    """What comes closest to ``able @ x = wanted`` with small x.

    Parameters
    ----------
    able
        [responses, numbers].
    wanted
        [responses, columns].
    ridge
        How much small numbers count, relative to the mean diagonal of the Gram matrix.

    Returns
    -------
    FloatArray
        x [numbers, columns].
    """
    gram = able.T @ able
    gram += ridge * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, able.T @ wanted))


def translation(
    bank: OscillatorBank, carriers: NDArray[np.bool_], samplerate: float, *, two_sided: bool = False
) -> NDArray[np.float32]:
    """From gains to those that do the same to the sound at a samplerate below the model's.

    Sampled more coarsely, broad oscillators answer differently far from their resonance (their
    skirts fold at half the samplerate), and the skirts of those that rest are missing. Least
    squares over the band that is left lets all that are awake make up for it together.

    Parameters
    ----------
    bank
        The model's oscillators.
    carriers
        Which of them carry the unchanged sound: the first ones [oscillators].
    samplerate
        Hz.
    two_sided
        Whether they run backwards in time, too.

    Returns
    -------
    NDArray[np.float32]
        Matrix for the carriers' gains less 1, real, then imaginary parts
        [2 · carriers, 2 · carriers]; at the model's own samplerate and above nothing [0, 0].
    """
    if samplerate >= TRAINING_SAMPLERATE:
        return np.zeros((0, 0), np.float32)
    what = (part.tobytes() for part in (bank.f0_hz, bank.damping_ratio, carriers))
    return _translation(*what, samplerate, two_sided)


@functools.lru_cache(maxsize=16)
def _translation(
    f0_hz: bytes, damping_ratio: bytes, carrying: bytes, samplerate: float, two_sided: bool
) -> NDArray[np.float32]:
    """Solved once for all channels of a sound, and for all files of a rate."""
    bank = OscillatorBank(np.frombuffer(f0_hz), np.frombuffer(damping_ratio))
    carriers = np.frombuffer(carrying, dtype=np.bool_)
    broad = OscillatorBank(bank.f0_hz[carriers], bank.damping_ratio[carriers])
    hz = (np.arange(GRID) + 0.5) / GRID * samplerate / 2
    wanted, able = (
        response_matrix(
            broad,
            identity_and_span(bank, carriers, rate, two_sided=two_sided)[1][carriers],
            hz,
            rate,
            two_sided=two_sided,
        )
        for rate in (TRAINING_SAMPLERATE, samplerate)
    )
    # All zero for those that rest: the ridge gives them nothing.
    found = least_squares(able, wanted, GRID_RIDGE).astype(np.float32)
    found.flags.writeable = False  # it is shared
    return found


def _normal_equations(
    poles: ComplexArray, scale: FloatArray, onset: ComplexArray
) -> tuple[FloatArray, FloatArray]:
    """Gram matrix and right-hand side for the basis (Re z, -Im z), each scaled to unit peak."""
    same = 1.0 / (1.0 - poles[:, None] * poles.conj()[None, :])
    cross = 1.0 / (1.0 - poles[:, None] * poles[None, :])
    real_real = 0.5 * (same + cross).real
    imag_imag = 0.5 * (same - cross).real
    real_imag = 0.5 * (cross - same).imag
    gram = np.block([[real_real, -real_imag], [-real_imag.T, imag_imag]])
    # What they answer at once, where the responses begin with (1, 0).
    first = np.concatenate([np.ones(len(poles)), np.zeros(len(poles))])
    at_once = np.concatenate([onset.real, -onset.imag])
    gram += np.outer(first + at_once, first + at_once) - np.outer(first, first)
    both = np.concatenate([scale, scale])
    return np.asarray(gram * both[:, None] * both[None, :]), (first + at_once) * both
