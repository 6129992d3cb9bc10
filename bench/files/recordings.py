"""Recordings to measure with, and an empty folder to do it in."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from resonance.app.batch.settings import BatchJob
from resonance.assets import DEMO

Sound = NDArray[np.float32]

MINUTE = 60  #: s
#: The command line of a batch.
COMMAND = [sys.executable, "-m", "resonance", "batch"]


def speech(samplerate: int, seconds: float = MINUTE) -> Sound:
    """The demo recording again and again [samples]."""
    sound, rate = soundfile.read(DEMO, dtype="float32")
    resampled = soxr.resample(sound, rate, samplerate)
    return np.resize(resampled, round(seconds * samplerate)).astype(np.float32)


def copies(folder: Path, count: int, seconds: float, samplerate: int = 16000) -> list[BatchJob]:
    """So many recordings of speech, each its own.

    Parameters
    ----------
    folder
        Gets "in", and "out" later.
    count
        How many.
    seconds
        Of each.
    samplerate
        Hz.

    Returns
    -------
    list of BatchJob
        From "in" to "out".
    """
    rng, sound = np.random.default_rng(0), speech(samplerate, seconds)
    jobs = []
    for number in range(count):
        path = folder / "in" / f"{number % 10}" / f"{number:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.roll(sound, rng.integers(len(sound))), samplerate)
        jobs.append(BatchJob(str(path), str(folder / "out" / path.name), path.stat().st_size))
    return jobs


def in_folder(measure: Callable[[Path], None]) -> None:
    """Run a measurement in an empty folder, with one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="resonance-bench-") as folder:
        measure(Path(folder))
