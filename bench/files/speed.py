"""Throughput of one core, beside others: ``python -m bench.files.speed``."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import soundfile
import soxr

import resonance
from bench.denoising.peers import rnnoise_step
from bench.files.recordings import Sound, in_folder, speech
from bench.report import table, write_section
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import clean_file

ROUNDS = 8
#: Length of the sound, s.
SECONDS = 10.24


def best(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Shortest wall time and shortest processor time, s; once before to warm up."""
    work()
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(w for w, _ in times), min(c for _, c in times)


@contextmanager
def one_core() -> Iterator[None]:
    """Everything on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    yield
    os.sched_setaffinity(0, before)


def cleaned(job: BatchJob, settings: BatchSettings) -> None:
    """Clean a file; RuntimeError if that failed."""
    error = clean_file(job, settings).error
    if error:
        raise RuntimeError(error)


def peers(samplerate: int, sound: Sound) -> dict[str, Callable[[], object]]:
    """RNNoise and noisereduce on the same sound."""
    noisereduce, step = importlib.import_module("noisereduce"), rnnoise_step()

    def rnnoise() -> None:
        resampled = soxr.resample(sound, samplerate, 48000) if samplerate != 48000 else sound
        for start in range(0, len(resampled) - 479, 480):
            step(resampled[start : start + 480])

    name = "RNNoise 0.2" if samplerate == 48000 else "RNNoise 0.2, resampled to 48 kHz"
    return {name: rnnoise, "noisereduce": lambda: noisereduce.reduce_noise(y=sound, sr=samplerate)}


def speed(folder: Path) -> None:
    """Throughput of one core, beside others."""
    rows = []
    with one_core():
        for samplerate in (16000, 48000):
            sound = speech(samplerate, SECONDS)
            source = folder / f"{samplerate}.wav"
            soundfile.write(source, sound, samplerate)
            work: dict[str, Callable[[], object]] = {}
            for preset in ("live", "studio"):
                target = str(folder / f"{samplerate}-{preset}.wav")
                job = BatchJob(str(source), target, replaces=(target,))
                work[f"Resonance `{preset}`, array to array"] = partial(
                    resonance.clean, sound, samplerate, preset=preset
                )
                work[f"Resonance `{preset}`, file to file with levels and pictures"] = partial(
                    cleaned, job, BatchSettings(preset)
                )
            for name, run in (work | peers(samplerate, sound)).items():
                wall, cpu = best(run)
                rows.append(
                    (f"{samplerate}", name, f"{SECONDS / wall:.1f}", f"{SECONDS / cpu:.1f}")
                )
    header = ("Hz", "system", "× real time, wall", "× real time, processor time")
    write_section(
        "batch-speed",
        f"## Batch\n\n{SECONDS:g} s of speech on one core, one thread each, best of "
        f"{ROUNDS} rounds; the machine was shared, so processor time is given, too "
        f"(`python -m bench.files.speed`):\n\n{table(header, rows)}",
    )


if __name__ == "__main__":
    in_folder(speed)
