"""Words spoken by espeak-ng in many voices: extra speakers for training, never for a score."""

from __future__ import annotations

import io
import subprocess

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.data import SAMPLERATE

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan")
VARIANTS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5")


def speak(
    text: str, *, voice: str = "en-us", pitch: int = 50, words_per_minute: int = 160
) -> NDArray[np.float32]:
    """Speech as mono at 16 kHz [samples], cut to where it sounds.

    Raises
    ------
    RuntimeError
        If espeak-ng is missing or refuses.
    """
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(words_per_minute), "--stdout"]
    try:
        done = subprocess.run([*command, text], capture_output=True, check=True)
    except FileNotFoundError:
        raise RuntimeError("espeak-ng is not installed: apt-get install espeak-ng") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"espeak-ng failed for {voice!r}: {error.stderr.decode()}") from error
    sound, samplerate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    sound = soxr.resample(sound, samplerate, SAMPLERATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def spoken_words(
    words: tuple[str, ...], each: int, seed: int
) -> list[tuple[str, NDArray[np.float32]]]:
    """``each`` readings of every word by random voices: (word, sound [samples])."""
    rng = np.random.default_rng(seed)
    return [(word, speak_by_anyone(rng, word)) for word in words for _ in range(each)]


def speak_by_anyone(rng: np.random.Generator, text: str) -> NDArray[np.float32]:
    """``text`` by a random voice, pitch and rate [samples]."""
    return speak(
        text,
        voice=str(rng.choice(ACCENTS)) + str(rng.choice(VARIANTS)),
        pitch=int(rng.integers(20, 85)),
        words_per_minute=int(rng.integers(110, 200)),
    )
