"""How well voice and noise level are read: ``python -m bench.denoising.readings --data DIR``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from bench.report import table, write_section
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.losses import true_readings
from resonance.models.mixing import Sound
from resonance.models.options import DATA, WORK
from resonance.models.train_denoiser import dev_batches

#: The network needs a moment to know the noise, s.
SETTLING_S = 0.5


def read(pipeline: Pipeline, sound: Sound, hop: int) -> NDArray[np.float64]:
    """Voice probability and noise level after every hop [hops, 2].

    Parameters
    ----------
    pipeline
        Is reset first.
    sound
        [samples].
    hop
        Samples.

    Returns
    -------
    ndarray
        [hops, 2].
    """
    pipeline.reset()
    read_outs, out = [], np.empty(hop, np.float32)
    for start in range(0, len(sound) - hop + 1, hop):
        pipeline.process(sound[start : start + hop], out)
        read_outs.append((pipeline.voice, pipeline.noise_dbfs))
    return np.array(read_outs)


def measure(preset: str, batches: list[tuple[float, Sound, Sound]]) -> list[tuple[str, ...]]:
    """A row for each SNR."""
    model = DenoiserModel.preset(preset)
    pipeline, hop = Pipeline(SAMPLERATE, denoiser=model), round(model.hop_s * SAMPLERATE)
    settled = round(SETTLING_S / model.hop_s)
    rows: list[tuple[str, ...]] = []
    for snr_db, noisy, clean in batches:
        hops = noisy.shape[1] // hop
        truth = true_readings(torch.from_numpy(noisy), torch.from_numpy(clean), hops)
        voice, level = (part.numpy()[:, settled:] for part in truth)
        got = np.stack([read(pipeline, sound, hop) for sound in noisy])[:, settled:hops]
        said = got[..., 0] > 0.5
        spoken = voice > 0.5
        hits, rejects = said[spoken].mean(), (~said[~spoken]).mean()
        error = np.abs(got[..., 1] - level)
        rows.append(
            (
                preset,
                f"{snr_db:g}",
                f"{100 * hits:.1f}",
                f"{100 * rejects:.1f}",
                f"{error.mean():.1f}",
                f"{np.percentile(error, 90):.1f}",
            )
        )
    return rows


@click.command(context_settings={"show_default": True})
@DATA
@WORK
def main(data: Path, work: Path) -> None:
    """Measure and write the table into docs/benchmarks.md."""
    torch.set_num_threads(1)
    batches = dev_batches(find_recordings(data), work, 16)
    rows = [row for preset in ("live", "studio") for row in measure(preset, batches)]
    header = (
        "preset",
        "SNR / dB",
        "hops with voice found / %",
        "hops without left alone / %",
        "noise level: mean error / dB",
        "90 % within / dB",
    )
    write_section(
        "readings",
        "## Voice and noise level\n\nWhat the network reads beside the gains, hop by hop, on "
        f"{16 * len(batches)} dev mixtures of 4 s, after {SETTLING_S} s; voice is what lies within "
        "30 dB of the loudest hop of the clean speech, noise is its level over 0.4 s "
        f"(`python -m bench.denoising.readings --data DIR`).\n\n{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
