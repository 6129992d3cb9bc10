"""A bank at work on a long stretch: it listens to all of it, then plays with every part's gains.

Gains of a part of a hop act on the next one, never on sound before. So a bank can listen to a whole
stretch first, all its gains be found together, and then be played: the samples are those of
:class:`resonance.dsp.stream.BankStream`, which goes part by part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array
from resonance.dsp.kernels import listen
from resonance.dsp.parts import lengths_up_to
from resonance.dsp.rest import Rest
from resonance.dsp.stream import BankStream


class Piece(NamedTuple):
    """A piece of a stretch that lies within one part of a hop, in samples."""

    start: int
    stop: int
    ends_part: bool


class Analysis(NamedTuple):
    """What listening to a stretch gave."""

    #: Of parts that ended, but for those that ended in silence (paused) [parts, 2, oscillators, 4].
    features: Float32Array
    updated: NDArray[np.bool_]  #: which of these end an update [parts]
    contrast: Float32Array  #: of every hop that ended in it: mean power [hops, oscillators]
    #: Up to the end of each of these, how many of ``features``; 0 if it ended in silence [hops].
    described: NDArray[np.int_]
    bad: int  #: samples that were not finite


class BankStretch(BankStream):
    """A :class:`~resonance.dsp.stream.BankStream` fed with :meth:`analyse` and :meth:`play`.

    Both go over the same sound, one after the other. A second set of states plays, since what
    listens is far ahead by then.
    """

    def reset(self) -> None:
        """Back to rest."""
        super().reset()
        self._synth = self._at_rest()
        self._listening_rest = Rest(self.samplerate, self._pause_samples)

    def analyse(self, sound: Float32Array) -> Analysis:
        """Listen to ``sound [samples]``, any length."""
        count, pieces = self.oscillators, self._pieces(len(sound))
        parts = sum(piece.ends_part for piece in pieces)
        energy, contrast = np.zeros((2, self._parts + parts, count), np.float32)
        ends = np.zeros((2, self._parts + 1 + parts, count), np.float32)
        energy[: self._parts] = self._energy[:, :count]
        contrast[: self._parts] = self._contrast
        ends[:, : self._parts + 1] = self._ends
        heard = np.empty(parts, np.bool_)
        after = self._part + 1 + np.arange(parts)
        ended, updated = after % self._parts == 0, after % self._update_parts == 0
        rest, bad, part = self._listening_rest, 0, 0
        for start, stop, ends_part in pieces:
            block, now = sound[start:stop], self._parts - 1 + part
            block = block[rest.skip(block) :]
            sums = energy[now], *self._contrasts, contrast[now]
            bad += listen(block, *self._poles, *self._z, *sums)
            if ends_part:
                heard[part] = not rest.paused
                ends[:, now + 1] = self._heard
                if ended[part] and rest.end_hop():
                    for state in self._z:
                        state[:] = 0.0
                part += 1
        self._energy[:, :count], self._contrast[:] = energy[parts:], contrast[parts:]
        self._ends[:] = ends[:, parts:]
        lengths = lengths_up_to(self._part, parts, self._parts, self._hop)
        features = self._described(energy[:-1], contrast[:-1], lengths, ends[:, :-1], updated)
        sums, samples = (
            np.stack([x[p : p + parts][ended] for p in range(self._parts)]).sum(0)
            for x in (contrast, lengths)
        )
        contrasts = sums[:, self._pairs] / samples[:, None].astype(np.float32)
        described = (np.cumsum(heard) * heard)[ended]
        return Analysis(features[heard], updated[heard], contrasts, described, int(bad))

    def play(self, sound: Float32Array, gains: NDArray[np.complex64], out: Float32Array) -> None:
        """Play the stretch just listened to into ``out [samples]``.

        Parameters
        ----------
        sound
            The stretch [samples].
        gains
            Complex, those until now, and those found from the features of each part that was
            described [1 + parts, oscillators].
        out
            Where the output goes [samples].
        """
        chosen = iter(gains)
        last = next(chosen)
        for start, stop, ends_part in self._pieces(len(sound)):
            block, target = sound[start:stop], out[start:stop]
            skipped = self._rest.skip(block)
            self._pass_over(target[:skipped])
            self._play_late(block[skipped:], target[skipped:])
            if ends_part and self.resting:
                self._begin_part()
            elif ends_part:
                ended_hop = self.ends_hop
                self._begin_part()
                last = last if self.paused else next(chosen)
                self._move_to(last)
                if ended_hop and self._rest.end_hop():
                    self._come_to_rest(last)

    def _pieces(self, samples: int) -> list[Piece]:
        """The stretch cut where parts of hops end."""
        pieces, part, start = [], self._part, 0
        stop = self.samples_left
        while stop <= samples:
            pieces.append(Piece(start, stop, True))
            part, start = part + 1, stop
            stop = start + self._edge(part + 1) - self._edge(part)
        if start < samples:
            pieces.append(Piece(start, samples, False))
        return pieces
