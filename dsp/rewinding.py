"""Oscillators that run backwards in time through a look-ahead, anew for each part of a hop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import ComplexArray
from resonance.dsp.kernels import rewind

#: Real and imaginary parts of weights, and of how far they go [oscillators] each.
Weights = tuple[Float32Array, Float32Array, Float32Array, Float32Array]


class Rewinding:
    """One channel's oscillators that run backwards.

    Most of the look-ahead of a part was ahead of the one before, too. So each part is summed once
    when all of it is known, and its sum used until it is played.

    Parameters
    ----------
    poles
        λ [oscillators].
    samples
        Of the look-ahead.
    lengths
        That parts can have: the shortest, and one more.
    """

    def __init__(self, poles: ComplexArray, samples: int, lengths: tuple[int, int]) -> None:
        powers = poles[None, :] ** np.array(lengths)[:, None]
        count = samples // lengths[0] + 1
        sums, room = np.zeros((2, count, len(poles))), np.zeros((2, len(poles)))
        #: How many of the next part's followers are summed up [1].
        self._known = np.zeros(1, np.int64)
        #: From ``pole_re`` to ``shortest``, as :func:`resonance.dsp.kernels.rewind` takes them.
        self.given = (
            *(np.ascontiguousarray(p, np.float32) for p in (poles.real, poles.imag)),
            *room.astype(np.float32),
            self._known,
            *sums.astype(np.float32),
            *(np.ascontiguousarray(p, np.float32) for p in (powers.real, powers.imag)),
            lengths[0],
        )

    def reset(self) -> None:
        """Know nothing of what is ahead."""
        self._known[:] = 0

    def play(
        self,
        ahead: Float32Array,
        edges: NDArray[np.int64],
        weights: Weights,
        ramp: int,
        out: Float32Array,
    ) -> None:
        """Run backwards to the start of a part.

        Parameters
        ----------
        ahead
            The sound from there on, as far as it is known [samples].
        edges
            Where in it the part ends, and each of those that follow and are known whole.
        weights
            As they go in a straight line within ``ramp`` samples.
        ramp
            Samples that their change takes.
        out
            What is to be added to the part [samples].
        """
        rewind(ahead, edges, *self.given, *weights, ramp, out)
