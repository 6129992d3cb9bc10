"""Make the demo recording: sentences and keywords by espeak-ng voices, under synthetic noise.

``python -m resonance.assets.make_demo`` writes ``demo.flac`` (noisy), ``demo-clean.flac`` and
``demo.json`` (which keyword is where). Needs espeak-ng; the results are shipped.
"""

from __future__ import annotations

import io
import json
import subprocess

import numpy as np
import soundfile
from numpy.typing import NDArray

from resonance.assets import DEMO

SAMPLERATE = 22050  # espeak-ng's own
SNR_DB = 8.0
#: (voice, pitch, words per minute, text, is a keyword), spoken one after the other.
SCRIPT = (
    ("en-us+m3", 45, 150, "The engines hum while a voice is speaking.", False),
    ("en-us+m1", 50, 125, "no", True),
    ("en-gb+f4", 60, 150, "Every oscillator answers to its own note.", False),
    ("en-gb+m2", 40, 125, "left", True),
    ("en-us+m7", 50, 150, "A bell keeps ringing after you strike it.", False),
    ("en-us+f3", 50, 125, "yes", True),
    ("en-gb+m4", 45, 150, "Noise fades away and the words remain.", False),
    ("en-us+m3", 45, 125, "right", True),
)


def speak(voice: str, pitch: int, words_per_minute: int, text: str) -> NDArray[np.float64]:
    """Speech [samples] at SAMPLERATE, with RMS 0.08.

    Parameters
    ----------
    voice
        Of espeak-ng.
    pitch
        0 to 99.
    words_per_minute
        Its speed.
    text
        What it says.

    Returns
    -------
    ndarray
        [samples].

    Raises
    ------
    RuntimeError
        If espeak-ng speaks at another samplerate.
    """
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(words_per_minute), "--stdout"]
    done = subprocess.run([*command, text], capture_output=True, check=True)
    sound, samplerate = soundfile.read(io.BytesIO(done.stdout))
    if samplerate != SAMPLERATE:
        raise RuntimeError(f"espeak-ng speaks at {samplerate} Hz, expected {SAMPLERATE}")
    loud = np.flatnonzero(np.abs(sound) > 0.005)
    sound = sound[loud[0] : loud[-1]]
    return np.asarray(sound * 0.08 / np.sqrt(np.mean(sound**2)))


def make_noise(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    """A fan: falling noise that swells slowly, and mains hum; RMS 1 [samples]."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLERATE), 60.0)
    fan = np.fft.irfft(spectrum * (hz / 1000.0) ** -0.5, length)
    t = np.arange(length) / SAMPLERATE
    fan *= (1.0 + 0.4 * np.sin(2 * np.pi * 0.23 * t)) / np.std(fan)
    hum = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5))
    noise = fan + 0.3 * hum
    return np.asarray(noise / np.sqrt(np.mean(noise**2)))


def main() -> None:
    """Write the recording, its clean twin and the list of keywords."""
    gap = np.zeros(int(0.55 * SAMPLERATE))
    parts, keywords = [gap], []
    for voice, pitch, words_per_minute, text, is_keyword in SCRIPT:
        start_s = sum(map(len, parts)) / SAMPLERATE
        parts.append(speak(voice, pitch, words_per_minute, text))
        if is_keyword:
            end_s = start_s + len(parts[-1]) / SAMPLERATE
            keywords.append(
                {"keyword": text, "start_s": round(start_s, 3), "end_s": round(end_s, 3)}
            )
        parts.append(gap)
    clean = np.concatenate([*parts, gap])
    noise = make_noise(np.random.default_rng(7), len(clean))
    level = np.sqrt(np.mean(clean[np.abs(clean) > 0.01] ** 2)) * 10 ** (-SNR_DB / 20)
    for name, sound in (("demo.flac", clean + level * noise), ("demo-clean.flac", clean)):
        soundfile.write(DEMO.with_name(name), np.clip(sound, -1, 1), SAMPLERATE, "PCM_16")
    DEMO.with_suffix(".json").write_text(json.dumps(keywords, indent=2) + "\n")


if __name__ == "__main__":
    main()
