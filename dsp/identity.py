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


def unit_peak(poles: ComplexArray) -> FloatArray:
    """1 - |λ| [oscillators]: scales each oscillator to a gain of 1 at its resonance."""
    return np.asarray(1.0 - np.abs(poles))


def identity_weights(
    poles: ComplexArray,
    carriers: NDArray[np.bool_] | None = None,
    prior: ComplexArray | None = None,
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

    Returns
    -------
    ComplexArray
        Complex [oscillators].
    """
    chosen = np.ones(len(poles), dtype=bool) if carriers is None else carriers
    scale = unit_peak(poles[chosen])
    gram, target = _normal_equations(poles[chosen], scale)
    start = np.zeros(len(target))
    if prior is not None:
        start = np.concatenate([prior[chosen].real, prior[chosen].imag])
    ridged = gram + RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    solution = start + np.linalg.solve(ridged, target - gram @ start)
    weights = np.zeros(len(poles), dtype=np.complex128)
    half = len(solution) // 2
    weights[chosen] = (solution[:half] + 1j * solution[half:]) * scale
    return weights


def identity_and_span(
    bank: OscillatorBank, carriers: NDArray[np.bool_], samplerate: float, trained: int | None = None
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
        those of the training samplerate. Default: all.

    Returns
    -------
    tuple[NDArray[np.complex64], NDArray[np.complex64]]
        Weights of the wire, and span, each complex [oscillators].
    """
    count = len(bank) if trained is None else trained
    return _identity_and_span(
        bank.f0_hz.tobytes(), bank.damping_ratio.tobytes(), carriers.tobytes(), samplerate, count
    )


@functools.lru_cache(maxsize=16)
def _identity_and_span(
    f0_hz: bytes, damping_ratio: bytes, carrying: bytes, samplerate: float, count: int
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Solved once for all channels of a sound, and for all files of a rate."""
    bank = OscillatorBank(np.frombuffer(f0_hz), np.frombuffer(damping_ratio))
    carriers = np.frombuffer(carrying, dtype=np.bool_)
    poles, awake = bank.poles(samplerate), bank.awake(samplerate)
    reference = bank.poles(TRAINING_SAMPLERATE)[:count]
    prior = np.zeros(len(bank), dtype=np.complex128)
    prior[:count] = identity_weights(reference, carriers[:count]) / unit_peak(reference)
    if samplerate == TRAINING_SAMPLERATE:
        identity = prior * unit_peak(poles)
    else:
        identity = identity_weights(poles, carriers & awake, prior)
    span = np.where(carriers, identity, unit_peak(poles)) * awake
    found = identity.astype(np.complex64), span.astype(np.complex64)
    for array in found:
        array.flags.writeable = False  # it is shared
    return found


def _normal_equations(poles: ComplexArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gram matrix and right-hand side for the basis (Re z, -Im z), each scaled to unit peak."""
    same = 1.0 / (1.0 - poles[:, None] * poles.conj()[None, :])
    cross = 1.0 / (1.0 - poles[:, None] * poles[None, :])
    real_real = 0.5 * (same + cross).real
    imag_imag = 0.5 * (same - cross).real
    real_imag = 0.5 * (cross - same).imag
    gram = np.block([[real_real, -real_imag], [-real_imag.T, imag_imag]])
    both = np.concatenate([scale, scale])
    target = np.concatenate([scale, np.zeros_like(scale)])
    return np.asarray(gram * both[:, None] * both[None, :]), target
