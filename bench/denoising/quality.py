"""Our presets beside other denoisers: ``python -m bench.denoising.quality --data DIR``.

Speakers and noises are held out, those of the dev split; every sentence meets one random noise at
each signal-to-noise ratio. All systems clean the same mixtures in the same run, on one thread each.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm

from bench.denoising import peers
from bench.denoising.scores import edge_energy_kept, estoi, sdr_db, wideband_pesq
from bench.report import table, write_section
from resonance.app.batch.measures import Dnsmos
from resonance.app.onnx_models import DenoiserModel
from resonance.models.data import SAMPLERATE, AudioStore, find_recordings
from resonance.models.mixing import Sound, noise_scale, rms, speech_rms
from resonance.models.options import DATA, WORK
from resonance.models.train_denoiser import DEV_SNRS_DB, stores

LONGEST_S = 6
NOISY = "noisy"
#: Titles of the sections, and the commands that write them.
TITLES = {
    "denoise": (
        "Denoising",
        "python -m bench.denoising.quality --data DIR --peer GTCRN=FILE … --dnsmos FILE",
    ),
    "bits": (
        "Bits per weight",
        "python -m bench.denoising.quality --data DIR --no-packaged --model FILE … --section bits",
    ),
}


@dataclass
class Scores:
    """What one system made of one mixture (or of clean speech alone, ``snr_db`` infinite)."""

    system: str
    snr_db: float
    noise: str
    sdr_db: float
    pesq: float
    estoi: float
    edges: float
    dnsmos: float
    seconds: float
    busy_s: float


@dataclass
class Settings:
    """What every worker needs to rebuild the systems."""

    data: Path
    work: Path
    presets: tuple[str, ...]
    models: tuple[Path, ...]
    packaged: bool
    files: tuple[str, ...]
    dnsmos: Path | None

    def systems(self) -> list[peers.System]:
        """Ours first, then the others."""
        return [
            *(peers.ours(preset) for preset in self.presets),
            *(
                peers.ours_for_files(preset)
                for preset in self.presets
                if DenoiserModel.preset(preset).both_ways
            ),
            *(peers.ours(path.stem.removeprefix("denoiser-"), path) for path in self.models),
            *(peers.packaged() if self.packaged else []),
            *(peers.from_file(file) for file in self.files),
        ]


class Worker:
    """One process's systems, sounds and measures; made once in each."""

    here: Worker

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(1)
        self.settings = settings
        self.speech, self.noises = stores(find_recordings(settings.data), "dev", settings.work)
        self.systems = settings.systems()
        self.dnsmos = Dnsmos(settings.dnsmos) if settings.dnsmos else None

    @classmethod
    def begin(cls, settings: Settings) -> None:
        """Set up this process."""
        cls.here = cls(settings)

    def sentence(self, index: int) -> list[Scores]:
        """All systems on one sentence: clean, and in a random noise at every SNR."""
        rng = np.random.default_rng((2026, index))
        clean = self.speech.get(index, 0, LONGEST_S * SAMPLERATE)
        clean = clean * np.float32(0.05 / speech_rms(clean))
        scores = []
        for snr_db in (*DEV_SNRS_DB, np.inf):
            noise, label = noise_for(rng, self.noises, len(clean))
            noisy = mixed(clean, noise, snr_db)
            if np.isfinite(snr_db):
                scores.append(self._score(NOISY, snr_db, label, noisy, clean, 0.0))
            for system in self.systems:
                clean_sound = system.start()
                begin = time.perf_counter()
                cleaned = clean_sound(noisy)
                busy_s = time.perf_counter() - begin
                scores.append(self._score(system.name, snr_db, label, cleaned, clean, busy_s))
        return scores

    def _score(
        self, name: str, snr_db: float, label: str, sound: Sound, clean: Sound, busy_s: float
    ) -> Scores:
        return Scores(
            name,
            snr_db,
            label,
            sdr_db(sound, clean),
            wideband_pesq(sound, clean),
            estoi(sound, clean),
            edge_energy_kept(sound, clean),
            self.dnsmos.overall(sound) if self.dnsmos else np.nan,
            len(clean) / SAMPLERATE,
            busy_s,
        )


def _sentence(index: int) -> list[Scores]:
    return Worker.here.sentence(index)


def noise_for(rng: np.random.Generator, store: AudioStore, length: int) -> tuple[Sound, str]:
    """A random stretch of a random noise that is not silent, looped if short, and its class.

    Parameters
    ----------
    rng
        Chooses.
    store
        Of noises.
    length
        Samples.

    Returns
    -------
    tuple of (ndarray, str)
        The noise [samples] and its class.
    """
    while True:
        index = int(rng.integers(len(store)))
        noise = store.get(index)
        if rms(noise) > 1e-3:
            start = int(rng.integers(len(noise)))
            label = re.sub(r"^\d+_", "", store.recordings[index].label).replace("_", " ")
            return np.resize(np.roll(noise, -start), length), label


def mixed(clean: Sound, noise: Sound, snr_db: float) -> Sound:
    """Clean speech in noise that is ``snr_db`` softer than its spoken parts.

    Parameters
    ----------
    clean
        Speech [samples].
    noise
        As long [samples].
    snr_db
        Of the speech in the noise.

    Returns
    -------
    ndarray
        [samples].
    """
    return (clean + noise * noise_scale(clean, noise, snr_db)).astype(np.float32)


def measure(settings: Settings, sentences: int | None, jobs: int) -> list[Scores]:
    """Scores of every system on every mixture.

    Parameters
    ----------
    settings
        Systems and data.
    sentences
        How many; None: all.
    jobs
        Processes.

    Returns
    -------
    list of Scores
        One for each system and mixture.
    """
    speech, _ = stores(find_recordings(settings.data), "dev", settings.work)
    count = min(len(speech), sentences or len(speech))
    with ProcessPoolExecutor(jobs, initializer=Worker.begin, initargs=(settings,)) as pool:
        parts = tqdm(pool.map(_sentence, range(count)), total=count, unit="sentence")
        return [score for part in parts for score in part]


def _mean(scores: Sequence[Scores], value: Callable[[Scores], float]) -> float:
    values = [value(score) for score in scores]
    return float(np.nanmean(values)) if not np.all(np.isnan(values)) else float("nan")


def summary(scores: list[Scores], name: str) -> dict[str, float]:
    """Means over a system's mixtures, and SI-SDR of clean speech passed, dB."""
    mixed = [s for s in scores if s.system == name and np.isfinite(s.snr_db)]
    clean = [s for s in scores if s.system == name and not np.isfinite(s.snr_db)]
    return {
        "mixtures": len(mixed),
        "si_sdr_db": round(_mean(mixed, lambda s: s.sdr_db), 2),
        "pesq_wb": round(_mean(mixed, lambda s: s.pesq), 3),
        "estoi": round(_mean(mixed, lambda s: s.estoi), 4),
        "clean_si_sdr_db": round(_mean(clean, lambda s: s.sdr_db), 2),
    }


def overview(scores: list[Scores], systems: Sequence[peers.System]) -> str:
    """One row for each system: means over all mixtures, clean speech, latency, cost."""
    latencies = {system.name: system.latency_ms for system in systems}
    rows = []
    for name in (NOISY, *latencies):
        own = [s for s in scores if s.system == name]
        mixed = [s for s in own if np.isfinite(s.snr_db)]
        clean = [s for s in own if not np.isfinite(s.snr_db)]
        latency = latencies.get(name, 0.0)
        cost = sum(s.busy_s for s in own) / sum(s.seconds for s in own)
        rows.append(
            (
                name,
                *(
                    f"{_mean(mixed, value):.{digits}f}"
                    for value, digits in (
                        (lambda s: s.sdr_db, 2),
                        (lambda s: s.pesq, 2),
                        (lambda s: s.estoi, 3),
                        (lambda s: s.dnsmos, 2),
                        (lambda s: 100 * s.edges, 1),
                    )
                ),
                *(
                    (
                        f"{_mean(clean, lambda s: s.sdr_db):.1f}",
                        f"{_mean(clean, lambda s: 100 * s.edges):.1f}",
                    )
                    if clean
                    else ("–", "–")
                ),
                "whole file" if latency is None else f"{latency:.0f}",
                f"{cost:.3f}" if name != NOISY else "–",
            )
        )
    header = (
        "system",
        "SI-SDR / dB",
        "PESQ-WB",
        "ESTOI",
        "DNSMOS",
        "word edges kept / %",
        "clean speech: SI-SDR / dB",
        "edges / %",
        "latency / ms",
        "real-time factor",
    )
    return table(header, rows)


def by_snr(scores: list[Scores], names: Sequence[str]) -> str:
    """SI-SDR, PESQ-WB and ESTOI of every system at each SNR."""
    snrs = sorted({s.snr_db for s in scores if np.isfinite(s.snr_db)})
    rows = []
    for name in names:
        cells = []
        for snr in snrs:
            own = [s for s in scores if s.system == name and s.snr_db == snr]
            cells.append(
                f"{_mean(own, lambda s: s.sdr_db):.1f} · {_mean(own, lambda s: s.pesq):.2f} · "
                f"{_mean(own, lambda s: s.estoi):.3f}"
            )
        rows.append((name, *cells))
    return table(("SI-SDR · PESQ-WB · ESTOI at", *(f"{snr:g} dB" for snr in snrs)), rows)


def by_noise(scores: list[Scores], names: Sequence[str]) -> str:
    """SI-SDR improvement of every system in each class of noise, most frequent first."""
    mixed = [s for s in scores if np.isfinite(s.snr_db)]
    noisy = [s for s in mixed if s.system == NOISY]
    counts = {label: sum(s.noise == label for s in noisy) for label in {s.noise for s in noisy}}
    rows = []
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        before = _mean([s for s in noisy if s.noise == label], lambda s: s.sdr_db)
        gains = [
            _mean([s for s in mixed if s.system == name and s.noise == label], lambda s: s.sdr_db)
            for name in names
            if name != NOISY
        ]
        rows.append((label, str(counts[label]), *(f"{gain - before:+.1f}" for gain in gains)))
    return table(("noise", "mixtures", *(name for name in names if name != NOISY)), rows)


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option("--preset", "presets", multiple=True, default=("live", "call", "studio"))
@click.option(
    "--model",
    "models",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="More model files of ours, such as quantised ones.",
)
@click.option(
    "--packaged/--no-packaged",
    default=True,
    help="RNNoise, DeepFilterNet3, SpeexDSP, WebRTC, noisereduce.",
)
@click.option(
    "--peer",
    "files",
    multiple=True,
    metavar="NAME=FILE",
    help="ONNX file of gtcrn… or fastenhancer….",
)
@click.option("--dnsmos", type=click.Path(exists=True, path_type=Path), help="DNSMOS P.835 model.")
@click.option("--sentences", type=int, help="Fewer sentences, for a quick look.")
@click.option("--jobs", default=2, help="Processes.")
@click.option(
    "--section",
    type=click.Choice(list(TITLES)),
    default="denoise",
    help="Part of docs/benchmarks.md to write.",
)
@click.option("--write/--no-write", default=True, help="Write docs/benchmarks.md.")
@click.option(
    "--json",
    "as_json",
    type=click.Path(path_type=Path),
    help="File for the means of our presets, for the models' cards.",
)
def main(
    data: Path,
    work: Path,
    presets: tuple[str, ...],
    models: tuple[Path, ...],
    packaged: bool,
    files: tuple[str, ...],
    dnsmos: Path | None,
    sentences: int | None,
    jobs: int,
    section: str,
    write: bool,
    as_json: Path | None,
) -> None:
    """Measure the denoisers side by side and write the tables into docs/benchmarks.md."""
    settings = Settings(data, work, presets, models, packaged, files, dnsmos)
    systems = settings.systems()
    scores = measure(settings, sentences, jobs)
    names = [NOISY, *(system.name for system in systems)]
    mixtures = sum(s.system == NOISY for s in scores)
    title, command = TITLES[section]
    text = (
        f"## {title}\n\n{mixtures} dev mixtures: held-out sentences, each in a random held-out "
        f"noise at {len(DEV_SNRS_DB)} SNRs, 16 kHz, all systems in one run on one thread each "
        f"(`{command}`). Held-out means unheard in training; the dev split also chose our best "
        "checkpoints. Resonance is trained for PESQ, ESTOI, word edges and DNSMOS as well. Means "
        f"over all of them:\n\n{overview(scores, systems)}\n\n"
        f"{by_snr(scores, names)}"
    )
    if section == "denoise":
        text += f"\n\nSI-SDR improvement in dB by class of noise:\n\n{by_noise(scores, names)}"
    if as_json:
        means = {preset: summary(scores, f"Resonance `{preset}`") for preset in presets}
        as_json.write_text(json.dumps(means, indent=2) + "\n", encoding="utf-8")
    if write:
        write_section(section, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
