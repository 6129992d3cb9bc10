"""One oscillator to play with: plucked, driven by a tone or by the input, and played aloud.

It runs in a thread of its own and is paced by the loudspeaker; a trace of the last seconds is
kept for whoever draws it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soxr

from resonance.app.live.board import Board
from resonance.app.live.loudspeaker import Loudspeaker
from resonance.dsp.arrays import Float32Array
from resonance.dsp.oscillator import MovingOscillator, Oscillator

#: What may drive the oscillator.
NOTHING, TONE, SWEEP, SOUND = "nothing", "tone", "sweep", "sound"
#: Hz, and the length of a block, s.
SAMPLERATE, BLOCK_S = 48000, 0.02
#: Sound that is kept for drawing, s.
KEPT_S = 4.0
#: Amplitude of the tone and of a pluck; full scale is 1.
TONE_LEVEL, PLUCK_LEVEL = 0.3, 0.5
#: A sweep goes from f0 / SWEEP_SPAN to f0 * SWEEP_SPAN in this time, s, and back.
SWEEP_SPAN, SWEEP_S = 2.0, 8.0
#: Input may wait this long before the oldest of it is dropped, s.
LATEST_S = 0.3


@dataclass(frozen=True)
class Drive:
    """What is done with the oscillator; ``tone_hz`` is only of matter to :data:`TONE`."""

    oscillator: Oscillator
    kind: str = NOTHING
    tone_hz: float = 440.0
    audible: bool = True


class OneOscillator:
    """An oscillator that moves in real time.

    Parameters
    ----------
    drive
        To begin with.
    output_name
        Device to play into; None: the default one.
    board
        Gives the board whose sound drives it, if there is one now.
    """

    def __init__(
        self, drive: Drive, output_name: str | None, board: Callable[[], Board | None]
    ) -> None:
        self.drive, self.complaint = drive, ""
        self.tone_hz = drive.tone_hz  #: of the driving tone now, also in a sweep
        self.count = 0  #: samples moved so far
        self.plucked_at: int | None = None  #: sample of the last pluck
        self._output_name, self._sound = output_name, _EngineInput(board)
        self._trace = np.zeros((2, round(KEPT_S * SAMPLERATE)), np.float32)
        self._pluck = False
        self._phase = self._sweep_s = 0.0
        self._moving = MovingOscillator(SAMPLERATE)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="one oscillator", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def change(self, **changes: Any) -> None:
        """Other fields of :class:`Drive` from now on."""
        self.drive = replace(self.drive, **changes)

    def pluck(self) -> None:
        """Pull it aside and let go."""
        self._pluck = True

    def trace(self, start: int, stop: int) -> Float32Array:
        """Drive and displacement from sample ``start`` to ``stop`` [2, samples]."""
        numbers = np.arange(start, stop)
        found = self._trace[:, numbers % self._trace.shape[1]]
        oldest = max(0, self.count - self._trace.shape[1])
        found[:, (numbers < oldest) | (numbers >= self.count)] = 0.0
        return found

    def close(self) -> None:
        """End it and wait for that."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    # The thread.

    def _run(self) -> None:
        with Loudspeaker(SAMPLERATE, self._output_name) as loudspeaker:
            while not self._ended.is_set():
                x = self.step()
                self.complaint = loudspeaker.complaint
                loudspeaker.play(x if self.drive.audible else np.zeros_like(x))

    def step(self) -> Float32Array:
        """Move on by one block; returns the displacement [samples]."""
        drive, count = self.drive, round(BLOCK_S * SAMPLERATE)
        pushed = self._pushed(drive, count)
        pluck, self._pluck = self._pluck, False
        if pluck:
            self.plucked_at = self.count
        x = self._moving.move(drive.oscillator, pushed, PLUCK_LEVEL if pluck else 0.0)
        places = np.arange(self.count, self.count + count) % self._trace.shape[1]
        self._trace[0, places], self._trace[1, places] = pushed, x
        self.count += count
        return np.asarray(np.clip(x, -1.0, 1.0))

    def _pushed(self, drive: Drive, count: int) -> Float32Array:
        """F(t) in the next block [samples]."""
        if drive.kind == SOUND:
            return self._sound.take(count)
        if drive.kind not in (TONE, SWEEP):
            return np.zeros(count, np.float32)
        self.tone_hz = drive.tone_hz
        if drive.kind == SWEEP:
            self._sweep_s += count / SAMPLERATE
            turn = abs((self._sweep_s / SWEEP_S) % 2 - 1)  # 1 … 0 … 1
            self.tone_hz = drive.oscillator.f0_hz * SWEEP_SPAN ** (1 - 2 * turn)
        angles = self._phase + 2 * np.pi * self.tone_hz / SAMPLERATE * np.arange(count + 1)
        self._phase = float(angles[-1] % (2 * np.pi))
        tone: Float32Array = (TONE_LEVEL * np.sin(angles[:-1])).astype(np.float32)
        return tone


class _EngineInput:
    """An engine's input, at our samplerate, in blocks."""

    def __init__(self, board: Callable[[], Board | None]) -> None:
        self._find, self._board = board, board()
        self._next = 0
        self._waiting = np.zeros(0, np.float32)
        self._resample: soxr.ResampleStream | None = None

    def take(self, count: int) -> Float32Array:
        """The next ``count`` samples; silence where none have come yet."""
        board = self._find()
        if board is not self._board or not self._next:
            self._begin(board)
        if board is not None:
            first, sound = board.sound.since(self._next)
            self._next = first + len(sound)
            column = np.ascontiguousarray(sound[:, 0])
            new = self._resample.resample_chunk(column) if self._resample else column
            self._waiting = np.concatenate([self._waiting, new])[-round(LATEST_S * SAMPLERATE) :]
        block = np.zeros(count, np.float32)
        found, self._waiting = self._waiting[:count], self._waiting[count:]
        block[: len(found)] = found
        return block

    def _begin(self, board: Board | None) -> None:
        self._board, self._resample = board, None
        if board is None:
            return
        self._next = board.sound.count
        if board.facts["samplerate"] != SAMPLERATE:
            self._resample = soxr.ResampleStream(
                board.facts["samplerate"], SAMPLERATE, 1, dtype="float32"
            )
