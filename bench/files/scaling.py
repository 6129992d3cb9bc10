"""One process of a batch, and two: ``python -m bench.files.scaling``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.files.recordings import copies, in_folder
from bench.report import table, write_section
from resonance.app.batch import pool
from resonance.app.batch.settings import BatchJob, BatchSettings


def _pool_rate(jobs: list[BatchJob], processes: int) -> tuple[float, float]:
    """Seconds of sound a second and processor time a second of sound, once all are warm."""
    begin, seconds, cpu = None, 0.0, 0.0
    outcomes = pool.clean_all(jobs, BatchSettings("live"), processes, lambda *_: None)
    for count, outcome in enumerate(outcomes, 1):
        if begin is not None:
            seconds, cpu = seconds + outcome.seconds, cpu + outcome.cpu_s
        if count == processes:
            begin = time.perf_counter()
    assert begin is not None
    return seconds / (time.perf_counter() - begin), cpu / seconds


def scaling(folder: Path) -> None:
    """One process and two."""
    jobs = copies(folder, 10, 15.0)
    found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(5):  # in turns, since others' load comes and goes
        for processes, runs in found.items():
            runs.append(_pool_rate(jobs, processes))
    rows = [
        (
            str(processes),
            f"{max(rate for rate, _ in runs):.1f}",
            ", ".join(f"{rate:.0f}" for rate, _ in runs),
            f"{1000 * min(cpu for _, cpu in runs):.1f}",
        )
        for processes, runs in found.items()
    ]
    one, two = (max(rate for rate, _ in runs) for runs in found.values())
    write_section(
        "batch-scaling",
        "### Processes\n\n10 files of 15 s, 16 kHz, `live`, file to file, on two cores that other "
        f"programs kept busy (load {os.getloadavg()[1]:.1f}): two processes do {two / one:.2f} × "
        "the work of one; best of five runs in turns (`python -m bench.files.scaling`):\n\n"
        + table(
            ("processes", "× real time, wall", "each run", "processor ms for a second of sound"),
            rows,
        ),
    )


if __name__ == "__main__":
    in_folder(scaling)
