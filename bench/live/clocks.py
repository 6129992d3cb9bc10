"""An hour between two clocks that differ: ``python -m bench.live.clocks`` (simulated time)."""

from __future__ import annotations

import click
import numpy as np

from bench.report import table, write_section
from resonance.app.live.bridge import ClockBridge
from tests.clocks import BLOCK, RATE, Clocks, tone

SECONDS = 3600
PPM = (-200, -50, 0, 50, 200)


@click.command()
def main() -> None:
    """Simulate; write the section "live-clocks" of docs/benchmarks.md."""
    rows = []
    steepest = 2 * np.pi * 500 / RATE
    for ppm in PPM:
        clocks = Clocks(ppm)
        bridge = ClockBridge(RATE, BLOCK, clock=clocks.time)
        jumps, last, blocks = 0, 0.0, 0

        def use(out: np.ndarray) -> None:
            nonlocal jumps, last, blocks
            blocks += 1
            if blocks * BLOCK > RATE:  # after the first second
                steps = np.abs(np.diff(out, prepend=np.float32(last)))
                jumps += int(np.count_nonzero(steps > 1.05 * steepest))
            last = float(out[-1])

        clocks.run(bridge, SECONDS, tone, use)
        rows.append(
            (
                f"{ppm:+d}",
                f"{bridge.drift_ppm:+.1f}",
                f"{bridge.counters['ring_empty']}",
                f"{bridge.counters['ring_full']}",
                f"{jumps}",
            )
        )
    header = ("clocks differ by / ppm", "found / ppm", "ran empty", "ran full", "jumps in a tone")
    write_section(
        "live-clocks",
        "## Live: two clocks\n\nOne hour of simulated time, blocks of 10 ms that come up to 1 ms "
        "late, a tone of 500 Hz through the bridge (`python -m bench.live.clocks`).\n\n"
        f"{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
