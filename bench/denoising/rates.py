"""The same sound at several samplerates: ``python -m bench.denoising.rates --data DIR``.

The network learned at 16 kHz; at every other rate its gains must do the same. So all dev mixtures
are cut off below 4 kHz and cleaned at each rate: the sound is the same, the oscillators are not.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import soxr
from tqdm import tqdm

from bench.denoising.levels import mixtures
from bench.denoising.scores import Sound, sdr_db
from bench.report import table, write_section
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from resonance.models.data import SAMPLERATE
from resonance.models.options import DATA, WORK

NARROW_HZ = 8000
RATES_HZ = (8000, 11025, 12000, 16000, 22050, 48000)


def cleaned(model: DenoiserModel, noisy: Sound, samplerate: int) -> Sound:
    """Sound [samples] cleaned at a samplerate, without the delay.

    Parameters
    ----------
    model
        The denoiser.
    noisy
        Sound [samples].
    samplerate
        Hz.

    Returns
    -------
    array
        As many samples.
    """
    pipeline = Pipeline(samplerate, denoiser=model)
    late = pipeline.latency_samples
    padded = np.pad(noisy, (0, late))
    out = np.empty_like(padded)
    pipeline.process(padded, out)
    return out[late:]


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option("--preset", "presets", multiple=True, default=("live", "call", "studio"))
@click.option("--count", default=20, help="Mixtures.")
def main(data: Path, work: Path, presets: tuple[str, ...], count: int) -> None:
    """Measure; write the section "rates" of docs/benchmarks.md."""
    narrow = [
        tuple(soxr.resample(sound, SAMPLERATE, NARROW_HZ) for sound in pair)
        for pair in mixtures(data, work, count)
    ]
    rows = []
    for preset in presets:
        model, cells = DenoiserModel.preset(preset), []
        for rate in tqdm(RATES_HZ, desc=preset):
            pairs = [[soxr.resample(x, NARROW_HZ, rate) for x in pair] for pair in narrow]
            scores = [sdr_db(cleaned(model, noisy, rate), clean) for noisy, clean in pairs]
            cells.append(f"{np.mean(scores):.2f}")
        rows.append((f"`{preset}`", *cells))
    before = f"{np.mean([sdr_db(*pair) for pair in narrow]):.2f}"
    rows.insert(0, ("noisy", *[before] * len(RATES_HZ)))
    write_section(
        "rates",
        f"## Other samplerates\n\n{count} dev mixtures at −5 to 15 dB without what lies above "
        "4 kHz, cleaned at each samplerate (`python -m bench.denoising.rates --data DIR`).\n\n"
        f"{table(('SI-SDR / dB', *(f'{rate / 1000:g} kHz' for rate in RATES_HZ)), rows)}",
    )


if __name__ == "__main__":
    main()
