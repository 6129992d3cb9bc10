"""An hour of live sound without hardware: ``python -m bench.live.soak``.

Two engines, with blocks of 5 and 10 ms, each between a microphone and a loudspeaker of their own
on one PulseAudio server, get the demo recording over and over. A watcher beside them notes when the
machine itself stops, as virtual machines do: then blocks are lost, whatever the program does.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import numpy as np
import psutil
import soundfile
import soxr

from bench.live.standstill import Standstill, Watchers
from bench.report import table, write_section
from resonance.app.live.health import lost_blocks
from resonance.app.live.messages import Keyword, State
from resonance.app.live.process import EngineProcess
from resonance.app.live.settings import EngineSettings
from resonance.app.live.streams import PRIORITY
from resonance.assets import DEMO
from tests.sound_server import SoundServer

BLOCKS_S = (0.005, 0.01)
RATE = 48000
#: How often boards are read, s; they keep 512 blocks.
LOOK_S = 0.5
#: What is lost so long after the machine stood still is put down to that, s.
AFTER_S = 2.0
#: Memory is first read after this long, s, when everything is warm.
WARM_S = 60.0


class Watch:
    """One engine and what became of it."""

    def __init__(self, server: SoundServer, block_s: float) -> None:
        name = f"soak{1000 * block_s:.0f}"
        for sink in (f"{name}_mic", f"{name}_out"):
            server.pactl(
                "load-module",
                "module-null-sink",
                f"sink_name={sink}",
                f"rate={RATE}",
                "channels=1",
                "norewinds=1",
            )
        self.sink, self.block_s = f"{name}_mic", block_s
        self.engine = EngineProcess(
            EngineSettings(
                input_name=f"{name}_mic.monitor",
                output_name=f"{name}_out",
                block_ms=1000 * block_s,
                feedback_guard=False,
            )
        )
        self.engine.start()
        while self.engine.state != State.LISTENING:
            self.engine.messages()
            time.sleep(0.05)
        self.busy_s: list[np.ndarray] = []
        self.troubles: list[str] = []
        self.losses: list[tuple[float, int]] = []  # when seen, and how many blocks so far
        self.first_second: dict[str, int] = {}
        self.memory_mib: list[float] = []
        self._seen = 0
        self._began = time.monotonic()

    def look(self) -> None:
        """Read what is new."""
        self.troubles += [m.text for m in self.engine.messages() if not isinstance(m, Keyword)]
        assert self.engine.board
        rows = self.engine.board.blocks.since(self._seen)
        if len(rows):
            self._seen = int(rows["number"][-1]) + 1
            self.busy_s.append(rows["busy_s"].copy())
        lost = lost_blocks(self.engine.board.counters())
        if not self.losses or lost > self.losses[-1][1]:
            self.losses.append((time.monotonic(), lost))
        passed = time.monotonic() - self._began
        if passed > 1 and not self.first_second:
            self.first_second = self.engine.board.counters()
        if passed > WARM_S or not self.memory_mib:
            assert self.engine.pid
            self.memory_mib.append(psutil.Process(self.engine.pid).memory_info().rss / 2**20)

    def excused(self, standstills: list[Standstill]) -> int:
        """Blocks lost when the machine stood still."""
        found, before = 0, lost_blocks(self.first_second)
        for seen_s, lost in self.losses:
            near = any(0 < seen_s - still.begin_s < AFTER_S for still in standstills)
            found += max(0, lost - before) * near
            before = max(before, lost)
        return found

    def row(self, standstills: list[Standstill]) -> list[str]:
        """Of the table."""
        assert self.engine.board
        counters = self.engine.board.counters()
        busy = 1000 * np.concatenate(self.busy_s)
        p50, p99, p999 = np.percentile(busy, [50, 99, 99.9])
        lost = lost_blocks(counters) - lost_blocks(self.first_second)
        skipped = counters["skipped_samples"] - self.first_second["skipped_samples"]
        return [
            f"{1000 * self.block_s:g}",
            f"{counters['blocks']:,}",
            f"{lost}",
            f"{self.excused(standstills)}",
            f"{1000 * skipped / RATE:.0f}",
            f"{counters['late_blocks']}",
            f"{counters['dry_blocks']}",
            f"{p50:.2f} / {p99:.2f} / {p999:.2f} / {busy.max():.2f}",
            f"{self.memory_mib[min(1, len(self.memory_mib) - 1)]:.1f} → {self.memory_mib[-1]:.1f}",
        ]


@click.command()
@click.option("--minutes", default=60.0, show_default=True)
def main(minutes: float) -> None:
    """Run both engines for so long; write a section of docs/benchmarks.md."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        server = SoundServer(Path(folder))
        server.start()
        running.callback(server.end)
        # A busy machine must not starve the server: the engine is what is measured.
        os.sched_setscheduler(server.process.pid, os.SCHED_FIFO, os.sched_param(PRIORITY - 1))
        os.environ.update(server.environment)
        watches = [Watch(server, block_s) for block_s in BLOCKS_S]
        # At the sinks' own rate: PulseAudio's null sinks count in whole microseconds, and the odd
        # lengths that its resampler gives would let the microphone's clock drift by 100 ppm.
        sound, samplerate = soundfile.read(DEMO, dtype="float32")
        sound = soxr.resample(sound, samplerate, RATE)
        times = int(60 * minutes / (len(sound) / RATE)) + 2
        for watch in watches:
            running.callback(watch.engine.close)
            running.enter_context(server.playing(sound, RATE, watch.sink, times))
        watchers = Watchers()
        running.callback(watchers.close)
        psutil.cpu_percent()
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            time.sleep(LOOK_S)
            for watch in watches:
                watch.look()
        busy = psutil.cpu_percent()
        standstills = watchers.close()
        rows = [watch.row(standstills) for watch in watches]
        troubles = sorted({t for watch in watches for t in watch.troubles})
    header = (
        "block / ms",
        "blocks",
        "lost after the first second",
        "of these when the machine stood still",
        "caught up with / ms",
        "late",
        "uncleaned",
        "block time / ms: median / 99 % / 99.9 % / longest",
        "memory / MiB",
    )
    reported = "; ".join(troubles) or "nothing"
    longest_s = max((still.length_s for still in standstills), default=0.0)
    write_section(
        f"live-soak-{minutes:g}",  # an hour and a short run have sections of their own
        f"## Live: {minutes:g} minutes\n\nBoth block lengths at once at 48 kHz, denoising and "
        "spotting, on null sinks of one PulseAudio server with real-time priority; the two cores "
        f"were busy by {busy:.0f} %, other programs included (`python -m bench.live.soak`). Memory "
        f"after one minute and at the end. {len(standstills)} times a processor gave nobody time "
        f"for over 5 ms, for {1000 * longest_s:.0f} ms at the longest: that is the host's doing, "
        "seen by a process of the highest priority on each (`bench/live/standstill.py`). What the "
        f"engines reported: {reported}.\n\n"
        f"{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
