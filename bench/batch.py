"""What batches cost and what they survive: ``python -m bench.batch PART …``."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from bench.peers import rnnoise_step
from bench.report import table, write_section
from resonance.app.batch import pool, ray_runner
from resonance.app.batch.manifest import Manifest
from resonance.app.batch.plan import plan
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import Outcome, clean_file, denoiser
from resonance.app.stretch_pipeline import BLOCK_S, StretchPipeline
from resonance.assets import DEMO

Sound = NDArray[np.float32]

ROUNDS = 8
MINUTE = 60
#: Length of the sound for the throughput of one core.
SPEED_S = 10.24
COMMAND = [sys.executable, "-m", "resonance", "batch"]


def speech(samplerate: int, seconds: float = MINUTE) -> Sound:
    """The demo recording again and again [samples]."""
    sound, rate = soundfile.read(DEMO, dtype="float32")
    resampled = soxr.resample(sound, rate, samplerate)
    return np.resize(resampled, round(seconds * samplerate)).astype(np.float32)


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


def in_blocks(preset: str, samplerate: int, sound: Sound) -> Callable[[], None]:
    """The whole sound through the batch pipeline."""
    pipeline = StretchPipeline(samplerate, denoiser=denoiser(preset))
    out, size = np.empty_like(sound), round(BLOCK_S * samplerate)

    def work() -> None:
        pipeline.reset()
        for start in range(0, len(sound), size):
            pipeline.process(sound[start : start + size], out[start : start + size])

    return work


def peers(samplerate: int, sound: Sound) -> dict[str, Callable[[], object]]:
    """RNNoise and noisereduce on the same sound."""
    noisereduce, step = importlib.import_module("noisereduce"), rnnoise_step()

    def rnnoise() -> None:
        heard = soxr.resample(sound, samplerate, 48000) if samplerate != 48000 else sound
        for start in range(0, len(heard) - 479, 480):
            step(heard[start : start + 480])

    name = "RNNoise 0.2" if samplerate == 48000 else "RNNoise 0.2, resampled to 48 kHz"
    return {name: rnnoise, "noisereduce": lambda: noisereduce.reduce_noise(y=sound, sr=samplerate)}


def speed(folder: Path) -> None:
    """Throughput of one core, beside others."""
    rows = []
    with one_core():
        for samplerate in (16000, 48000):
            sound = speech(samplerate, SPEED_S)
            source = folder / f"{samplerate}.wav"
            soundfile.write(source, sound, samplerate)
            work: dict[str, Callable[[], object]] = {}
            for preset in ("live", "studio"):
                job = BatchJob(str(source), str(folder / f"{samplerate}-{preset}.wav"))
                work[f"Resonance `{preset}`, array to array"] = in_blocks(preset, samplerate, sound)
                work[f"Resonance `{preset}`, file to file with levels and pictures"] = (
                    lambda j=job, p=preset: clean_file(j, BatchSettings(p))
                )
            for name, run in (work | peers(samplerate, sound)).items():
                wall, cpu = best(run)
                rows.append(
                    (f"{samplerate}", name, f"{SPEED_S / wall:.1f}", f"{SPEED_S / cpu:.1f}")
                )
    header = ("Hz", "system", "× real time, wall", "× real time, processor time")
    write_section(
        "batch-speed",
        f"## Batch\n\n{SPEED_S:g} s of speech on one core, one thread each, best of "
        f"{ROUNDS} rounds; the machine was shared, so processor time stands beside wall time "
        f"(`python -m bench.batch speed`):\n\n{table(header, rows)}",
    )


def copies(folder: Path, count: int, seconds: float, samplerate: int = 16000) -> list[BatchJob]:
    """So many recordings of speech, each its own."""
    rng, sound = np.random.default_rng(0), speech(samplerate, seconds)
    jobs = []
    for number in range(count):
        path = folder / "in" / f"{number % 10}" / f"{number:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.roll(sound, rng.integers(len(sound))), samplerate)
        jobs.append(BatchJob(str(path), str(folder / "out" / path.name), path.stat().st_size))
    return jobs


def _pool_rate(jobs: list[BatchJob], processes: int) -> tuple[float, float]:
    """Seconds of sound a second and processor time a second of sound, once all are warm."""
    begin, heard, cpu = None, 0.0, 0.0
    outcomes = pool.clean_all(jobs, BatchSettings("live"), processes, lambda *_: None)
    for count, outcome in enumerate(outcomes, 1):
        if begin is not None:
            heard, cpu = heard + outcome.seconds, cpu + outcome.cpu_s
        if count == processes:
            begin = time.perf_counter()
    assert begin is not None
    return heard / (time.perf_counter() - begin), cpu / heard


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
        "the work of one; best of five runs in turns (`python -m bench.batch scaling`):\n\n"
        + table(
            ("processes", "× real time, wall", "each run", "processor ms for a second of sound"),
            rows,
        ),
    )


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
        "(`python -m bench.batch memory`):\n\n"
        + table(("file", "peak / MB", "× real time, wall", "× real time, processor time"), rows),
    )


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("resonance-batch")
    }


def kills(folder: Path) -> None:
    """A thousand files, killed ten times."""
    copies(folder, 1000, 1.0)
    run = [*COMMAND, str(folder / "in"), "--no-report", "--preset", "live", "-o"]
    begin = time.monotonic()
    subprocess.run([*run, str(folder / "calm")], check=True)
    whole_s = time.monotonic() - begin
    rng, out, after = random.Random(), folder / "out", []
    for _ in range(10):
        process = subprocess.Popen([*run, str(out), "--resume"], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.0) * whole_s / 6)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after.append(len(list(out.rglob("*.wav"))))
    subprocess.run([*run, str(out), "--resume"], check=True)
    calm, torn = _contents(folder / "calm"), _contents(out)
    same = calm == torn
    write_section(
        "batch-kills",
        f"### Killed and resumed\n\n1000 files of a second, `--resume`, SIGKILL at ten random "
        f"moments, when {', '.join(map(str, after))} outputs were there, then to the end: "
        f"{len(torn)} outputs, {'each identical to' if same else 'NOT identical to'} that of an "
        f"undisturbed run, nothing else in the folder (`python -m bench.batch kills`).",
    )


def _fuzzed(content: bytes, rng: random.Random) -> bytes:
    """Some bytes of the header replaced, so that it cannot be right."""
    changed = bytearray(content)
    for place in rng.sample(range(12), 6):
        changed[place] = rng.randrange(256)
    changed[rng.randrange(4)] = 0
    return bytes(changed)


def damage(folder: Path) -> None:
    """Two hundred damaged inputs among good ones."""
    rng = random.Random(0)
    jobs = copies(folder, 20, 1.0)
    whole = Path(jobs[0].source).read_bytes()
    flac = folder / "whole.flac"
    soundfile.write(flac, speech(16000, 4.0), 16000)
    there = folder / "in"
    kinds = {
        "random bytes": lambda p: p.write_bytes(rng.randbytes(rng.randrange(1, 5000))),
        "header fuzzed": lambda p: p.write_bytes(_fuzzed(whole, rng)),
        "cut within the header": lambda p: p.write_bytes(whole[: rng.randrange(1, 40)]),
        "FLAC cut in the middle": lambda p: p.with_suffix(".flac").write_bytes(
            flac.read_bytes()[: rng.randrange(5000, flac.stat().st_size // 2)]
        ),
        "empty": lambda p: p.touch(),
        "a folder": lambda p: p.mkdir(),
        "text": lambda p: p.write_text("not audio at all"),
        "a link to nothing": lambda p: p.symlink_to(there / "nowhere"),
    }
    makers = list(kinds.values())
    for number in range(200):
        makers[number % len(makers)](there / f"bad{number:03}.wav")
    done = subprocess.run(
        [*COMMAND, str(there), "-o", str(folder / "done"), "--no-report", "--preset", "live"],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    once = sum(sum(f"bad{n:03}" in line for line in told) == 1 for n in range(200))
    good = len(list((folder / "done").rglob("*.wav")))
    write_section(
        "batch-damage",
        f"### Damaged inputs\n\n200 damaged inputs ({', '.join(kinds)}) among 20 good ones: "
        f"{once} of 200 reported in one line each, {good} of 20 good files done, exit code "
        f"{done.returncode} (`python -m bench.batch damage`).",
    )


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
        "shared machine; what Ray adds is the difference (`python -m bench.batch ray`):\n\n"
        + table(("run by", "ms a file, wall", "driver's processor time / ms"), rows),
    )


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
        f"(`python -m bench.batch driver`):\n\n" + table(("for a file", "takes"), rows),
    )


def _size(base: Path) -> int:
    return sum(path.stat().st_size for path in base.parent.glob(f"{base.name}*"))


PARTS = {part.__name__: part for part in (speed, scaling, memory, kills, damage, ray, driver)}


@click.command()
@click.argument("parts", nargs=-1, required=True, type=click.Choice(list(PARTS)))
def main(parts: tuple[str, ...]) -> None:
    """Measure PARTS, each into its section of docs/benchmarks.md."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="resonance-bench-") as folder:
            PARTS[part](Path(folder))


if __name__ == "__main__":
    main()
