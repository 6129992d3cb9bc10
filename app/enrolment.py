"""Learning custom words from a few recordings, and keeping them in a readable folder."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import platformdirs
import soundfile
from numpy.typing import NDArray

from resonance.app.custom_words import Background, CustomWord
from resonance.app.errors import UserError, WrongUsage
from resonance.app.pipeline import Pipeline
from resonance.app.sessions import DenoiserModel, Float32Array, SpotterModel
from resonance.app.soundfiles.reader import open_sound
from resonance.app.spotter import BELOW_PEAK, last_loud

#: Recordings of a word: fewer say too little, more are no longer a few.
FEWEST, MOST = 3, 20
#: Length of a recording, s.
SHORTEST_S, LONGEST_S = 0.2, 3.0
#: Silence put before and after a recording, s.
AROUND_S = 0.5
#: Likeness of a recording to the others below which it is doubted.
LEAST_LIKE = 0.2
#: By how much a word's loudest moment must stand out of its recording, dB of the ear's bands.
LEAST_CONTRAST_DB = 4.0
#: Voice in a recording, s at least.
LEAST_VOICE_S = 0.06
#: Steps after a word's end whose embeddings are taken.
AFTER_STEPS = (5, 9)


def embeddings(model: SpotterModel, path: Path, check: bool = True) -> tuple[Float32Array, int]:
    """Embeddings of a recording [steps, features], and the step at which its word ends.

    Raises
    ------
    UserError
        If the recording cannot be read, is too short, too long or silent, or, with ``check``, if
        no voice stands out of it.
    """
    with open_sound(path) as source:
        samplerate, channels = source.samplerate, source.channels
        most = round((LONGEST_S + 1) * samplerate)
        sound = source.read(most)
    seconds = len(sound) / samplerate
    if not SHORTEST_S <= seconds <= LONGEST_S:
        length = f"{seconds:.1f} s{' or more' if len(sound) == most else ''}"
        raise UserError(
            f"{path} lasts {length}; record the word alone, {SHORTEST_S:g} to {LONGEST_S:g} s"
        )
    if np.abs(sound).max() < 1e-3:
        raise UserError(f"{path} is silent; speak nearer to the microphone")
    pipeline = Pipeline(samplerate, channels, spotter=model, denoiser=_voice_finder())
    spotter = pipeline.spotter
    assert spotter is not None
    around = np.zeros((round(AROUND_S * samplerate), channels), np.float32)
    padded = np.concatenate([around, sound, around])
    found, levels, voice_s = [], [], 0.0
    hop = round(model.hop_s * samplerate)
    cleaned = np.empty_like(padded)
    for start in range(0, len(padded), hop):
        steps, part = spotter.steps, slice(start, start + hop)
        pipeline.process(padded[part], cleaned[part])
        voice_s += model.hop_s * (pipeline.voice > 0.5)
        if spotter.steps > steps:
            found.append(spotter.state.embedding.copy())
            levels.append(spotter.level)
    first = round(AROUND_S / model.step_s)
    own = np.array(levels[first : first + round(seconds / model.step_s)])
    if check:
        _check_word(path, own, voice_s)
    return np.array(found), first + last_loud(own)


@functools.cache
def _voice_finder() -> DenoiserModel:
    """The denoiser, which tells voices from other sounds."""
    return DenoiserModel.preset("live")


def _check_word(path: Path, levels: NDArray[np.floating], voice_s: float) -> None:
    """UserError unless something stands out of the recording's ``levels``, and it is a voice."""
    contrast_db = 20 / BELOW_PEAK * float(levels.max() - np.percentile(levels, 10))
    if contrast_db < LEAST_CONTRAST_DB:
        raise UserError(
            f"{path}: no word stands out (by {contrast_db:.0f} dB); record it again, nearer to the "
            "microphone or where it is calmer"
        )
    if voice_s < LEAST_VOICE_S:
        raise UserError(f"{path}: nobody speaks in it; record the word again")


def learn(
    word: str,
    recordings: Sequence[Path],
    model: SpotterModel,
    per_hour: float = 1.0,
    *,
    check: bool = True,
) -> CustomWord:
    """Learn a word from recordings of it alone; ``check`` that a voice stands out of each.

    Raises
    ------
    UserError
        If the word's name is no plain word or taken, or the recordings are too few or unusable.
    """
    check_name(word, model)
    if not FEWEST <= len(recordings) <= MOST:
        raise WrongUsage(
            f"{_count(len(recordings))} of {word!r}: give {FEWEST} to 5, of the word alone"
        )
    background = Background(model)
    places = []
    for path in recordings:
        found, end = embeddings(model, path, check)
        averaged = background.place(found[end + AFTER_STEPS[0] : end + AFTER_STEPS[1]])
        places.append(_unit(averaged.mean(axis=0)))
    direction = _unit(np.mean(places, axis=0))
    agreement = [
        round(float(place @ _unit(np.mean([p for p in places if p is not place], axis=0))), 3)
        for place in places
    ]
    return CustomWord(
        word,
        [round(float(x), 5) for x in direction],
        round(background.threshold(direction, per_hour), 4),
        per_hour,
        model.sha256,
        agreement,
    )


def _unit(vector: NDArray[np.floating]) -> Float32Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)


def check_name(word: str, model: SpotterModel) -> None:
    """Raise WrongUsage unless ``word`` can name a folder and is no keyword already."""
    if not re.fullmatch(r"[\w][\w '-]{0,39}", word) or word != word.strip():
        raise WrongUsage(f"{word!r} cannot be a word's name; use letters, digits, spaces, - or '")
    if word in model.words:
        raise WrongUsage(f"{word!r} is a keyword already")


def words_folder() -> Path:
    """Where custom words live: RESONANCE_WORDS, or the platform's folder for user data."""
    named = os.environ.get("RESONANCE_WORDS")
    return Path(named) if named else platformdirs.user_data_path("resonance", False) / "words"


def save(learnt: CustomWord, recordings: Sequence[Path]) -> Path:
    """Keep a word and its recordings in a folder of its own; returns it.

    The folder is made aside and then put in the place of an older one.
    """
    folder = words_folder() / learnt.word
    aside, old = (folder.with_name(f".{learnt.word}.{end}") for end in ("part", "old"))
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for number, path in enumerate(recordings, 1):
            sound, samplerate = soundfile.read(path, dtype="float32", always_2d=True)
            soundfile.write(aside / f"{number}.flac", sound, samplerate, subtype="PCM_24")
        text = json.dumps(asdict(learnt), indent=1) + "\n"
        (aside / "word.json").write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def kept() -> list[tuple[CustomWord, Path]]:
    """Every custom word as it was saved, and its folder; UserError if one cannot be read."""
    return [(_read(path), path.parent) for path in sorted(words_folder().glob("*/word.json"))]


def _read(path: Path) -> CustomWord:
    try:
        return CustomWord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); enroll the word again") from error


def load_all(model: SpotterModel) -> list[CustomWord]:
    """Every custom word there is; those learnt with another spotter are learnt again.

    Raises
    ------
    UserError
        If a word's folder cannot be read.
    """
    found = []
    for learnt, folder in kept():
        if learnt.model != model.sha256:
            recordings = sorted(folder.glob("*.flac"))
            learnt = learn(learnt.word, recordings, model, learnt.per_hour, check=False)
            save(learnt, recordings)
        found.append(learnt)
    return found


def forget(word: str) -> str:
    """Delete a word and its recordings; returns what was done.

    Raises
    ------
    UserError
        If there is no such word, or it cannot be deleted.
    """
    folder = words_folder() / word
    if not word or Path(word).name != word or not (folder / "word.json").exists():
        known = ", ".join(sorted(p.parent.name for p in words_folder().glob("*/word.json")))
        raise UserError(f"no custom word {word!r}; there are: {known or 'none'}")
    count = len(list(folder.glob("*.flac")))
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise UserError(f"cannot delete {folder}: {error.strerror}") from error
    return f"{word} and {_count(count)} deleted from {words_folder()}"


def _count(recordings: int) -> str:
    return f"{recordings} recording{'s' * (recordings != 1)}"
