"""What one frame of the window shows: a board, and all that is new on it since the last frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resonance.app.live.board import Board
from resonance.app.live.rings import Rows
from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import OscillatorBank
from resonance.dsp.delay import DelayLine

if TYPE_CHECKING:
    from resonance.dsp.stream import BankStream

#: Hop of the shipped models, s; a board says its own.
USUAL_HOP_S = 0.008
#: Sound that is caught up with after a pause of the window, s.
CATCH_UP_S = 30.0


@dataclass(frozen=True)
class Columns:
    """Power of every oscillator in consecutive hops, driven by input and output.

    Both are aligned: a look-ahead between them is taken out.
    """

    input: Float32Array  #: power [hops, oscillators]
    output: Float32Array  #: power [hops, oscillators]
    #: Of the sound as it came, against each oscillator's own f0 [hops, oscillators], −π … π:
    #: it is constant where an oscillator is locked to the sound.
    phase: Float32Array


@dataclass(frozen=True)
class Frame:
    """All that a view may want to know.

    ``blocks``, ``hops``, ``steps`` and ``events`` are the board's rows since the last frame,
    ``first_column`` counts hops since the feed began, also across boards.
    """

    board: Board
    bank: OscillatorBank
    fresh: bool  #: the board is another one than in the last frame, or the first
    blocks: Rows
    hops: Rows
    steps: Rows
    events: Rows
    columns: Columns
    first_column: int
    #: Number of the column in which the board's sound began.
    origin: int
    hop_s: float

    @property
    def last_column(self) -> int:
        """Number of the column after the newest."""
        return self.first_column + len(self.columns.input)

    def column(self, time_s: float) -> float:
        """The column of a time on the board."""
        return self.origin + time_s / self.hop_s


class Feed:
    """Makes frames from whatever board there is at the moment."""

    def __init__(self) -> None:
        self._board: Board | None = None
        self.column = 0
        self.latency_samples = 0  #: that the pipeline looks ahead: the input is shown as late

    def frame(self, board: Board) -> Frame:
        """What is new since the last call; everything kept, if the board is another one."""
        fresh = board is not self._board
        if fresh:
            self._begin(board)
        rows = {}
        for name in ("blocks", "hops", "steps", "events"):
            ring = getattr(board, name)
            rows[name] = ring.since(self._read[name])
            if len(rows[name]):
                self._read[name] = int(rows[name]["number"][-1]) + 1
        columns = self._listen(board)
        first = self.column
        self.column += len(columns.input)
        return Frame(
            board,
            self._bank,
            fresh,
            columns=columns,
            first_column=first,
            origin=self._origin,
            hop_s=self._hop_s,
            **rows,
        )

    def _begin(self, board: Board) -> None:
        from resonance.dsp.stream import BankStream  # takes a while, which the engine needs as well

        facts = board.facts
        self._board = board
        self._read = dict.fromkeys(("blocks", "hops", "steps", "events"), 0)
        self._bank = OscillatorBank(np.array(facts["f0_hz"]), np.array(facts["damping_ratio"]))
        self._hop_s = float(facts["hop_s"])
        self._streams = [
            BankStream(self._bank, facts["samplerate"], self._hop_s) for _ in ("input", "output")
        ]
        kept = round(CATCH_UP_S * facts["samplerate"])
        self._next = max(0, board.sound.count - kept, board.sound.count - len(board.sound))
        self._origin = self.column - round(self._next / facts["samplerate"] / self._hop_s)
        self._turns = self._bank.f0_hz * self._hop_s  # of an oscillator left alone, in a hop
        self._hops = 0
        self._late = DelayLine(0)

    def _listen(self, board: Board) -> Columns:
        first, sound = board.sound.since(self._next)
        missed = first - self._next
        if missed:  # the window slept: columns jump over what nobody saw
            skipped = round(missed / board.facts["samplerate"] / self._hop_s)
            self.column += skipped
        self._next = first + len(sound)
        if self._late.samples != self.latency_samples:
            self._late = DelayLine(self.latency_samples)
        delayed = self._late.delay(np.ascontiguousarray(sound[:, 0]))
        powers, phases = [], []
        for stream, part in zip(
            self._streams, (delayed, np.ascontiguousarray(sound[:, 1])), strict=True
        ):
            found, angles = _analysed(stream, part, with_phase=stream is self._streams[0])
            powers.append(found)
            phases.append(angles)
        count = min(len(powers[0]), len(powers[1]))
        hops = self._hops + np.arange(count)[:, None]
        turns = phases[0][:count] / (2 * np.pi) - hops * self._turns
        self._hops += count
        phase = (2 * np.pi * (turns - np.round(turns))).astype(np.float32)
        return Columns(powers[0][:count], powers[1][:count], phase)


def _analysed(
    stream: BankStream, sound: Float32Array, *, with_phase: bool
) -> tuple[Float32Array, NDArray[np.float32]]:
    """Powers and phases [hops, oscillators] at the ends of the hops that end in ``sound``."""
    powers, phases, start = [], [], 0
    while start < len(sound):
        stop = min(len(sound), start + stream.samples_left)
        stream.listen(sound[start:stop])
        start = stop
        if stream.samples_left == 0:
            powers.append(stream.power().astype(np.float32))
            if with_phase:
                re, im = stream.states()
                phases.append(np.arctan2(im, re).astype(np.float32))
            stream.next_part()
    shape = (-1, stream.oscillators)
    empty = np.zeros(0, np.float32)
    return (
        np.concatenate([*powers, empty]).reshape(shape),
        np.concatenate([*phases, empty]).reshape(shape),
    )
