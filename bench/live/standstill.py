"""Moments at which the machine itself stood still, as virtual machines do.

On every processor one process of the highest priority does nothing but sleep and look at the
clock. When it wakes late, nobody else could have run there either.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import NamedTuple

#: How long a watcher sleeps, s, and how late it must wake to count, s.
SLEEP_S, LATE_S = 0.002, 0.005
#: Above all others (1 … 99).
PRIORITY = 99


class Standstill(NamedTuple):
    """One processor gave nobody any time."""

    begin_s: float  #: monotonic
    length_s: float


class Watchers:
    """One for each processor; needs Linux, and leave to have real-time priority."""

    def __init__(self) -> None:
        self._running = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.live.standstill", str(cpu)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for cpu in sorted(os.sched_getaffinity(0))
        ]

    def close(self) -> list[Standstill]:
        """End them; what they saw, in order."""
        found = []
        while self._running:
            watcher = self._running.pop()
            watcher.terminate()
            said, _ = watcher.communicate()
            found += [Standstill(*map(float, line.split())) for line in said.splitlines()]
        return sorted(found)


def watch(cpu: int) -> None:
    """Print every late awakening until the process is ended."""
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    while True:
        begin = time.monotonic()
        time.sleep(SLEEP_S)
        late_s = time.monotonic() - begin - SLEEP_S
        if late_s > LATE_S:
            print(begin, late_s, flush=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
