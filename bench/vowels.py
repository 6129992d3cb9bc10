"""The vowel task of the published oscillator denoiser: ``python -m bench.vowels``.

150 synthetic vowels of 0.5 s in white noise, each through the streaming pipeline from rest.
"""

from __future__ import annotations

import numpy as np

from bench.peers import ours
from bench.report import table, write_section
from bench.scores import Sound, snr_db
from resonance.models.vowels import noisy_vowel


def wiener(pairs: list[tuple[Sound, Sound]]) -> float:
    """SNR of one fixed Wiener filter that knows the vowels' average spectrum, dB."""
    clean = np.mean([np.abs(np.fft.rfft(c)) ** 2 for c, _ in pairs], axis=0)
    noise = np.mean([np.abs(np.fft.rfft(n - c)) ** 2 for c, n in pairs], axis=0)
    clean = np.convolve(clean, np.ones(201) / 201, "same")
    gain = clean / (clean + noise)
    return float(
        np.mean([snr_db(np.fft.irfft(np.fft.rfft(n) * gain, len(n)), c) for c, n in pairs])
    )


def main() -> None:
    """Measure and write the table into docs/benchmarks.md."""
    rng = np.random.default_rng(31415)
    pairs = [noisy_vowel(rng) for _ in range(150)]
    rows = [("noisy", f"{np.mean([snr_db(n, c) for c, n in pairs]):.2f}")]
    rows.append(("published oscillator denoiser (its own vowels)", "10.8"))
    rows.append(("one fixed Wiener filter, average spectra known", f"{wiener(pairs):.2f}"))
    for preset, trained_on in (
        ("live", "speech"),
        ("vowels", "vowels alone"),
    ):
        system = ours(preset)
        after = [snr_db(system.start()(n), c) for c, n in pairs]
        rows.append((f"preset `{preset}`, trained on {trained_on}", f"{np.mean(after):.2f}"))
    write_section(
        "vowels",
        "## Synthetic vowels\n\n150 synthetic vowels of 0.5 s in white noise, SNR in dB, each "
        f"from rest (`python -m bench.vowels`):\n\n{table(('', 'SNR / dB'), rows)}",
    )


if __name__ == "__main__":
    main()
