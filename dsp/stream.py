"""A bank of oscillators at work on one channel: states, weights, hops and their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import ComplexArray, OscillatorBank, hz_to_erb, wing_bank
from resonance.dsp.contrast import neighbour_weights, pair_of
from resonance.dsp.features import FEATURE_NAMES
from resonance.dsp.flow import flow
from resonance.dsp.hop_kernels import (
    STAND_IN_FALL_DB,
    STAND_IN_MOST_DB,
    describe,
    lead,
    pass_on,
)
from resonance.dsp.identity import identity_and_span, onset_shares, translation, unit_peak
from resonance.dsp.kernels import advance, listen
from resonance.dsp.packing import Packed, pack
from resonance.dsp.parts import edge, edges_ahead, lengths_up_to
from resonance.dsp.rest import Rest
from resonance.dsp.rewinding import Rewinding

if TYPE_CHECKING:
    from resonance.dsp.controller import Controller

#: The part of the trained band whose gain the wing oscillators share, as fractions of its top.
WING_REFERENCE = (0.7, 0.92)
#: How long a peak beyond full scale is remembered, and how fast a reduced level recovers, s.
GUARD_HOLD_S, GUARD_RELEASE_S = 0.5, 0.3
#: How many of the highest awake oscillators stand in for those that rest.
STAND_INS = 4
#: What is compared by the states that play late, and what runs backwards without look-ahead.
NOTHING = np.zeros(0, np.float32)
#: False and True for one part.
WHETHER = np.array([False]), np.array([True])


class BankStream:
    """Oscillators driven by one channel of sound, part by part of its hops, at any samplerate.

    The owner feeds blocks that never cross a part's end (:attr:`samples_left` says how much is
    left), at the end of each part reads :meth:`features`, at the end of each hop
    (:attr:`ends_hop`) perhaps :meth:`power`, and calls :meth:`next_part` with the new gains.

    Parameters
    ----------
    bank
        The model's oscillators [oscillators].
    samplerate
        Of the sound, Hz.
    hop_s
        Time that features tell about, s.
    carriers
        Which oscillators carry the unchanged sound [oscillators]: their weight is their
        identity weight times their gain. The others are silent at a gain of 1. None: the
        stream only listens.
    ramp_s
        Time over which new weights replace the old ones, s, at most a part.
    lookahead_s
        How much later than it listens the bank plays, s: the states that play are driven by the
        sound of that long ago, and a third set runs backwards in time through what is known of its
        future, so that the two together turn no phases. At least a part. 0: nothing is late.
    parts
        Of a hop: with each, gains may change, and the states that run backwards start anew.
    updates
        Of a hop, divides ``parts``: with each (:attr:`ends_update`), features also tell about the
        oscillators that do not carry sound.

    Raises
    ------
    ValueError
        If the look-ahead is shorter than a part, or ``parts`` no multiple of ``updates``.
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
        parts: int = 1,
        updates: int = 1,
    ) -> None:
        if parts % updates:
            raise ValueError(f"{parts} parts are no multiple of {updates} updates")
        self.samplerate = samplerate
        self._parts, self._update_parts = parts, parts // updates
        self.latency_samples = round(lookahead_s * samplerate)
        self.oscillators = len(bank)
        self._hop = hop_s * samplerate
        self._pause_samples = math.ceil(self._hop / updates)
        self._part_lengths = _near(self._hop / parts)
        self._ramp = max(1, round(ramp_s * samplerate))
        if 0 < self.latency_samples < math.ceil(self._hop / parts):
            raise ValueError(
                f"a look-ahead of {lookahead_s} s is shorter than a part of a hop, "
                f"{hop_s / parts} s"
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
        poles = np.append(poles, 0.0)  # the tap: an oscillator without memory
        self._poles = _planes(poles)
        self._rewinding = Rewinding(poles, self.latency_samples, self._part_lengths)
        resting = ~awake[: self.oscillators]
        by_height = np.flatnonzero(~resting)[np.argsort(bank.damped_hz[~resting])]
        self._highest = by_height[-STAND_INS:] if resting.any() else by_height[:0]
        erb = hz_to_erb(bank.f0_hz)
        above = (erb - erb[~resting].max(initial=0.0)).clip(min=0.0)
        fall_db = np.minimum(STAND_IN_FALL_DB * above, STAND_IN_MOST_DB)
        self._fall = (10 ** (-fall_db / 10)).astype(np.float32)
        hold, release = (-1 / (t * samplerate) for t in (GUARD_HOLD_S, GUARD_RELEASE_S))
        self._guard = np.float32(np.exp(hold)), np.float32(-np.expm1(release))
        groups = np.zeros(len(bank), dtype=bool) if carriers is None else carriers
        self._moving = int(np.flatnonzero(groups).max(initial=-1)) + 1
        self._contrasts = _contrast_weights(bank, groups, samplerate)
        self._pairs = pair_of(groups, awake[: self.oscillators]).astype(np.int64)
        wholes = int(self._hop) - 1, *_near(self._hop)  # half samples round to even
        #: exp(iω_d t) of a hop's and a part's time, by their lengths [3, 2, 2, oscillators].
        self._turns = np.array(
            [
                [[self._turn(bank, whole), self._turn(bank, part)] for part in self._part_lengths]
                for whole in wholes
            ]
        )
        self.reset()

    def _prepare_weights(
        self, bank: OscillatorBank, full: OscillatorBank, carriers: NDArray[np.bool_]
    ) -> None:
        count, two_sided = len(bank), self.latency_samples > 0
        carrying = np.concatenate([carriers, np.ones(len(full) - count, dtype=bool)])
        shared = identity_and_span(full, carrying, self.samplerate, count, two_sided=two_sided)
        tap = np.zeros(1, np.complex64)
        self._identity, span = (np.concatenate([x, tap]) for x in shared)
        translated = translation(bank, carriers, self.samplerate, two_sided=two_sided)
        onset = onset_shares(bank, self.samplerate, two_sided=two_sided)
        at_once = onset.astype(np.complex64)
        self._identity[-1] = (at_once * self._identity[:count]).sum().real
        top_hz = bank.f0_hz[carriers].max()
        probes_hz = np.linspace(*WING_REFERENCE, 8) * top_hz
        above, below = (
            full.transfer_function(hz, self.samplerate)[:, :count] + onset
            for hz in (probes_hz, -probes_hz)
        )
        # above w + (below w)*, real part and imaginary part, from those of w
        real = np.stack([(above + below).real, -(above + below).imag], 1)
        imaginary = np.stack([(above - below).imag, (above - below).real], 1)
        probes = np.concatenate([real, imaginary]).astype(np.float32)
        wire = np.stack([self._identity.real, self._identity.imag])[:, :count]
        level = np.float32(np.linalg.norm((probes * wire).sum((1, 2))))
        #: From gains to weights, as :func:`lead` takes it; compiled code wants it writable.
        self._to_weights = translated.copy(), self._identity, span, at_once, probes, level

    def _turn(self, bank: OscillatorBank, length: int) -> NDArray[np.complex64]:
        """exp(iω_d n / samplerate) for n = ``length`` samples [oscillators]."""
        angle = 2 * np.pi * bank.damped_hz * length / self.samplerate
        return np.asarray(np.exp(1j * angle), np.complex64)

    def reset(self) -> None:
        """Back to rest: no input, all gains 1."""
        count, parts = self.oscillators, self._parts
        self._packed: Packed | None = None
        #: z of the oscillators that listen, and of those that play: the same without look-ahead.
        self._z = self._at_rest()
        self._heard = self._z[0][:count], self._z[1][:count]
        self._synth = self._at_rest() if self.latency_samples else self._z
        #: Sums over the last parts of a hop, the present one last, and z before and after each.
        self._energy = np.zeros((parts, len(self._poles[0])), np.float32)
        self._contrast = np.zeros((parts, count), np.float32)
        self._unused = np.zeros_like(self._energy[0])
        self._ends = np.zeros((2, parts + 1, self.oscillators), np.float32)
        self._guarded = np.ones(2, np.float32)
        late, longest = self.latency_samples, math.ceil(self._hop / parts)
        #: What came and has not been played yet, oldest first, and room for what comes in a part.
        self._line = np.zeros(late + longest, np.float32)
        self._waiting = self._line[:late]
        self._rewinding.reset()
        self._rewound = np.zeros(longest, np.float32) if late else NOTHING
        self._rest = Rest(self.samplerate, self._pause_samples)
        self._held: NDArray[np.complex64] | None = None
        self._rested = 0  #: parts at rest so far
        self._part = 0
        self._position = 0
        self._length = self._edge(1)
        if self._plays:
            re, im = _planes(self._identity)
            #: Where a part's weights begin, and how far they go, real and imaginary each.
            self._weights = re, im, np.zeros_like(re), np.zeros_like(im)

    def _at_rest(self) -> tuple[Float32Array, Float32Array]:
        re, im = (np.zeros_like(pole) for pole in self._poles)
        return re, im

    def _edge(self, part: int) -> int:
        """Sample at which a part begins."""
        return int(edge.py_func(part, self._parts, self._hop))

    @property
    def samples_left(self) -> int:
        """Samples until this part ends; 0 means: read, then :meth:`next_part`."""
        return self._length - self._position

    @property
    def hop_left(self) -> int:
        """Samples until the hop of this part ends, or of the next one, where this one is over."""
        part = self._part + (self._position == self._length)
        end = self._edge(part // self._parts * self._parts + self._parts)
        return end - self._edge(self._part) - self._position

    @property
    def ends_hop(self) -> bool:
        """Whether this part is the last of its hop."""
        return (self._part + 1) % self._parts == 0

    @property
    def ends_update(self) -> bool:
        """Whether this part is the last one of an update."""
        return (self._part + 1) % self._update_parts == 0

    @property
    def resting(self) -> bool:
        """Whether this part has been digital silence so far, after a second of it, and skipped."""
        return self._rest.resting

    @property
    def paused(self) -> bool:
        """Whether an update's time or more, up to now, was digital silence after a sound.

        Nothing is there to hear then: a controller that takes it in gets used to silence, and lets
        noise through when it is back.
        """
        return self._rest.paused

    @property
    def rests_next(self) -> bool:
        """Whether the next hop is begun at rest, unless sound comes."""
        return self._rest.resting or self._rest.due

    def listen(self, block: Float32Array) -> int:
        """Drive the oscillators with ``block [samples]``; returns how many were not finite.

        After a second of digital silence nothing is computed until it ends.
        """
        skipped = self._rest.skip(block)
        self._position += len(block)
        return self._hear(block[skipped:]) if skipped < len(block) else 0

    def _hear(self, block: Float32Array) -> int:
        energy, contrast = self._energy[-1, : self.oscillators], self._contrast[-1]
        return int(listen(block, *self._poles, *self._z, energy, *self._contrasts, contrast))

    def advance(self, block: Float32Array, out: Float32Array) -> int:
        """From ``block`` into ``out``, both [samples]; returns how many inputs were not finite.

        The output stays within full scale if the input did. After a second of digital silence
        nothing is computed until it ends.
        """
        skipped = self._rest.skip(block)
        if skipped:
            self._pass_over(out[:skipped])
            block, out = block[skipped:], out[skipped:]
            if not len(block):
                return 0
        if not self.latency_samples:
            return self._play(block, out, self._energy[-1], self._contrasts, self._contrast[-1])
        bad = self._hear(block)
        self._play_late(block, out)
        return bad

    def flow(
        self, controller: Controller, block: Float32Array, out: Float32Array, kept: np.float32
    ) -> int:
        """:meth:`advance`, and go on with new gains from part to part, all in one compiled call.

        Gains stay as they are after parts that end :attr:`paused`.
        Not while :attr:`resting`. At the end of a hop its last gains are found. The next call
        begins the next hop with them, unless the owner does by :meth:`next_part`, as it must where
        :attr:`rests_next`.

        Parameters
        ----------
        controller
            Of the denoiser; its gains are renewed with each part that ends.
        block, out
            Input and output [samples], :attr:`hop_left` at most.
        kept
            Share of the input that no gain removes.

        Returns
        -------
        int
            Inputs that were not finite.
        """
        if self._packed is None:
            self._packed = self._pack()
        rest = self._rest
        self._part, self._position, self._length, rest.silent_samples, bad = flow(
            block,
            out,
            self._part,
            self._position,
            rest.silent_samples,
            kept,
            self._packed,
            controller.packed,
        )
        return int(bad)

    def _pack(self) -> Packed:
        """All that :func:`resonance.dsp.flow.flow` works on."""
        shortest = self._part_lengths[0], int(self._hop) - 1
        cut = self._parts, self._update_parts, self._hop, self._ramp, self.latency_samples
        listening = self._poles, self._z, self._energy, self._contrast, tuple(self._contrasts)
        guarding = self._guarded, *self._guard
        playing = self._synth, self._weights, self._rewound, guarding, self._unused, self._line
        looks = self._drive, self._pairs, self._highest, self._fall
        features = np.zeros((1, 2, self.oscillators, len(FEATURE_NAMES)), np.float32)
        analysis = tuple(self._ends), looks, self._turns, features
        groups = listening, playing, analysis, self._to_weights, self._rewinding.given
        form = *cut, *shortest, self._moving, self._pause_samples
        packed = pack((form, *(pack(group) for group in groups)))
        return cast("Packed", packed)

    @property
    def dozing(self) -> bool:
        """Whether a whole hop was at rest: nothing is left of the last sound."""
        return self.resting and self._rested >= self._parts

    def doze(self, silence: int) -> int:
        """While :attr:`dozing`, pass over silence, parts and all, to the end of the hop at most.

        Parameters
        ----------
        silence
            Samples of it that come next.

        Returns
        -------
        int
            How many were passed over.
        """
        passed = min(silence, self.hop_left)
        self._position += passed
        while self._position >= self._length and not self.ends_hop:
            self._position -= self._length
            self._part += 1
            self._length = self._edge(self._part + 1) - self._edge(self._part)
        return passed

    def _pass_over(self, out: Float32Array) -> None:
        """Silence at rest: nothing rings, and what runs backwards has nothing to run through."""
        out[:] = 0.0
        self._position += len(out)

    def _play_late(self, block: Float32Array, out: Float32Array) -> None:
        """Play what came before ``block`` by the look-ahead."""
        late, count = self.latency_samples, len(block)
        self._line[late : late + count] = block
        self._play(self._line[:count], out, self._unused, (NOTHING,) * 4, NOTHING)
        self._waiting[:] = self._line[count : late + count]

    def _play(
        self,
        sound: Float32Array,
        out: Float32Array,
        energy: Float32Array,
        contrasts: Sequence[Float32Array],
        contrast: Float32Array,
    ) -> int:
        """Drive the oscillators that play; what they hear is added to the last arguments."""
        bad = advance(
            sound,
            *self._poles,
            *self._synth,
            energy,
            *contrasts,
            contrast,
            *self._weights,
            self._position,
            min(self._ramp, self._length),
            self._rewound,
            self._guarded,
            *self._guard,
            out,
        )
        self._position += len(sound)
        return int(bad)

    def _rewind(self) -> None:
        """Run backwards through the look-ahead for this part."""
        self._rewinding.play(
            self._waiting,
            edges_ahead(self._part, self._parts, self._hop, self.latency_samples),
            self._weights,
            min(self._ramp, self._length),
            self._rewound[: self._length],
        )

    def power(self) -> Float32Array:
        """Mean power of each oscillator in the time of a hop, at unit peak gain [oscillators]."""
        energy = self._energy[:, : self.oscillators].sum(0)
        return np.asarray(energy * (self._drive**2 / np.float32(self._hop_samples())))

    def contrast(self) -> Float32Array:
        """Mean power of the difference to the next oscillator in that time [oscillators]."""
        return np.asarray(self._contrast.sum(0)[self._pairs] / np.float32(self._hop_samples()))

    def _hop_samples(self) -> int:
        """Samples of the hop's time that ends with this part."""
        return self._edge(self._part + 1) - self._edge(self._part + 1 - self._parts)

    def states(self) -> tuple[Float32Array, Float32Array]:
        """Real and imaginary part of z now, at unit peak gain, each [oscillators]."""
        re, im = self._heard
        return re * self._drive, im * self._drive

    def features(self) -> Float32Array:
        """Features (see ``dsp/features.py``) at the end of a part [2, oscillators, 4].

        Of the time of a hop, and of the part alone; of oscillators that do not carry sound only
        where an update ends. Oscillators that rest read what the top of a narrow band
        would give them from afar: networks have met such sound, but no silence above it.
        """
        self._ends[0, -1], self._ends[1, -1] = self._heard
        lengths = lengths_up_to(self._part, 1, self._parts, self._hop)
        ended = WHETHER[self.ends_update]
        features = self._described(self._energy, self._contrast, lengths, self._ends, ended)
        return np.asarray(features[0])

    def _described(
        self,
        energy: Float32Array,
        contrast: Float32Array,
        lengths: NDArray[np.int64],
        ends: Float32Array,
        ended: NDArray[np.bool_],
    ) -> Float32Array:
        """Features [parts, 2, oscillators, 4]; see :func:`resonance.dsp.hop_kernels.describe`."""
        parts = len(ended)
        shape = parts, 2, self.oscillators, len(FEATURE_NAMES)
        features: Float32Array = np.zeros(shape, np.float32)
        if not parts:
            return features
        wholes = np.convolve(lengths, np.ones(self._parts, np.int64), "valid")
        last = lengths[self._parts - 1 :]
        turns = self._turns[wholes - int(self._hop) + 1, last - self._part_lengths[0]]
        describe(
            energy,
            contrast,
            lengths,
            ends[0],
            ends[1],
            self._drive,
            self._pairs,
            self._highest,
            self._fall,
            turns,
            ended,
            self._moving,
            features,
        )
        return features

    def next_part(self, gains: NDArray[np.complex64] | None = None) -> None:
        """Begin the next part; move to these complex gains [oscillators] in it, or stay."""
        ended_hop, resting = self.ends_hop, self.resting
        if not self.dozing:
            pass_on(self._energy, self._contrast, *self._ends, *self._z)
        self._begin_part()
        if resting:
            self._rested += 1
            if gains is not None:
                self.hold(gains)
            return
        self._rested = 0
        if self._plays:
            self._move_to(gains)
        if ended_hop and self._rest.end_hop():
            for state in self._z:
                state[:] = 0.0
            if self._plays:
                self._come_to_rest(gains)

    def hold(self, gains: NDArray[np.complex64]) -> None:
        """At rest: play with these complex gains [oscillators] when sound comes."""
        held = self._held
        if held is not gains and (held is None or not np.array_equal(gains, held)):
            self._lead_to(gains)
            self._arrive()
        self._held = gains

    def _come_to_rest(self, gains: NDArray[np.complex64] | None) -> None:
        """What plays is silent from now on, its weights where these gains were leading."""
        self._arrive()
        self._held = gains
        for state in (*self._synth, self._rewound):
            state[:] = 0.0
        self._guarded[:] = 1.0
        self._waiting[:] = 0.0
        self._rewinding.reset()

    def _begin_part(self) -> None:
        self._unused[:] = 0.0
        self._part += 1
        self._length = self._edge(self._part + 1) - self._edge(self._part)
        self._position = 0

    def _move_to(self, gains: NDArray[np.complex64] | None) -> None:
        """Be on the way to these gains' weights in the part that begins, or stay."""
        if gains is None:
            self._arrive()
        else:
            self._lead_to(gains)
        if self.latency_samples:
            self._rewind()

    def _arrive(self) -> None:
        """Stay where the weights were going."""
        old_re, old_im, step_re, step_im = self._weights
        for old, step in ((old_re, step_re), (old_im, step_im)):
            old += step
            step[:] = 0.0

    def _lead_to(self, gains: NDArray[np.complex64]) -> None:
        """Go on to the weights for gains [oscillators]."""
        lead(gains, *self._to_weights, *self._weights)


def _near(samples: float) -> tuple[int, int]:
    """Both lengths that a stretch of so many samples can have."""
    return int(samples), int(samples) + 1


def _planes(values: ComplexArray) -> tuple[Float32Array, Float32Array]:
    """Real and imaginary parts."""
    re, im = (np.ascontiguousarray(part, np.float32) for part in (values.real, values.imag))
    return re, im


def _contrast_weights(
    bank: OscillatorBank, carriers: NDArray[np.bool_], samplerate: float
) -> list[Float32Array]:
    """Real and imaginary parts of ``resonance.dsp.contrast.neighbour_weights``, and of no more.

    One for each oscillator [oscillators]: the last has none to be compared with.
    """
    weights = neighbour_weights(bank, carriers, samplerate)
    return [plane for each in weights for plane in _planes(np.append(each, 0.0))]
