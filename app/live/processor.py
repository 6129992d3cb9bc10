"""Everything done with a block of live sound; no device, so it runs anywhere at any speed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.app.live.board import COUNTERS, Board
from resonance.app.pipeline import Pipeline
from resonance.app.spotter import KeywordEvent
from resonance.dsp.arrays import Float32Array
from resonance.dsp.delay import DelayLine
from resonance.dsp.howl import HowlGuard
from resonance.dsp.levels import levels
from resonance.dsp.stream import BankStream

#: How far behind is too far: this many blocks, about what devices hold, and at least so long, s.
BEHIND_BLOCKS, BEHIND_S = 2, 0.01
#: How long the dry sound plays when there is too much to do, s; doubled up to the second number
#: each time it was not enough.
DRY_S = 0.25, 4.0
#: How long the output is turned down when it howls, s, likewise; how far, and how fast; how fast
#: it comes back, and after a probe.
QUIET_S = 1.0, 8.0
QUIET_GAIN, QUIETER_S, LOUDER_S, PROBED_S = 0.03, 0.02, 1.0, 0.05
#: Silence at rest is put together to blocks of this length, s: each costs as much as a short one.
NAP_S = 0.1


class Processor:
    """Cleans block after block, watches over it, and fills a board.

    Parameters
    ----------
    pipeline
        Of one channel.
    board
        Where viewers look.
    guard_feedback
        Turn the output down when it howls.
    clock
        Seconds, for how long things take; another one in tests.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        board: Board,
        *,
        guard_feedback: bool = False,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.board, self.guard_feedback, self._clock = board, guard_feedback, clock
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.events: deque[KeywordEvent] = deque()  #: emptied by whoever passes them on
        self.error: Exception | None = None  #: the last one that came out of the pipeline
        self.idle = False  #: play silence and do nothing else
        self.last_block_s = time.monotonic()  #: when the last block came
        self._bad_before = self._unprocessed = 0
        self._samples, self._behind_s = 0, 0.0
        self._silent_blocks = self._silent_samples = 0  # put off
        self._input_power = self._output_power = 0.0  # mean squares of input, and output before
        self._dry = _Rest(*DRY_S)
        self._quiet = _Rest(*QUIET_S)
        self._gain, self._louder_s = 1.0, PROBED_S
        self._next: Pipeline | None = None
        self._take(pipeline)

    def _take(self, pipeline: Pipeline) -> None:
        self.pipeline, self.samplerate = pipeline, pipeline.samplerate
        pipeline.on_hop = self._on_hop
        self._late = DelayLine(pipeline.latency_samples)
        self._unprocessed = self._samples  # events count from this pipeline's first input
        self._steps = self._bad_before = 0
        assert pipeline.denoiser
        self._carriers = pipeline.denoiser.carriers
        self._howl = HowlGuard(pipeline.denoiser.hop_s)

    def exchange(self, pipeline: Pipeline) -> None:
        """Fade over to another pipeline, of the same samplerate, in the next block."""
        self._next = pipeline

    def adjust(self, limit_db: float | None, bypass: bool) -> None:
        """Limit and bypass from now on, also of a pipeline that still waits for its turn."""
        for pipeline in (self._next, self.pipeline):  # in this order: the next may become this one
            if pipeline:
                pipeline.limit_db, pipeline.bypass = limit_db, bypass

    def process(self, block: Float32Array, out: Float32Array) -> None:
        """One block, both [samples]; ``out`` is always filled, whatever happens."""
        self.last_block_s = time.monotonic()
        if self._at_rest() and not np.count_nonzero(block):
            out[:] = 0.0
            self._silent_blocks += 1
            self._silent_samples += len(block)
            if self._silent_samples >= NAP_S * self.samplerate:
                self._catch_up()
        else:
            self._catch_up()
            self._process(block, out)

    def _at_rest(self) -> bool:
        """Whether silence would change nothing."""
        busy = self._next or self.idle or self._dry.left_s > 0 or self._quiet.left_s > 0
        return self.pipeline.dozing and not busy and self._gain == 1.0

    def _catch_up(self) -> None:
        """Process the silence that was put off."""
        if not self._silent_samples:
            return
        silence = np.zeros(self._silent_samples, np.float32)
        self.counters["blocks"] += self._silent_blocks - 1  # this one counts by itself
        self._silent_blocks = self._silent_samples = 0
        self._process(silence, np.empty_like(silence))

    def _process(self, block: Float32Array, out: Float32Array) -> None:
        start = self._clock()
        seconds = len(block) / self.samplerate
        *input_range, self._input_power, bad = levels(block)
        clean = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0) if bad else block
        self._samples += len(block)
        dry = self._late.delay(clean)
        if self.idle:
            out[:] = 0.0
            self._unprocessed += len(block)
        else:
            self._play(block, dry, out, seconds)
        if self.guard_feedback:
            self._turn_down(out, seconds)
        self._watch_load(dry, out, seconds, self._clock() - start)
        *output_range, self._output_power, _ = levels(out)
        self.board.sound.put(clean, out)
        self._note_block(len(out), input_range, output_range, self._clock() - start)

    def _play(
        self, block: Float32Array, dry: Float32Array, out: Float32Array, seconds: float
    ) -> None:
        """The cleaned sound, or the dry one while there is too much to do."""
        resting = self._dry.left_s > 0
        ends = resting and not self._dry.pass_by(seconds)
        if resting and not ends:
            out[:] = dry
            self._unprocessed += len(block)
            self.counters["dry_blocks"] += 1
            return
        try:
            for event in self.pipeline.process(block, out):
                self._note_event(event)
            if self._next:
                self._fade_to_next(block, out)
        except Exception as error:  # an exception here would end the sound without a word
            self.error = error
            self.pipeline.reset()
            self._unprocessed = self._samples
            self._begin_dry()
            out[:] = dry
            return
        if ends:
            fade(dry, out, out)
        if not resting:
            self._dry.pass_by(seconds)
        self._note_step()

    def _fade_to_next(self, block: Float32Array, out: Float32Array) -> None:
        assert self._next is not None
        before = out.copy()
        self._count_bad()
        self._samples -= len(block)  # the next one processes this block, too
        self._take(self._next)
        self._samples += len(block)
        self._next = None
        self.pipeline.process(block, out)
        fade(before, out, out)

    def _watch_load(
        self, dry: Float32Array, out: Float32Array, seconds: float, busy_s: float
    ) -> None:
        """When too far behind, let the dry sound take over, from this block on."""
        self.counters["late_blocks"] += busy_s > seconds
        self._behind_s = max(0.0, self._behind_s + busy_s - seconds)
        if self._behind_s > max(BEHIND_BLOCKS * seconds, BEHIND_S) and self._dry.left_s <= 0:
            fade(out, dry, out)
            self._begin_dry()

    def _begin_dry(self) -> None:
        self.counters["overloads"] += 1
        self._behind_s = 0.0
        self._dry.begin()

    def _turn_down(self, out: Float32Array, seconds: float) -> None:
        """Apply the gain that stops or probes a howl, on its way down or up again."""
        quiet = self._quiet.left_s > 0
        self._quiet.pass_by(seconds)
        wanted = QUIET_GAIN if quiet else self._howl.gain
        if self._gain == wanted == 1.0:
            return
        before = self._gain
        if wanted < before:
            self._gain = max(wanted, before - seconds / QUIETER_S)
        else:
            self._gain = min(wanted, before + seconds / self._louder_s)
        if self._gain == 1.0:
            self._louder_s = PROBED_S
        out *= before + (self._gain - before) * _ramp(len(out))

    def _on_hop(self, stream: BankStream, gains: NDArray[np.complex64] | None) -> None:
        ring = self.board.hops
        place, fields = ring.begin(), ring.fields
        fields["time_s"][place] = self._samples / self.samplerate
        if stream.dozing:
            fields["z"][place] = fields["power"][place] = 0.0
        else:
            fields["z"][place].real, fields["z"][place].imag = stream.states()
            fields["power"][place] = stream.power()
        fields["gain"][place] = 1.0 if gains is None else gains
        ring.commit()
        if not self.guard_feedback or self._quiet.left_s > 0:
            return
        contrast = stream.contrast()[self._carriers]
        if self._howl.update(contrast, self._input_power, self._output_power):
            self._quiet.begin()
            self._louder_s = LOUDER_S
            self.counters["howls"] += 1

    def _note_event(self, event: KeywordEvent) -> None:
        """Pass a keyword on, its time counted in samples of the board."""
        event = replace(event, time_s=round(event.time_s + self._unprocessed / self.samplerate, 3))
        event = event.at(time.time() - max(0.0, self._samples / self.samplerate - event.time_s))
        ring = self.board.events
        place = ring.begin()
        for name in ("time_s", "keyword", "score"):
            ring.fields[name][place] = getattr(event, name)
        ring.commit()
        self.events.append(event)

    def _note_step(self) -> None:
        """A row about the spotter, if it has moved on."""
        spotter = self.pipeline.spotter
        if not spotter or spotter.steps == self._steps:
            return
        self._steps = spotter.steps
        ring, state = self.board.steps, spotter.state
        place, fields = ring.begin(), ring.fields
        fields["time_s"][place] = self._samples / self.samplerate
        fields["scores"][place] = spotter.scores
        fields["thresholds"][place] = spotter.thresholds
        for name in ("settled", "order", "pull", "attention"):
            fields[name][place] = getattr(state, name)
        ring.commit()

    def _count_bad(self) -> None:
        bad = self.pipeline.bad_samples
        self.counters["bad_samples"] += max(0, bad - self._bad_before)
        self._bad_before = bad

    def _note_block(
        self, samples: int, input_range: list[float], output_range: list[float], busy_s: float
    ) -> None:
        self.counters["blocks"] += 1
        self._count_bad()
        self.board.blocks.put(
            self._samples / self.samplerate,
            samples,
            busy_s,
            *input_range,
            self._input_power,
            *output_range,
            self._output_power,
            self.pipeline.voice,
            self.pipeline.noise_dbfs,
            *self.counters.values(),
        )


def board_facts(pipeline: Pipeline, kept_s: float) -> dict[str, Any]:
    """What viewers need to know, and what decides the board's layout."""
    denoiser, spotter = pipeline.denoiser, pipeline.spotter
    assert denoiser
    heads, tokens, d_osc = spotter.state.settled.shape if spotter else (0, 0, 0)
    return {
        "samplerate": pipeline.samplerate,
        "oscillators": len(denoiser.bank),
        "f0_hz": [round(float(f0), 3) for f0 in denoiser.bank.f0_hz],
        "damping_ratio": [round(float(z), 6) for z in denoiser.bank.damping_ratio],
        "carriers": [bool(carries) for carries in denoiser.carriers],
        "hop_s": denoiser.hop_s,
        "words": spotter.words if spotter else [],
        "heads": heads,
        "tokens": tokens,
        "d_osc": d_osc,
        "anchors": spotter.state.anchors.round(5).tolist() if spotter else [],
        "step_s": spotter.model.step_s if spotter else 0.0,
        "kept_s": kept_s,
    }


class _Rest:
    """A pause that doubles when it is needed again soon after; all in seconds of sound."""

    def __init__(self, shortest_s: float, longest_s: float) -> None:
        self._shortest_s, self._longest_s = shortest_s, longest_s
        self._length_s, self._since_s = shortest_s, longest_s
        self.left_s = 0.0

    def begin(self) -> None:
        """Rest from now on."""
        again = self._since_s < self._longest_s
        self._length_s = min(2 * self._length_s, self._longest_s) if again else self._shortest_s
        self.left_s, self._since_s = self._length_s, 0.0

    def pass_by(self, seconds: float) -> bool:
        """Let time pass; whether the rest goes on."""
        if self.left_s <= 0:
            self._since_s += seconds
        self.left_s = max(0.0, self.left_s - seconds)
        return self.left_s > 0


def fade(before: Float32Array, after: Float32Array, out: Float32Array) -> None:
    """Write a linear cross-fade of two blocks to ``out``, which may be one of them.

    Parameters
    ----------
    before, after
        Blocks of the same length.
    out
        Where the mixture goes.
    """
    ramp = _ramp(len(out))
    out[:] = before + ramp * (after - before)


@lru_cache(maxsize=8)
def _ramp(length: int) -> Float32Array:
    return np.linspace(1 / length, 1.0, length, dtype=np.float32)
