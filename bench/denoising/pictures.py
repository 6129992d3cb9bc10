"""Pictures for the docs: ``python -m bench.denoising.pictures --data DIR``.

Spectrograms of a few dev mixtures before and after, the bank, and learning curves. Only pictures
are kept: none of the recordings may leave the data folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from bench.denoising.peers import ours
from bench.denoising.quality import mixed, noise_for
from bench.denoising.scores import Sound, sdr_db
from bench.report import DOCS
from resonance.app.onnx_models import DenoiserModel
from resonance.app.presets import LIVE_PRESET
from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.mixing import speech_rms
from resonance.models.options import DATA, WORK
from resonance.models.train_denoiser import stores

#: (sentence, SNR in dB) of the mixtures that are drawn.
ITEMS = ((3, 0.0), (20, 5.0), (41, 0.0))
SECONDS = 4
CURVES = (("loss", "loss"), ("improvement", "SI-SDR improvement / dB"), ("estoi", "ESTOI"))


def spectrogram(axes: Axes, sound: Sound, title: str) -> None:
    """Draw one sound, 80 dB deep.

    Parameters
    ----------
    axes
        To draw into.
    sound
        [samples] at 16 kHz.
    title
        Above it.
    """
    axes.specgram(
        sound + 1e-9, NFFT=512, noverlap=384, Fs=SAMPLERATE, vmin=-140, vmax=-50, cmap="magma"
    )
    axes.set_title(title, fontsize=9)
    axes.set_ylabel("Hz")


def before_and_after(folder: Path, work: Path, target: Path) -> None:
    """One row for each mixture: noisy, each preset, clean.

    Parameters
    ----------
    folder
        Of recordings.
    work
        Folder for decoded audio.
    target
        The picture.
    """
    speech, noises = stores(find_recordings(folder), "dev", work)
    systems = [ours(preset) for preset in ("live", "call", "studio")]
    figure, grid = plt.subplots(
        len(ITEMS),
        2 + len(systems),
        figsize=(19, 2.7 * len(ITEMS)),
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    for row, (index, snr_db) in zip(grid, ITEMS, strict=True):
        rng = np.random.default_rng((2027, index))
        clean = speech.get(index, 0, SECONDS * SAMPLERATE)
        clean = clean * np.float32(0.05 / speech_rms(clean))
        noise, label = noise_for(rng, noises, len(clean))
        noisy = mixed(clean, noise, snr_db)
        sounds = [("noisy: " + label, noisy)]
        sounds += [(system.name.replace("`", ""), system.start()(noisy)) for system in systems]
        for axes, (name, sound) in zip(row, sounds, strict=False):
            spectrogram(axes, sound, f"{name}, SI-SDR {sdr_db(sound, clean):.1f} dB")
        spectrogram(row[-1], clean, "clean")
    for axes in grid[-1]:
        axes.set_xlabel("s")
    figure.savefig(target, dpi=80)


def the_bank(target: Path) -> None:
    """Where the oscillators are, and what every eighth of them lets through."""
    model = DenoiserModel.preset(LIVE_PRESET)
    bank, broad = model.bank, model.carriers
    figure, (places, responses) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    for chosen, name in ((broad, "broad"), (~broad, "narrow")):
        places.scatter(bank.f0_hz[chosen], bank.damping_ratio[chosen], s=9, label=name)
    places.set(xscale="log", yscale="log", xlabel="f0 / Hz", ylabel="damping ratio")
    places.legend()
    hz = np.geomspace(50, SAMPLERATE / 2, 2000)
    for number in range(0, len(bank), 8):
        ratio = hz / bank.f0_hz[number]
        size = (
            2
            * bank.damping_ratio[number]
            * ratio
            / np.hypot(1 - ratio**2, 2 * bank.damping_ratio[number] * ratio)
        )
        color = "C0" if broad[number] else "C1"
        responses.plot(hz, 20 * np.log10(size), color=color, lw=0.9)
    responses.set(xscale="log", xlabel="Hz", ylabel="velocity / dB of its peak", ylim=(-40, 2))
    figure.savefig(target, dpi=80)


def learning_curves(runs: tuple[Path, ...], target: Path) -> None:
    """Dev scores over the hours of mixtures that runs have heard (their ``scores.jsonl``)."""
    figure, grid = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for run in runs:
        lines = (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()
        scores = [json.loads(line) for line in lines]
        hours = [s["hours"] for s in scores]
        for axes, (name, title) in zip(grid, CURVES, strict=True):
            axes.plot(hours, [s[name] for s in scores], marker=".", label=run.name)
            axes.set(xlabel="hours of mixtures", title=title)
            axes.grid(alpha=0.3)
    grid[0].legend()
    figure.savefig(target, dpi=80)


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option(
    "--run",
    "runs",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="Folder of a training run, for docs/learning.png; may be repeated.",
)
def main(data: Path, work: Path, runs: tuple[Path, ...]) -> None:
    """Draw docs/before-after.png, docs/bank.png and docs/learning.png."""
    plt.switch_backend("Agg")
    before_and_after(data, work, DOCS / "before-after.png")
    the_bank(DOCS / "bank.png")
    if runs:
        learning_curves(runs, DOCS / "learning.png")


if __name__ == "__main__":
    main()
