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
from resonance.dsp.rest import Rest
from resonance.dsp.stream import BankStream


class Part(NamedTuple):
    """A piece of a stretch that lies within one hop, in samples."""

    start: int
    stop: int
    ends_hop: bool


class Analysis(NamedTuple):
    """What listening to a stretch gave."""

    features: Float32Array  #: of hops that ended, but for those at rest [hops, oscillators, 4]
    contrast: Float32Array  #: of every hop that ended in it: mean power [hops, oscillators]
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
        self._listening_rest = Rest(self.samplerate)

    def analyse(self, sound: Float32Array) -> Analysis:
        """Listen to ``sound [samples]``, any length."""
        count, parts, hops, position = self.oscillators, self._parts(len(sound)), 0, self._position
        ended = sum(part.ends_hop for part in parts)
        energy = np.zeros((ended + 1, count), np.float32)
        contrast = np.zeros((ended + 1, count), np.float32)
        energy[0], contrast[0] = self._energy[:count], self._contrast
        before, end = np.zeros((2, 2, ended + 1, count), np.float32)
        before[:, 0] = self._before_re, self._before_im
        lengths, awake = np.empty(ended, np.int64), np.empty(ended, np.bool_)
        poles = self._pole_re[:count], self._pole_im[:count]
        z_re, z_im = self._z_re[:count], self._z_im[:count]
        rest, bad = self._listening_rest, 0
        for start, stop, ends_hop in parts:
            block = sound[start:stop]
            block = block[rest.skip(block) :]
            bad += listen(block, *poles, z_re, z_im, energy[hops], *self._contrasts, contrast[hops])
            if ends_hop:
                lengths[hops], awake[hops] = position + stop - start, not rest.resting
                position, end[:, hops] = 0, self.states()
                if rest.end_hop():
                    z_re[:], z_im[:] = 0.0, 0.0
                hops += 1
                before[:, hops] = self.states()
        self._energy[:count], self._contrast[:] = energy[ended], contrast[ended]
        self._before_re, self._before_im = before[:, ended].copy()
        size = lengths[:, None].astype(np.float32)
        power = energy[:ended] * (self._drive**2 / size)
        contrasts = contrast[:ended][:, self._pairs] / size
        turns = np.array([self._turns[n] for n in lengths.tolist()], np.complex64)
        re, im, before_re, before_im = (state[:ended][awake] for state in (*end, *before))
        turns = turns.reshape(ended, count)[awake]
        features = self._describe(
            power[awake], contrasts[awake], re, im, before_re, before_im, turns
        )
        return Analysis(features, contrasts, int(bad))

    def play(self, sound: Float32Array, gains: NDArray[np.complex64], out: Float32Array) -> None:
        """Play the stretch just listened to into ``out [samples]``.

        Parameters
        ----------
        sound
            The stretch [samples].
        gains
            Complex [hops, oscillators], found from the features of each hop.
        out
            Where the output goes [samples].
        """
        w_re, w_im = self._weights(gains)
        chosen = zip(gains, w_re, w_im, strict=True)
        for start, stop, ends_hop in self._parts(len(sound)):
            block, target = sound[start:stop], out[start:stop]
            skipped = self._rest.skip(block)
            self._pass_over(target[:skipped])
            self._play_late(block[skipped:], target[skipped:])
            if ends_hop and self.resting:
                self._begin_silent_hop()
            elif ends_hop:
                self._begin_hop()
                last, re, im = next(chosen)
                self._move_to((re, im))
                if self._rest.end_hop():
                    self._come_to_rest(last)

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
