"""What the pipeline costs on one core: ``python -m bench.speed``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import click
import numpy as np
from numpy.typing import NDArray

from app.pipeline import Pipeline
from app.sessions import DenoiserModel, SpotterModel
from bench.report import table, write_section

SECONDS = 20
ROUNDS = 5
BLOCK_S = 0.005


def demo_like(samplerate: int) -> NDArray[np.float32]:
    """Bursts of tones in noise [samples]."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * samplerate) / samplerate
    tone = 0.2 * np.sin(2 * np.pi * 180 * t) * (np.sin(2 * np.pi * 1.7 * t) > 0)
    return (tone + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def time_pipeline(make: Callable[[], Pipeline], sound: NDArray[np.float32]) -> tuple[float, ...]:
    """Real-time factor, and median and 99.9th percentile time of a block, ms."""
    pipeline = make()
    block = round(pipeline.samplerate * BLOCK_S)
    rounds: list[NDArray[np.float64]] = []
    out = np.empty(block, np.float32)
    for _ in range(ROUNDS):
        pipeline.reset()
        times = []
        for start in range(0, len(sound) - block + 1, block):
            begin = time.perf_counter()
            pipeline.process(sound[start : start + block], out)
            times.append(time.perf_counter() - begin)
        rounds.append(np.array(times))
    chosen = sorted(rounds, key=np.sum)[ROUNDS // 2]
    return (
        float(chosen.sum() / SECONDS),
        float(1000 * np.median(chosen)),
        float(1000 * np.percentile(chosen, 99.9)),
    )


@click.command()
def main() -> None:
    """Time denoising, spotting and both at several samplerates; median round of five."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    live, studio, spotter = (
        DenoiserModel.preset("live"),
        DenoiserModel.preset("studio"),
        SpotterModel(),
    )
    rows = []
    for samplerate in (8000, 16000, 44100, 48000, 96000):
        sound = demo_like(samplerate)
        for name, parts in (
            ("live + spot", {"denoiser": live, "spotter": spotter}),
            ("live", {"denoiser": live}),
            ("studio", {"denoiser": studio}),
            ("spot", {"spotter": spotter}),
        ):
            rate, chosen = samplerate, parts
            factor, median, worst = time_pipeline(lambda r=rate, c=chosen: Pipeline(r, **c), sound)
            share = f"{worst / (10 * BLOCK_S):.1f}"
            rows.append(
                (f"{samplerate}", name, f"{factor:.4f}", f"{median:.3f}", f"{worst:.3f}", share)
            )
    header = ("Hz", "parts", "real-time factor", "5 ms block: median / ms", "99.9 % / ms",
              "of the block / %")  # fmt: skip
    write_section(
        "speed",
        "## Cost\n\nStreaming pipeline pinned to one core, blocks of 5 ms, median of "
        f"{ROUNDS} rounds of {SECONDS} s (`python -m bench.speed`). Latency added: 0 samples "
        f"(`studio`: 20 ms).\n\n{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
