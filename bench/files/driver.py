"""What a batch's driver does for each file: ``python -m bench.files.driver``."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

from bench.files.recordings import copies, in_folder
from bench.report import table, write_section
from resonance.app.batch.manifest import Manifest
from resonance.app.batch.plan import plan
from resonance.app.batch.settings import BatchSettings
from resonance.app.batch.worker import clean_file


def driver(folder: Path) -> None:
    """What the driver does for each file, sound left out."""
    count = 20_000
    for number in range(count):
        path = folder / "in" / f"{number % 100}" / f"{number:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    facts = clean_file(copies(folder / "one", 1, 10.0)[0], BatchSettings("live"))
    begin = time.process_time()
    jobs = plan([str(folder / "in")], str(folder / "out"))
    planned = time.process_time() - begin
    size = len(json.dumps(dataclasses.asdict(facts)))
    with Manifest(folder / "manifest.sqlite") as manifest:
        begin = time.process_time()
        for job in jobs:
            manifest.begin(job, "key")
            manifest.record(dataclasses.replace(facts, source=job.source, target=job.target), "key")
        recorded = time.process_time() - begin
    rows = [
        ("find it and name its output", f"{1e6 * planned / count:.0f} µs"),
        ("record it twice: waiting, done", f"{1e6 * recorded / count:.0f} µs"),
        ("its outcome, pictures and all", f"{size / 1000:.1f} kB"),
        ("its row in the manifest", f"{_size(folder / 'manifest.sqlite') / count / 1000:.1f} kB"),
    ]
    write_section(
        "batch-driver",
        f"### The driver\n\nProcessor time and space for each of {count} files "
        f"(`python -m bench.files.driver`):\n\n" + table(("for a file", "takes"), rows),
    )


def _size(base: Path) -> int:
    return sum(path.stat().st_size for path in base.parent.glob(f"{base.name}*"))


if __name__ == "__main__":
    in_folder(driver)
