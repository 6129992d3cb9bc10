"""A bank at work on a long stretch: it listens to all of it, then plays with every hop's gains.

Gains of a hop act on the next one, never on sound before. So a bank can listen to a whole stretch
first, all its hops' gains be found together, and then be played: the samples are those of
:class:`resonance.dsp.stream.BankStream`, which goes hop by hop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array
from resonance.dsp.kernels import listen
from resonance.dsp.stream import BankStream


class Part(NamedTuple):
    """A piece of a stretch that lies within one hop, in samples."""

    start: int
    stop: int
    ends_hop: bool


class Analysis(NamedTuple):
    """What listening to a stretch gave: of every hop that ended in it."""

    features: Float32Array  #: [hops, oscillators, 4]
    contrast: Float32Array  #: of neighbours, mean power [hops, oscillators]
    bad: int  #: samples that were not finite


class BankStretch(BankStream):
    """A :class:`~resonance.dsp.stream.BankStream` fed with :meth:`analyse` and :meth:`play`.

    Both go over the same sound, one after the other. A second set of states plays, since what
    listens is far ahead by then.
    """

    def reset(self) -> None:
        """Back to rest."""
        super().reset()
        self._synth_re, self._synth_im = (np.zeros_like(self._z_re) for _ in "zi")

    def analyse(self, sound: Float32Array) -> Analysis:
        """Listen to ``sound [samples]``, any length."""
        count, parts, hops, position = self.oscillators, self._parts(len(sound)), 0, self._position
        ended = sum(part.ends_hop for part in parts)
        energy = np.zeros((ended + 1, count), np.float32)
        contrast = np.zeros((ended + 1, count), np.float32)
        energy[0], contrast[0] = self._energy[:count], self._contrast
        z_re, z_im = np.empty((2, ended + 1, count), np.float32)
        z_re[0], z_im[0] = self._before_re, self._before_im
        lengths = np.empty(ended, np.int64)
        poles = self._pole_re[:count], self._pole_im[:count]
        states = self._z_re[:count], self._z_im[:count]
        bad = 0
        for start, stop, ends_hop in parts:
            bad += listen(
                sound[start:stop], *poles, *states, energy[hops], *self._contrasts, contrast[hops]
            )
            if ends_hop:
                lengths[hops] = position + stop - start
                position, hops = 0, hops + 1
                z_re[hops], z_im[hops] = self.states()
        self._energy[:count], self._contrast[:] = energy[ended], contrast[ended]
        self._before_re, self._before_im = z_re[ended].copy(), z_im[ended].copy()
        size = lengths[:, None].astype(np.float32)
        power = energy[:ended] * (self._drive**2 / size)
        contrasts = contrast[:ended][:, self._pairs] / size
        turns = np.array([self._turns[n] for n in lengths.tolist()], np.complex64)
        features = self._describe(
            power,
            contrasts.copy(),
            z_re[1:],
            z_im[1:],
            z_re[:-1],
            z_im[:-1],
            turns.reshape(ended, count),
        )
        return Analysis(features, contrasts, int(bad))

    def play(self, sound: Float32Array, gains: NDArray[np.complex64], out: Float32Array) -> None:
        """Play the stretch just listened to into ``out [samples]``.

        Parameters
        ----------
        sound
            The stretch [samples].
        gains
            Complex [hops, oscillators], found at the end of each hop that ended in the stretch.
        out
            Where the output goes [samples].
        """
        w_re, w_im = self._weights(gains)
        hop = 0
        for start, stop, ends_hop in self._parts(len(sound)):
            self._play_late(sound[start:stop], out[start:stop])
            if ends_hop:
                self._begin_hop()
                self._move_to((w_re[hop], w_im[hop]))
                hop += 1

    def _parts(self, samples: int) -> list[Part]:
        """The stretch cut where hops end."""
        parts, hops, start = [], self._hops, 0
        stop = self.samples_left
        while stop <= samples:
            parts.append(Part(start, stop, True))
            hops, start = hops + 1, stop
            stop = start + round((hops + 1) * self._hop) - round(hops * self._hop)
        if start < samples:
            parts.append(Part(start, samples, False))
        return parts
