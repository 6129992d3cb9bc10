"""What Ray adds to a file of a batch: ``python -m bench.files.ray``."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path

from bench.files.recordings import copies, in_folder
from bench.report import table, write_section
from resonance.app.batch import pool, ray_runner
from resonance.app.batch.settings import BatchSettings
from resonance.app.batch.worker import Outcome


def _per_file_s(outcomes: Iterator[Outcome]) -> tuple[float, float]:
    """Wall time, and processor time of the driver, for a file after the first fifth of them."""
    times = [
        (time.perf_counter(), time.process_time()) for outcome in outcomes if outcome.error is None
    ]
    first = len(times) // 5
    wall, cpu = (end - start for end, start in zip(times[-1], times[first], strict=True))
    count = len(times) - 1 - first
    return wall / count, cpu / count


def ray(folder: Path) -> None:
    """What Ray adds to a file."""
    jobs = copies(folder, 150, 0.25)
    settings = BatchSettings("live")
    importlib.import_module("ray").init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    found: dict[str, list[tuple[float, float]]] = {"processes of our own": [], "Ray": []}
    for _ in range(3):
        pooled = pool.clean_all(jobs, settings, 1, lambda *_: None)
        found["processes of our own"].append(_per_file_s(pooled))
        found["Ray"].append(_per_file_s(ray_runner.clean_all(jobs, settings)))
    rows = [
        (name, *(f"{1000 * min(column):.2f}" for column in zip(*times, strict=True)))
        for name, times in found.items()
    ]
    write_section(
        "batch-ray",
        f"### Ray\n\n{len(jobs)} files of 0.25 s, one worker; best of three runs in turns on a "
        "shared machine; what Ray adds is the difference (`python -m bench.files.ray`):\n\n"
        + table(("run by", "ms a file, wall", "driver's processor time / ms"), rows),
    )


if __name__ == "__main__":
    in_folder(ray)
