"""A buffer between two devices that each have a clock of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import soxr

from resonance.dsp.arrays import Float32Array
from resonance.dsp.drift import DriftControl

#: Blocks that lie in the buffer: one being filled, one being emptied, one for lateness; more are
#: allowed each time it ran empty, up to the second number.
BLOCKS, MOST_BLOCKS = 3, 8
#: Length of the buffer, in blocks; more than so many beyond what is wanted are dropped.
_ROOM, _SURPLUS = 32, 8


class ClockBridge:
    """What is written at one clock's pace is read at another's, resampled by their difference.

    One thread writes, one reads. soxr's variable rate does the resampling; it delays by 5 ms.

    Parameters
    ----------
    samplerate
        Both ends' nominal rate, Hz.
    blocksize
        Samples that are written and read at a time.
    counters
        Whose ``ring_empty``, ``ring_full`` (times) and ``skipped_samples`` (dropped since one side
        stood still) grow; None: those of its own.
    clock
        Seconds, monotonic; another one in simulations.
    """

    def __init__(
        self,
        samplerate: float,
        blocksize: int,
        counters: dict[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._block, self._clock = samplerate, blocksize, clock
        self._ring = np.zeros(_ROOM * blocksize, np.float32)
        self._control = DriftControl(BLOCKS * blocksize / samplerate)
        names = ("ring_empty", "ring_full", "skipped_samples")
        self.counters = dict.fromkeys(names, 0) if counters is None else counters
        self.reset()

    def reset(self) -> None:
        """Nothing written yet."""
        self._resampler = soxr.ResampleStream(1.01, 1.0, 1, dtype="float32", vr=True)
        self._resampler.set_io_ratio(1.0, 1.0, 0)
        self._written = self._read = 0
        self._written_at = self._read_at = 0.0
        self._flows = False
        self._ratio = 1.0

    @property
    def delay_s(self) -> float:
        """How long sound stays in here on average, s."""
        return self._control.target_s - self._block / self._rate / 2 + 240 / self._rate

    @property
    def drift_ppm(self) -> float:
        """How much faster the writer's clock runs, as found so far."""
        return 1e6 * (self._ratio - 1.0)

    def write(self, block: Float32Array) -> None:
        """Add a block [samples], by the writer's clock; dropped when there is no room."""
        self._resampler.set_io_ratio(self._ratio, 1.0, len(block))
        sound = self._resampler.resample_chunk(block)
        if self._written + len(sound) - self._read > len(self._ring):
            self.counters["ring_full"] += 1
            return
        places = np.arange(self._written, self._written + len(sound)) % len(self._ring)
        self._ring[places] = sound
        self._written_at = self._clock()
        self._written += len(sound)

    def read(self, out: Float32Array) -> None:
        """Fill ``out [samples]``, by the reader's clock; silence while there is too little."""
        there = self._written - self._read
        now = self._clock()
        # What the writer has in hand counts by the time since its last block.
        waiting_s = min(now - self._written_at, 2 * self._block / self._rate)
        filling_s = there / self._rate + waiting_s
        if not self._flows:
            self._begin(filling_s)
        elif there < len(out):
            self._ran_empty()
        elif filling_s > self._control.target_s + _SURPLUS * self._block / self._rate:
            before = self._read
            self._begin(filling_s)
            self.counters["skipped_samples"] += self._read - before
        if not self._flows:
            out[:] = 0.0
            return
        self._ratio = self._control.update(filling_s, now - self._read_at if self._read_at else 0.0)
        self._read_at = now
        out[:] = self._ring[np.arange(self._read, self._read + len(out)) % len(self._ring)]
        self._read += len(out)

    def _begin(self, filling_s: float) -> None:
        """Once there is enough, drop what is too much and let it flow."""
        surplus = round((filling_s - self._control.target_s) * self._rate)
        if surplus < 0:
            return
        self._read += min(surplus, self._written - self._read - self._block)
        self._read_at = 0.0
        self._flows = True

    def _ran_empty(self) -> None:
        self.counters["ring_empty"] += 1
        self._flows = False
        block_s = self._block / self._rate
        self._control.target_s = min(self._control.target_s + block_s, MOST_BLOCKS * block_s)
