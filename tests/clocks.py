"""Two sound cards in simulated time, whose clocks differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from resonance.app.live.bridge import ClockBridge

RATE, BLOCK = 48000, 480
Block = NDArray[np.float32]


class Clocks:
    """Simulated time with a writer and a reader whose blocks come at their own pace."""

    def __init__(self, ppm: float, jitter_s: float = 0.001, seed: int = 0) -> None:
        self.now = 0.0
        self.periods = BLOCK / RATE / (1 + ppm * 1e-6), BLOCK / RATE
        self.jitter_s, self.rng = jitter_s, np.random.default_rng(seed)

    def time(self) -> float:
        """Now, s."""
        return self.now

    def run(
        self,
        bridge: ClockBridge,
        seconds: float,
        make: Callable[[int], Block],
        use: Callable[[Block], object],
    ) -> None:
        times = [0.0, 0.0037]
        numbers = [0, 0]
        while self.now < seconds:
            side = int(times[1] < times[0])
            self.now = max(self.now, times[side])
            if side == 0:
                bridge.write(make(numbers[0]))
            else:
                out = np.empty(BLOCK, np.float32)
                bridge.read(out)
                use(out)
            numbers[side] += 1
            late = self.jitter_s * self.rng.random()
            times[side] = numbers[side] * self.periods[side] + 0.0037 * side + late


def tone(number: int) -> Block:
    """Block ``number`` of a tone of 500 Hz."""
    t = np.arange(number * BLOCK, (number + 1) * BLOCK) / RATE
    return np.sin(2 * np.pi * 500 * t).astype(np.float32)
