"""What the pipeline costs on one core: ``python -m bench.live.speed``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from operator import itemgetter
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from bench.report import table, write_section
from resonance.app.onnx_models import DenoiserModel, SpotterModel, SpotterState
from resonance.app.pipeline import Pipeline

SECONDS = 20
ROUNDS = 5
BLOCK_S = 0.005


def demo_like(samplerate: int) -> NDArray[np.float32]:
    """Bursts of tones in noise [samples]."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * samplerate) / samplerate
    tone = 0.2 * np.sin(2 * np.pi * 180 * t) * (np.sin(2 * np.pi * 1.7 * t) > 0)
    return (tone + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


class Round(NamedTuple):
    """One run over the sound from its start."""

    computing_s: float  #: time this program computed, waiting for others left out
    blocks_s: NDArray[np.float64]  #: how long each block took, waiting included [blocks]


def listened(pipeline: Pipeline, sound: NDArray[np.float32]) -> Round:
    """Process a sound block by block."""
    block = round(pipeline.samplerate * BLOCK_S)
    out, times = np.empty(block, np.float32), []
    pipeline.reset()
    first = time.thread_time()
    for start in range(0, len(sound) - block + 1, block):
        begin = time.perf_counter()
        pipeline.process(sound[start : start + block], out)
        times.append(time.perf_counter() - begin)
    return Round(time.thread_time() - first, np.array(times))


def time_pipelines(
    pipelines: Mapping[str, Pipeline], sound: NDArray[np.float32]
) -> dict[str, tuple[float, ...]]:
    """Real-time factor, and median and 99.9th percentile time of a block, ms, of each.

    They take turns, so that a busier minute of the machine meets all of them.
    """
    rounds = [
        {name: listened(pipeline, sound) for name, pipeline in pipelines.items()}
        for _ in range(ROUNDS)
    ]
    found: dict[str, tuple[float, ...]] = {}
    for name in pipelines:
        chosen = sorted((each[name] for each in rounds), key=itemgetter(0))[ROUNDS // 2]
        median_s, worst_s = np.percentile(chosen.blocks_s, (50, 99.9))
        found[name] = chosen.computing_s / SECONDS, float(1000 * median_s), float(1000 * worst_s)
    return found


def step_times(model: SpotterModel) -> NDArray[np.float64]:
    """Time of each of many steps of the spotter alone, s."""
    state, rng, times = SpotterState(model), np.random.default_rng(0), []
    frames = rng.normal(0, 1, (5000, model.step_frames, model.bands)).astype(np.float32)
    for step in frames:  # the same again would not be computed again
        begin = time.perf_counter()
        state.step(step)
        times.append(time.perf_counter() - begin)
    return np.array(times)


@click.command()
def main() -> None:
    """Time denoising, spotting and both at several samplerates; median round of five."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    live, call, studio = (DenoiserModel.preset(name) for name in ("live", "call", "studio"))
    spotter = SpotterModel()
    rows, added = [], {}
    for samplerate in (8000, 16000, 44100, 48000, 96000):
        pipelines = {
            "call + spot": Pipeline(samplerate, denoiser=call, spotter=spotter),
            "live": Pipeline(samplerate, denoiser=live),
            "call": Pipeline(samplerate, denoiser=call),
            "studio": Pipeline(samplerate, denoiser=studio),
            "spot": Pipeline(samplerate, spotter=spotter),
        }
        found = time_pipelines(pipelines, demo_like(samplerate))
        added[samplerate] = 100 * (found["call + spot"][0] - found["call"][0])
        for name, (factor, median, worst) in found.items():
            share = f"{worst / (10 * BLOCK_S):.1f}"
            rows.append(
                (f"{samplerate}", name, f"{factor:.4f}", f"{median:.3f}", f"{worst:.3f}", share)
            )
    step_us = 1e6 * np.median(step_times(spotter))
    header = (
        "Hz",
        "parts",
        "real-time factor",
        "5 ms block: median / ms",
        "99.9 % / ms",
        "of the block / %",
    )
    write_section(
        "speed",
        "## Cost\n\nStreaming pipeline pinned to one core, blocks of 5 ms, median of "
        f"{ROUNDS} rounds of {SECONDS} s (`python -m bench.live.speed`); the real-time factor "
        "counts time computed only, the blocks' times what others took, too. Latency added: 0 "
        f"samples (`call`: 8 ms, `studio`: 20 ms).\n\n{table(header, rows)}\n\nThe spotter adds "
        f"{added[48000]:.2f} % of the core to `call` at 48 kHz and {added[16000]:.2f} % at 16 kHz. "
        f"Its step, every {1000 * spotter.step_s:g} ms, takes {step_us:.0f} µs when nothing else "
        f"runs in between ({step_us / spotter.step_s / 1e4:.2f} %).",
    )


if __name__ == "__main__":
    main()
