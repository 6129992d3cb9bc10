"""Peak memory for a minute, an hour and ten hours: ``python -m bench.files.memory``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import soundfile

from bench.files.recordings import MINUTE, in_folder, speech
from bench.report import table, write_section

_MEASURED = """
import json, resource, sys
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import clean_file
outcome = clean_file(BatchJob(sys.argv[1], sys.argv[2]), BatchSettings("live"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([peak * 1024, outcome.seconds, outcome.busy_s, outcome.cpu_s, outcome.error]))
"""


def memory(folder: Path) -> None:
    """Peak memory for a minute, an hour and ten hours."""
    rows, minute, peaks = [], speech(8000), []
    for name, minutes in (("1 minute", 1), ("1 hour", 60), ("10 hours", 600)):
        path = folder / f"{minutes}.wav"
        with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, str(path), str(folder / f"{minutes}-out.wav")],
            capture_output=True,
            text=True,
            check=True,
        )
        peak, seconds, busy, cpu, error = json.loads(done.stdout)
        assert error is None, error
        assert seconds == minutes * MINUTE
        peaks.append(peak / 1e6)
        rows.append((name, f"{peak / 1e6:.0f}", f"{seconds / busy:.0f}", f"{seconds / cpu:.0f}"))
    write_section(
        "batch-memory",
        "### Memory\n\nPeak memory of the process for one file, 8 kHz, `live`, with levels and "
        f"pictures; the largest differs from the smallest by {max(peaks) - min(peaks):.0f} MB "
        "(`python -m bench.files.memory`):\n\n"
        + table(("file", "peak / MB", "× real time, wall", "× real time, processor time"), rows),
    )


if __name__ == "__main__":
    in_folder(memory)
