"""Between two clocks: nothing lost for as long as they differ as sound cards do."""

import numpy as np
import pytest

from resonance.app.live.bridge import ClockBridge
from tests.clocks import BLOCK, RATE, Clocks, tone


@pytest.mark.parametrize("ppm", [200, -200])
def test_a_tone_passes_unbroken_for_ten_minutes(ppm):
    clocks = Clocks(ppm)
    bridge = ClockBridge(RATE, BLOCK, clock=clocks.time)
    played = []
    clocks.run(bridge, 600, tone, played.append)
    assert bridge.counters["ring_empty"] == bridge.counters["ring_full"] == 0
    assert bridge.drift_ppm == pytest.approx(ppm, abs=20)
    sound = np.concatenate(played)[RATE:]
    steepest = 2 * np.pi * 500 / RATE
    assert np.abs(np.diff(sound)).max() < 1.05 * steepest, "no sample lost, none twice"


def test_a_writer_that_stops_is_silence_and_comes_back():
    clocks = Clocks(0)
    bridge = ClockBridge(RATE, BLOCK, clock=clocks.time)
    clocks.run(bridge, 2, tone, lambda _: None)
    out = np.ones(BLOCK, np.float32)
    for _ in range(10):
        clocks.now += BLOCK / RATE
        bridge.read(out)
    assert not out.any()
    assert bridge.counters["ring_empty"] == 1
    before = bridge.delay_s
    played = []
    clocks = Clocks(0, seed=1)
    clocks.now = 0.0
    bridge._clock = clocks.time
    clocks.run(bridge, 2, tone, played.append)
    assert np.abs(np.concatenate(played[-50:])).max() > 0.9
    assert bridge.delay_s == before, "the buffer grows once for each time it ran empty"


def test_after_a_reader_stood_still_the_delay_comes_back():
    clocks = Clocks(0)
    bridge = ClockBridge(RATE, BLOCK, clock=clocks.time)
    clocks.run(bridge, 2, tone, lambda _: None)
    for _ in range(20):
        clocks.now += BLOCK / RATE
        bridge.write(np.zeros(BLOCK, np.float32))
    waiting = bridge._written - bridge._read
    bridge.read(np.empty(BLOCK, np.float32))
    assert bridge.counters["skipped_samples"] >= 15 * BLOCK
    assert bridge._written - bridge._read < waiting - 15 * BLOCK
    assert bridge.counters["ring_empty"] == 0
