"""Words spoken by espeak-ng and flite in many voices: speakers to train on, never to score on."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from resonance.models.data import SAMPLERATE

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan")
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
VARIANTS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5")


def speak(
    text: str, *, voice: str = "en-us", pitch: int = 50, words_per_minute: int = 160
) -> NDArray[np.float32]:
    """Speech as mono at 16 kHz [samples], cut to where it sounds.

    Parameters
    ----------
    text
        What is said.
    voice
        As espeak-ng names it.
    pitch
        From 0 to 99.
    words_per_minute
        Speed.

    Returns
    -------
    array
        Mono at 16 kHz [samples].

    Raises
    ------
    RuntimeError
        If espeak-ng is missing or refuses.
    """
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(words_per_minute), "--stdout"]
    return _trimmed(_output_of([*command, text]))


def speak_flite(text: str, *, voice: str, pitch_hz: float, stretch: float) -> NDArray[np.float32]:
    """:func:`speak` by flite, whose voices were cut from recordings of people.

    Parameters
    ----------
    text
        What is said.
    voice
        As flite names it.
    pitch_hz
        Mean pitch.
    stretch
        Factor of the length.

    Returns
    -------
    array
        Mono at 16 kHz [samples].
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        settings = (f"int_f0_target_mean={pitch_hz:.0f}", f"duration_stretch={stretch:.2f}")
        options = [part for setting in settings for part in ("--setf", setting)]
        _output_of(["flite", "-voice", voice, *options, "-t", text, "-o", str(path)])
        return _trimmed(path.read_bytes())


def _output_of(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except FileNotFoundError:
        raise RuntimeError(f"{command[0]} is not installed: apt-get install {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{command} failed: {error.stderr.decode()}") from error
    return done.stdout


def _trimmed(wav: bytes) -> NDArray[np.float32]:
    sound, samplerate = soundfile.read(io.BytesIO(wav), dtype="float32")
    sound = soxr.resample(sound, samplerate, SAMPLERATE).astype(np.float32)
    loud = np.flatnonzero(np.abs(sound) > 0.01)
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def spoken_words(
    words: tuple[str, ...], each: int, seed: int
) -> list[tuple[str, NDArray[np.float32]]]:
    """``each`` readings of every word by random voices: (word, sound [samples]).

    Parameters
    ----------
    words
        What is said.
    each
        Readings of each word.
    seed
        Chooses voices and speeds.

    Returns
    -------
    list
        Word and sound [samples] of each reading.
    """
    rng = np.random.default_rng(seed)
    return [(word, speak_by_anyone(rng, word)) for word in words for _ in range(each)]


def speak_by_anyone(rng: np.random.Generator, text: str) -> NDArray[np.float32]:
    """``text`` by a random voice, pitch and rate [samples]; flite's too where it is installed."""
    if shutil.which("flite") and rng.random() < 0.4:
        return speak_flite(
            text,
            voice=str(rng.choice(FLITE_VOICES)),
            pitch_hz=float(rng.uniform(80, 230)),
            stretch=float(rng.uniform(0.75, 1.4)),
        )
    return speak(
        text,
        voice=str(rng.choice(ACCENTS)) + str(rng.choice(VARIANTS)),
        pitch=int(rng.integers(20, 85)),
        words_per_minute=int(rng.integers(110, 200)),
    )
