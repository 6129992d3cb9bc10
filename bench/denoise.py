"""How well the shipped denoiser cleans held-out speech: ``python -m bench.denoise --data DIR``.

Everything goes through the streaming pipeline, in blocks of 10 ms. Speakers and noises are those
of the dev split; every sentence meets one random noise at each signal-to-noise ratio.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from pystoi import stoi

from app.pipeline import Pipeline
from app.sessions import DenoiserModel
from bench.report import table, write_section
from models.data import SAMPLERATE, AudioStore, find_recordings
from models.losses import si_sdr_db
from models.mixing import Sound, rms, speech_rms
from models.train_denoiser import DEV_SNRS_DB, stores
from models.vowels import noisy_vowel

BLOCK = SAMPLERATE // 100
LONGEST_S = 6


def clean_through(pipeline: Pipeline, noisy: Sound) -> Sound:
    """The sound cleaned from rest, block by block."""
    pipeline.reset()
    out = np.empty_like(noisy)
    for start in range(0, len(noisy), BLOCK):
        pipeline.process(noisy[start : start + BLOCK], out[start : start + BLOCK])
    return out


def sdr_db(estimate: Sound, target: Sound) -> float:
    """SI-SDR of one sound, dB."""
    pair = (torch.from_numpy(s).double()[None] for s in (estimate, target))
    return float(si_sdr_db(*pair))


def snr_db(estimate: Sound, target: Sound) -> float:
    """Plain signal-to-noise ratio, dB."""
    return float(10 * np.log10(np.sum(target**2.0) / np.sum((estimate - target) ** 2.0)))


def noise_for(rng: np.random.Generator, store: AudioStore, length: int) -> Sound:
    """A random stretch of a random dev noise that is not silent, looped if short."""
    while True:
        index = int(rng.integers(len(store)))
        noise = store.get(index)
        if rms(noise) > 1e-3:
            start = int(rng.integers(len(noise)))
            return np.resize(np.roll(noise, -start), length)


def measure_speech(pipeline: Pipeline, folder: Path, work: Path) -> str:
    """Table of SI-SDR and ESTOI before and after, per SNR, and clean speech alone."""
    speech, noises = stores(find_recordings(folder), "dev", work)
    rng = np.random.default_rng(2026)
    scores: dict[float, list[list[float]]] = {snr: [] for snr in DEV_SNRS_DB}
    clean_scores = []
    for index in range(len(speech)):
        clean = speech.get(index, 0, LONGEST_S * SAMPLERATE)
        clean = clean * np.float32(0.05 / speech_rms(clean))
        clean_scores.append(sdr_db(clean_through(pipeline, clean), clean))
        for snr in DEV_SNRS_DB:
            noise = noise_for(rng, noises, len(clean))
            scale = speech_rms(clean) * 10 ** (-snr / 20) / rms(noise)
            noisy = (clean + noise * scale).astype(np.float32)
            after = clean_through(pipeline, noisy)
            pair = [sdr_db(noisy, clean), sdr_db(after, clean)]
            pair += [float(stoi(clean, s, SAMPLERATE, extended=True)) for s in (noisy, after)]
            scores[snr].append(pair)
    rows = [_row(f"{snr:g}", np.mean(scores[snr], axis=0)) for snr in DEV_SNRS_DB]
    rows.append(_row("all", np.mean([np.mean(scores[s], axis=0) for s in DEV_SNRS_DB], axis=0)))
    header = ("SNR / dB", "SI-SDR noisy", "cleaned", "gain", "ESTOI noisy", "cleaned")
    return (
        f"{len(speech)} dev sentences, each at {len(DEV_SNRS_DB)} SNRs in a random dev noise "
        f"(`python -m bench.denoise --data DIR`):\n\n{table(header, rows)}\n\n"
        f"Clean speech passes at {np.mean(clean_scores):.1f} dB SI-SDR on average "
        f"(worst sentence {np.min(clean_scores):.1f} dB)."
    )


def _row(name: str, mean: np.ndarray) -> tuple[str, ...]:
    before, after, estoi_before, estoi_after = mean
    return (
        name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}",
        f"{estoi_before:.3f}", f"{estoi_after:.3f}",
    )  # fmt: skip


def wiener(pairs: list[tuple[Sound, Sound]]) -> float:
    """SNR of one fixed Wiener filter that knows the vowels' average spectrum, dB."""
    clean = np.mean([np.abs(np.fft.rfft(c)) ** 2 for c, _ in pairs], axis=0)
    noise = np.mean([np.abs(np.fft.rfft(n - c)) ** 2 for c, n in pairs], axis=0)
    clean = np.convolve(clean, np.ones(201) / 201, "same")
    gain = clean / (clean + noise)
    return float(
        np.mean([snr_db(np.fft.irfft(np.fft.rfft(n) * gain, len(n)), c) for c, n in pairs])
    )


def measure_vowels(models: list[tuple[str, DenoiserModel]]) -> str:
    """Table of the synthetic vowel task."""
    rng = np.random.default_rng(31415)
    pairs = [noisy_vowel(rng) for _ in range(150)]
    rows = [("noisy", f"{np.mean([snr_db(n, c) for c, n in pairs]):.2f}")]
    rows.append(("published oscillator denoiser (its own vowels)", "10.8"))
    rows.append(("one fixed Wiener filter, average spectra known", f"{wiener(pairs):.2f}"))
    for name, model in models:
        pipeline = Pipeline(SAMPLERATE, denoiser=model)
        after = [snr_db(clean_through(pipeline, n), c) for c, n in pairs]
        rows.append((name, f"{np.mean(after):.2f}"))
    return (
        "150 synthetic vowels of 0.5 s in white noise, SNR in dB, each from rest "
        f"(`python -m bench.denoise --vowels`):\n\n{table(('', 'SNR / dB'), rows)}"
    )


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Folder of recordings.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs"),
              help="Folder for decoded audio.")  # fmt: skip
@click.option("--preset", default="live")
@click.option("--vowels", is_flag=True, help="Measure the vowel task.")
def main(data: Path | None, work: Path, preset: str, vowels: bool) -> None:
    """Measure the shipped denoiser and write the tables into docs/benchmarks.md."""
    model = DenoiserModel.preset(preset)
    if data:
        text = measure_speech(Pipeline(SAMPLERATE, denoiser=model), data, work)
        write_section(f"denoise {preset}", f"## Denoising, preset `{preset}`\n\n{text}")
    if vowels:
        models = [
            (f"preset `{preset}`, trained on speech", model),
            ("preset `vowels`, the same network trained on vowels", DenoiserModel.preset("vowels")),
        ]
        write_section("vowels", f"## Synthetic vowels\n\n{measure_vowels(models)}")


if __name__ == "__main__":
    main()
