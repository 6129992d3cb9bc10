"""A bank of oscillators at work on one channel: states, weights and hops."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import OscillatorBank, hz_to_erb, wing_bank
from resonance.dsp.contrast import neighbour_weights, pair_of
from resonance.dsp.delay import DelayLine
from resonance.dsp.features import FEATURE_NAMES
from resonance.dsp.hop_kernels import describe, weigh
from resonance.dsp.identity import identity_and_span, onset_shares, unit_peak
from resonance.dsp.kernels import advance, guard, listen, rewind
from resonance.dsp.rest import Rest

#: The part of the trained band whose gain the wing oscillators share, as fractions of its top.
WING_REFERENCE = (0.7, 0.92)
#: How long a peak beyond full scale is remembered, and how fast a reduced level recovers, s.
GUARD_HOLD_S, GUARD_RELEASE_S = 0.5, 0.3
#: How many of the highest awake oscillators stand in for those that rest, how their power counts
#: there, and how their contrast falls, dB per ERB and at most: as for sound of a narrow band.
STAND_INS = 4
STAND_IN_POWER = 0.3
STAND_IN_FALL_DB, STAND_IN_MOST_DB = 3.0, 23.0
#: What a bank that plays late listens to with its playing states: nothing.
NO_CONTRASTS = [np.zeros(0, np.float32)] * 4


class BankStream:
    """Oscillators driven by one channel of sound, hop by hop, at any samplerate.

    The owner feeds blocks that never cross a hop's end (:attr:`samples_left` says how much is
    left), at the end of each hop reads :meth:`power` or :meth:`features`, and calls
    :meth:`next_hop` with the new gains.

    Parameters
    ----------
    bank
        The model's oscillators [oscillators].
    samplerate
        Of the sound, Hz.
    hop_s
        Period of the gains, s.
    carriers
        Which oscillators carry the unchanged sound [oscillators]: their weight is their
        identity weight times their gain. The others are silent at a gain of 1. None: the
        stream only listens.
    ramp_s
        Time over which new weights replace the old ones, s, at most ``hop_s``.
    lookahead_s
        How much later than it listens the bank plays, s: a second set of states is driven by the
        sound of that long ago, and a third runs backwards in time through what is known of its
        future, so that the two together turn no phases. At least ``hop_s / rewinds``. 0: the
        states that listen also play, and nothing is late.
    rewinds
        How many times per hop the states that run backwards start anew, with what has become
        known since.

    Raises
    ------
    ValueError
        If the look-ahead is shorter than ``hop_s / rewinds``.
    """

    def __init__(
        self,
        bank: OscillatorBank,
        samplerate: float,
        hop_s: float,
        *,
        carriers: NDArray[np.bool_] | None = None,
        ramp_s: float = 0.0,
        lookahead_s: float = 0.0,
        rewinds: int = 1,
    ) -> None:
        self.samplerate = samplerate
        self._rewinds = rewinds if lookahead_s else 1
        self.latency_samples = round(lookahead_s * samplerate)
        self.oscillators = len(bank)
        self._hop = hop_s * samplerate
        self._ramp = max(1, round(ramp_s * samplerate))
        if 0 < self.latency_samples < math.ceil(self._hop / self._rewinds):
            raise ValueError(
                f"a look-ahead of {lookahead_s} s is shorter than a part of a hop, "
                f"{hop_s / self._rewinds} s"
            )
        self._plays = carriers is not None
        full = bank
        if carriers is not None:
            wings = wing_bank(float(bank.f0_hz.max()), samplerate)
            full = bank if wings is None else bank.joined(wings)
            self._prepare_weights(bank, full, carriers)
        awake = full.awake(samplerate)
        poles = np.where(awake, full.poles(samplerate), 0.0)
        drive = np.where(awake, unit_peak(poles), 0.0)
        self._drive = drive[: self.oscillators].astype(np.float32)
        if carriers is not None:
            poles = np.append(poles, 0.0)  # the tap: an oscillator without memory
        self._pole_re = np.ascontiguousarray(poles.real, dtype=np.float32)
        self._pole_im = np.ascontiguousarray(poles.imag, dtype=np.float32)
        resting = ~awake[: self.oscillators]
        self._resting = np.flatnonzero(resting)
        self._highest = np.flatnonzero(~resting)[np.argsort(bank.damped_hz[~resting])][-STAND_INS:]
        erb = hz_to_erb(bank.f0_hz)
        above = (erb[resting] - erb[~resting].max(initial=0.0)).clip(min=0.0)
        fall_db = np.minimum(STAND_IN_FALL_DB * above, STAND_IN_MOST_DB)
        self._fall = (10 ** (-fall_db / 10)).astype(np.float32)
        hold, release = (-1 / (t * samplerate) for t in (GUARD_HOLD_S, GUARD_RELEASE_S))
        self._guard = np.float32(np.exp(hold)), np.float32(-np.expm1(release))
        groups = np.zeros(len(bank), dtype=bool) if carriers is None else carriers
        self._contrasts = _contrast_weights(bank, groups, samplerate)
        self._pairs = pair_of(groups, awake[: self.oscillators])
        self._turns = _turn_table(bank, samplerate, self._hop)
        self.reset()

    def _prepare_weights(
        self, bank: OscillatorBank, full: OscillatorBank, carriers: NDArray[np.bool_]
    ) -> None:
        count, two_sided = len(bank), self.latency_samples > 0
        carrying = np.concatenate([carriers, np.ones(len(full) - count, dtype=bool)])
        shared = identity_and_span(full, carrying, self.samplerate, count, two_sided=two_sided)
        tap = np.zeros(1, np.complex64)
        self._identity, self._span = (np.concatenate([x, tap]) for x in shared)
        onset = onset_shares(bank, self.samplerate, two_sided=two_sided)
        self._onset = onset.astype(np.complex64)
        self._identity[-1] = (self._onset * self._identity[:count]).sum().real
        top_hz = bank.f0_hz[carriers].max()
        probes_hz = np.linspace(*WING_REFERENCE, 8) * top_hz
        above, below = (
            full.transfer_function(hz, self.samplerate)[:, :count] + onset
            for hz in (probes_hz, -probes_hz)
        )
        # above w + (below w)*, real part and imaginary part, from those of w
        real = np.stack([(above + below).real, -(above + below).imag], 1)
        imaginary = np.stack([(above - below).imag, (above - below).real], 1)
        self._probes = np.concatenate([real, imaginary]).astype(np.float32)
        wire = np.stack([self._identity.real, self._identity.imag])[:, :count]
        self._wire = np.float32(np.linalg.norm((self._probes * wire).sum((1, 2))))

    def reset(self) -> None:
        """Back to rest: no input, all gains 1."""
        total = len(self._pole_re)
        self._z_re, self._z_im, self._energy = (np.zeros(total, np.float32) for _ in range(3))
        self._before_re, self._before_im = (np.zeros(self.oscillators, np.float32) for _ in "zi")
        self._synth_re, self._synth_im = self._z_re, self._z_im
        if self.latency_samples:
            self._synth_re, self._synth_im = (
                np.zeros_like(self._z_re),
                np.zeros_like(self._z_im),
            )
        self._contrast = np.zeros(self.oscillators, np.float32)
        self._guarded = np.ones(2, np.float32)
        self._unused = np.zeros(total, np.float32)
        self._late = DelayLine(self.latency_samples)
        self._rewound = np.zeros(math.ceil(self._hop), np.float32)
        self._back_re, self._back_im = (np.zeros(total, np.float32) for _ in "zi")
        self._rest = Rest(self.samplerate)
        self._held: NDArray[np.complex64] | None = None
        self._hops = 0
        self._part = 0
        self._position = 0
        self._length = round(self._hop)
        if self._plays:
            self._old_re = np.ascontiguousarray(self._identity.real)
            self._old_im = np.ascontiguousarray(self._identity.imag)
            self._step_re, self._step_im = np.zeros_like(self._old_re), np.zeros_like(self._old_im)

    @property
    def samples_left(self) -> int:
        """Samples until this hop ends; 0 means: read, then :meth:`next_hop`."""
        return self._length - self._position

    @property
    def resting(self) -> bool:
        """Whether this hop has been digital silence so far, after a second of it, and skipped."""
        return self._rest.resting

    def listen(self, block: Float32Array) -> int:
        """Drive the oscillators with ``block [samples]``; returns how many were not finite."""
        bad = listen(
            block,
            self._pole_re,
            self._pole_im,
            self._z_re,
            self._z_im,
            self._energy,
            *self._contrasts,
            self._contrast,
        )
        self._position += len(block)
        return int(bad)

    def advance(self, block: Float32Array, out: Float32Array) -> int:
        """From ``block`` into ``out``, both [samples]; returns how many inputs were not finite.

        The output stays within full scale if the input did. After a second of digital silence
        nothing is computed until it ends.
        """
        skipped = self._rest.skip(block)
        self._pass_over(out[:skipped])
        block, out = block[skipped:], out[skipped:]
        if not len(block):
            return 0
        if not self.latency_samples:
            return self._play(block, out, self._energy, self._contrasts)
        count = self.oscillators
        listen(
            block,
            self._pole_re[:count],
            self._pole_im[:count],
            self._z_re[:count],
            self._z_im[:count],
            self._energy[:count],
            *self._contrasts,
            self._contrast,
        )
        return self._play_late(block, out)

    def _pass_over(self, out: Float32Array) -> None:
        """Silence at rest: nothing rings, and what runs backwards has nothing to run through."""
        out[:] = 0.0
        self._position += len(out)
        while len(out) and self._edge(self._part + 1) <= self._position < self._length:
            self._part += 1

    def _play_late(self, block: Float32Array, out: Float32Array) -> int:
        """Play what came before ``block`` by the look-ahead; rewind anew where that is due."""
        bad, start = 0, 0
        while start < len(out):
            due = self._edge(self._part + 1)
            stop = min(len(out), start + due - self._position)
            late = self._late.delay(block[start:stop])
            bad += self._play(late, out[start:stop], self._unused, NO_CONTRASTS)
            if self._position == due < self._length:
                self._part += 1
                self._rewind(self._old_re + self._step_re, self._old_im + self._step_im)
            start = stop
        return bad

    def _edge(self, part: int) -> int:
        """Sample of this hop at which a part begins; the backward oscillators start with each."""
        return round((self._hops + part / self._rewinds) * self._hop) - round(
            self._hops * self._hop
        )

    def _rewind(self, *weights: Float32Array) -> None:
        """Run backwards through the look-ahead for this part of the hop.

        ``weights`` are real and imaginary parts, followed by their steps if they move.
        """
        first, last = self._edge(self._part), self._edge(self._part + 1)
        still = (np.zeros_like(self._old_re),) * 2 if len(weights) == 2 else ()
        rewind(
            self._late.waiting,
            self._pole_re,
            self._pole_im,
            self._back_re,
            self._back_im,
            *weights,
            *still,
            min(self._ramp, last - first),
            self._rewound[first:last],
        )

    def _play(
        self,
        sound: Float32Array,
        out: Float32Array,
        energy: Float32Array,
        contrasts: list[Float32Array],
    ) -> int:
        """Drive the oscillators that play with ``sound``; their energy is added to ``energy``."""
        bad = advance(
            sound,
            self._pole_re,
            self._pole_im,
            self._synth_re,
            self._synth_im,
            energy,
            *contrasts,
            self._contrast,
            self._old_re,
            self._old_im,
            self._step_re,
            self._step_im,
            self._position,
            min(self._ramp, self._length),
            out,
        )
        if self.latency_samples:
            out += self._rewound[self._position : self._position + len(out)]
        guard(sound, out, self._guarded, *self._guard)
        self._position += len(sound)
        return int(bad)

    def power(self) -> Float32Array:
        """Mean power of each oscillator in this hop, at unit peak gain [oscillators]."""
        return self._energy[: self.oscillators] * (self._drive**2 / np.float32(self._length))

    def contrast(self) -> Float32Array:
        """Mean power of the difference to the next oscillator in this hop [oscillators]."""
        return self._contrast[self._pairs] / np.float32(self._length)

    def states(self) -> tuple[Float32Array, Float32Array]:
        """Real and imaginary part of z now, at unit peak gain, each [oscillators]."""
        count = self.oscillators
        return self._z_re[:count] * self._drive, self._z_im[:count] * self._drive

    def features(self) -> Float32Array:
        """Features of the hop just ended [oscillators, 4] (see ``dsp/features.py``).

        Oscillators that rest read what the top of a narrow band would give them from afar:
        networks have met such sound, but no silence above it.
        """
        re, im = (part[None] for part in self.states())
        features = self._describe(
            self.power()[None],
            self.contrast()[None],
            re,
            im,
            self._before_re[None],
            self._before_im[None],
            self._turns[self._length][None],
        )
        return np.asarray(features[0])

    def _describe(
        self,
        power: Float32Array,
        contrast: Float32Array,
        re: Float32Array,
        im: Float32Array,
        before_re: Float32Array,
        before_im: Float32Array,
        turn: NDArray[np.complex64],
    ) -> Float32Array:
        """Features of hops [hops, oscillators, 4]; changes power and contrast."""
        if len(self._resting):
            for level, share in ((power, np.float32(STAND_IN_POWER)), (contrast, self._fall)):
                top = level[..., self._highest].mean(-1, keepdims=True)
                level[..., self._resting] = share * top
        features: Float32Array = np.empty((*power.shape, len(FEATURE_NAMES)), np.float32)
        describe(power, contrast, re, im, before_re, before_im, turn, features)
        return features

    def next_hop(self, gains: NDArray[np.complex64] | None = None) -> None:
        """Begin the next hop; move to these complex gains [oscillators] in it, or stay."""
        if self.resting:
            self._begin_silent_hop()
            if gains is not None:
                self.hold(gains)
            return
        self._before_re, self._before_im = self.states()
        self._energy[:] = 0.0
        self._contrast[:] = 0.0
        self._begin_hop()
        if not self._plays:
            return
        if gains is None:
            self._move_to(None)
        else:
            w_re, w_im = self._weights(gains[None])
            self._move_to((w_re[0], w_im[0]))
        if self._rest.end_hop():
            for state in (self._z_re, self._z_im, self._before_re, self._before_im):
                state[:] = 0.0
            self._come_to_rest(gains)

    def hold(self, gains: NDArray[np.complex64]) -> None:
        """At rest: play with these complex gains [oscillators] when sound comes."""
        if self._held is None or not np.array_equal(gains, self._held):
            w_re, w_im = self._weights(gains[None])
            self._old_re[:], self._old_im[:] = w_re[0], w_im[0]
            self._held = gains.copy()

    def _come_to_rest(self, gains: NDArray[np.complex64] | None) -> None:
        """What plays is silent from now on, its weights where these gains were leading."""
        self._move_to(None)
        self._held = None if gains is None else gains.copy()
        for state in (self._synth_re, self._synth_im, self._rewound):
            state[:] = 0.0
        self._guarded[:] = 1.0
        self._late.reset()

    def _begin_hop(self) -> None:
        self._unused[:] = 0.0
        self._hops += 1
        start = round(self._hops * self._hop)
        self._length = round((self._hops + 1) * self._hop) - start
        self._position = 0

    def _begin_silent_hop(self) -> None:
        self._begin_hop()
        self._part = 0

    def _move_to(self, weights: tuple[Float32Array, Float32Array] | None) -> None:
        """Be on the way to these weights (real, imaginary) in the hop that begins, or stay."""
        self._old_re += self._step_re
        self._old_im += self._step_im
        if weights is None:
            self._step_re[:] = 0.0
            self._step_im[:] = 0.0
        else:
            np.subtract(weights[0], self._old_re, out=self._step_re)
            np.subtract(weights[1], self._old_im, out=self._step_im)
        if self.latency_samples:
            self._part = 0
            self._rewind(self._old_re, self._old_im, self._step_re, self._step_im)

    def _weights(self, gains: NDArray[np.complex64]) -> tuple[Float32Array, Float32Array]:
        """Weights of all oscillators, wings and tap included, for gains [hops, oscillators]."""
        w_re, w_im = np.empty((2, len(gains), len(self._identity)), np.float32)
        weigh(gains, self._identity, self._span, self._onset, self._probes, self._wire, w_re, w_im)
        return w_re, w_im


def _turn_table(
    bank: OscillatorBank, samplerate: float, hop: float
) -> dict[int, NDArray[np.complex64]]:
    """exp(iω_d n / samplerate) for the two lengths n [samples] that a hop can have."""
    return {
        length: np.exp(2j * np.pi * bank.damped_hz * length / samplerate).astype(np.complex64)
        for length in {int(hop), int(hop) + 1}
    }


def _contrast_weights(
    bank: OscillatorBank, carriers: NDArray[np.bool_], samplerate: float
) -> list[Float32Array]:
    """Real and imaginary parts of ``resonance.dsp.contrast.neighbour_weights``."""
    return [
        np.ascontiguousarray(part, dtype=np.float32)
        for weights in neighbour_weights(bank, carriers, samplerate)
        for part in (weights.real, weights.imag)
    ]
