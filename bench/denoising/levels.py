"""The same mixtures, quieter: ``python -m bench.denoising.levels --data DIR --peer GTCRN=FILE …``.

A denoiser that goes by how loud a microphone is loses quiet speech. Every system cleans the dev
mixtures of :mod:`bench.denoising.quality` as they are and up to 50 dB quieter; SI-SDR does not
depend on the level, so a system that does not either gives the same figure in every column.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from bench.denoising.quality import LONGEST_S, Settings, mixed, noise_for
from bench.denoising.scores import Sound, sdr_db
from bench.report import table, write_section
from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.mixing import speech_rms
from resonance.models.options import DATA, WORK
from resonance.models.train_denoiser import DEV_SNRS_DB, stores

QUIETER_DB = (0, 20, 40, 50)


def mixtures(data: Path, work: Path, count: int) -> list[tuple[Sound, Sound]]:
    """Noisy and clean sound of held-out speakers and noises, each SNR in turn.

    Parameters
    ----------
    data
        Folder of recordings.
    work
        Folder for decoded audio.
    count
        How many.

    Returns
    -------
    list of tuple
        Noisy and clean [samples].
    """
    speech, noises = stores(find_recordings(data), "dev", work)
    found = []
    for index in range(count):
        rng = np.random.default_rng((2028, index))
        clean = speech.get(index, 0, LONGEST_S * SAMPLERATE)
        clean = clean * np.float32(0.05 / speech_rms(clean))
        noise, _ = noise_for(rng, noises, len(clean))
        found.append((mixed(clean, noise, DEV_SNRS_DB[index % len(DEV_SNRS_DB)]), clean))
    return found


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option("--preset", "presets", multiple=True, default=("live", "call", "studio"))
@click.option(
    "--peer", "files", multiple=True, metavar="NAME=FILE", help="As in bench.denoising.quality."
)
@click.option("--count", default=20, help="Mixtures.")
def main(
    data: Path, work: Path, presets: tuple[str, ...], files: tuple[str, ...], count: int
) -> None:
    """Measure; write the section "levels" of docs/benchmarks.md."""
    pairs = mixtures(data, work, count)
    rows = []
    for system in tqdm(Settings(data, work, presets, (), True, files, None).systems()):
        cells = []
        for quieter_db in QUIETER_DB:
            gain = np.float32(10 ** (-quieter_db / 20))
            scores = [sdr_db(system.start()(noisy * gain), clean) for noisy, clean in pairs]
            cells.append(f"{np.mean(scores):.2f}")
        rows.append((system.name, *cells))
    header = ("SI-SDR / dB", "as recorded", *(f"{db} dB quieter" for db in QUIETER_DB[1:]))
    write_section(
        "levels",
        f"## Quiet microphones\n\n{count} dev mixtures at −5 to 15 dB, speech at −26 dBFS, and the "
        "same made quieter, computed in floating point "
        "(`python -m bench.denoising.levels --data DIR --peer GTCRN=FILE …`).\n\n"
        f"{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
