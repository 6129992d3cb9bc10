"""Sharper hearing: the difference of two neighbouring oscillators.

One damped oscillator responds to loud sound from afar (its skirts fall by only 6 dB per octave): a
vowel's low partials hide all that is soft and high. Two neighbours, scaled to answer alike to a
constant force, respond nearly alike from afar; their difference keeps what lies between them and
falls by 12 dB per octave (the second-order gammatone filter is its limit for close neighbours).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.bank import ComplexArray, FloatArray, OscillatorBank

#: Frequencies looked at between two neighbours to find the difference's highest response.
_PROBES = 9


def neighbour_weights(
    bank: OscillatorBank, carriers: NDArray[np.bool_], samplerate: float
) -> tuple[ComplexArray, ComplexArray]:
    """Weights (own, next), each [oscillators - 1], of ``own z[k] - next z[k + 1]``.

    The difference is 0 for a constant force and has a highest gain of 1. Neighbours are two
    oscillators that are both carriers or both not, and both awake; elsewhere the weights are 0.

    Parameters
    ----------
    bank
        [oscillators].
    carriers
        Which of them carry the sound [oscillators].
    samplerate
        Hz.

    Returns
    -------
    own, next
        Complex [oscillators - 1] each.

    Raises
    ------
    ValueError
        If the samplerate is not above 0 Hz.
    """
    poles, awake = bank.poles(samplerate), bank.awake(samplerate)
    still = 1.0 - poles
    own, following = still[:-1], still[1:]
    low, high = bank.f0_hz[:-1], bank.f0_hz[1:]
    highest: FloatArray = np.zeros(len(own))
    for part in np.linspace(-1.0, 2.0, 3 * _PROBES):
        turn = np.exp(-2j * np.pi * (low + part * (high - low)) / samplerate)
        response = own / (1 - poles[:-1] * turn) - following / (1 - poles[1:] * turn)
        highest = np.maximum(highest, np.abs(response))
    pairs = (carriers[:-1] == carriers[1:]) & awake[:-1] & awake[1:] & (highest > 0)
    scale = np.divide(pairs, highest, out=np.zeros_like(highest), where=pairs)
    return own * scale, following * scale


def pair_of(carriers: NDArray[np.bool_], awake: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Whose difference each oscillator reads [oscillators]: its own to the next one.

    The last of a group, and one below an oscillator that rests, share the pair below.
    """
    last = np.append((carriers[:-1] != carriers[1:]) | ~awake[1:], True)
    return np.asarray(np.arange(len(carriers)) - last)
