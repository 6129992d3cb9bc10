"""The vowel task of the published oscillator denoiser: ``python -m bench.denoising.vowels``.

150 synthetic vowels of 0.5 s in white noise, each through the streaming pipeline from rest.
"""

from __future__ import annotations

import numpy as np

from bench.denoising.peers import ours
from bench.denoising.scores import snr_db
from bench.report import table, write_section
from resonance.models.vowels import fixed_wiener, noisy_vowel


def main() -> None:
    """Measure and write the table into docs/benchmarks.md."""
    rng = np.random.default_rng(31415)
    pairs = [noisy_vowel(rng) for _ in range(150)]
    clean, noisy = (np.stack(side) for side in zip(*pairs, strict=True))
    rows = [("noisy", f"{np.mean([snr_db(n, c) for c, n in pairs]):.2f}")]
    rows.append(("published oscillator denoiser (its own vowels)", "10.8"))
    rows.append(
        ("one fixed Wiener filter, average spectra known", f"{fixed_wiener(clean, noisy):.2f}")
    )
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
        f"from rest (`python -m bench.denoising.vowels`):\n\n{table(('', 'SNR / dB'), rows)}",
    )


if __name__ == "__main__":
    main()
