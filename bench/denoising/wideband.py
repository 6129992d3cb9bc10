"""The wings, above the trained 8 kHz: ``python -m bench.denoising.wideband``.

Everything is synthesised: vowels with hissing consonants up to 20 kHz, alone and in white noise.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from bench.denoising.scores import Sound, snr_db
from bench.report import table, write_section
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline

SECONDS = 12
#: The trained top, and the band above it [Hz].
TOP, ABOVE = (4000.0, 7500.0), (8500.0, 20000.0)


def band(sound: Sound, edges: tuple[float, float], samplerate: int) -> Sound:
    """The part of a sound within ``edges`` (Hz), not delayed.

    Parameters
    ----------
    sound
        [samples].
    edges
        Hz; the upper one at most 0.48 of the samplerate.
    samplerate
        Hz.

    Returns
    -------
    ndarray
        [samples].
    """
    high = min(edges[1], 0.48 * samplerate)
    sos = butter(6, (edges[0], high), "bandpass", fs=samplerate, output="sos")
    return np.asarray(sosfiltfilt(sos, sound), np.float32)


def wideband_speech(samplerate: int) -> Sound:
    """Syllables of a gliding buzz through formants, each after a hiss of 3 to 20 kHz [samples]."""
    rng = np.random.default_rng(1)
    t = np.arange(SECONDS * samplerate) / samplerate
    phase = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.7 * t)) / samplerate
    buzz = np.zeros(len(t))
    for order in range(1, 40):
        level = sum(np.exp(-(((130 * order - f) / 250) ** 2)) for f in (600, 1300, 2500))
        buzz += (level + 0.02 / order) * np.sin(order * phase)
    hiss = band(rng.standard_normal(len(t)).astype(np.float32), (3000, 20000), samplerate)
    place = (t * 3.1) % 1.0
    voiced = np.clip(np.sin(np.pi * np.clip((place - 0.25) / 0.5, 0, 1)), 0, 1)
    fricative = np.clip(np.sin(np.pi * np.clip(place / 0.25, 0, 1)), 0, 1)
    sound = 0.08 * voiced * buzz + 0.02 * fricative * hiss / np.std(hiss)
    return (sound * (np.sin(2 * np.pi * 0.25 * t) > -0.6)).astype(np.float32)


def change_db(after: Sound, before: Sound) -> float:
    """Level after relative to before, dB."""
    return float(10 * np.log10(np.sum(after**2.0) / np.sum(before**2.0)))


def measure(preset: str, samplerate: int) -> tuple[str, ...]:
    """One row of the table."""
    clean = wideband_speech(samplerate)
    noise = 0.01 * np.random.default_rng(2).standard_normal(len(clean)).astype(np.float32)
    played = {}
    for name, sound in (("clean", clean), ("noise", noise), ("both", clean + noise)):
        pipeline = Pipeline(samplerate, denoiser=DenoiserModel.preset(preset))
        late = pipeline.latency_samples
        padded = np.concatenate([sound, np.zeros(late, np.float32)])
        out = np.empty_like(padded)
        pipeline.process(padded, out)
        played[name] = out[late:]
    cells = []
    for edges in (TOP, ABOVE):
        c, n = (band(s, edges, samplerate) for s in (clean, noise))
        after = {name: band(sound, edges, samplerate) for name, sound in played.items()}
        cells += [
            f"{change_db(after['clean'], c):+.1f}",
            f"{change_db(after['noise'], n):+.1f}",
            f"{snr_db(after['both'], c) - snr_db(c + n, c):+.1f}",
        ]
    return (preset, str(samplerate), *cells)


def main() -> None:
    """Measure and write the table into docs/benchmarks.md."""
    rows = [measure(p, rate) for p in ("live", "studio") for rate in (44100, 48000, 96000)]
    header = (
        "preset",
        "Hz",
        "4–7.5 kHz: clean / dB",
        "noise alone / dB",
        "SNR gain / dB",
        "8.5–20 kHz: clean / dB",
        "noise alone / dB",
        "SNR gain / dB",
    )
    write_section(
        "wideband",
        "## Above the trained band\n\nSynthetic wide-band speech, alone, in white noise, and the "
        "noise alone: change of level and gain in SNR within the top of the trained band and "
        f"above it, where wing oscillators play (`python -m bench.denoising.wideband`).\n\n"
        f"{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
