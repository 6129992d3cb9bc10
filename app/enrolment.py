"""Learning custom words from a few recordings, and keeping them in a readable folder."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import platformdirs
import soundfile
from numpy.typing import NDArray

from resonance.app import safe_write
from resonance.app.checks import RATES_PER_HOUR, are_numbers, is_number
from resonance.app.custom_words import (
    PARTS,
    Background,
    CustomWord,
    less_ordinary,
    steps_back,
    together,
)
from resonance.app.errors import UserError, WrongUsage
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.pipeline import Pipeline
from resonance.app.presets import LIVE_PRESET
from resonance.app.small_files import read_small
from resonance.app.soundfiles.reader import open_sound
from resonance.app.soundfiles.writer import open_part
from resonance.app.spotter import BELOW_PEAK, first_loud, last_loud
from resonance.app.synthetic_readings import read_aloud
from resonance.app.take_versions import versions
from resonance.dsp.arrays import Float32Array

#: Recordings of a word: fewer say too little, more are no longer a few.
FEWEST, MOST = 3, 20
#: Length of a recording, s.
SHORTEST_S, LONGEST_S = 0.2, 3.0
#: Silence put before and after a recording, s.
AROUND_S = 0.5
#: Likeness of a recording to the others below which it is doubted.
LEAST_LIKE = 0.1
#: By how much a word's loudest moment must exceed the rest of its recording, dB of the ear's bands.
LEAST_CONTRAST_DB = 4.0
#: Voice in a recording, s at least.
LEAST_VOICE_S = 0.06
#: What a word's folder holds beside recordings.
WORD_FILE = "word.json"
#: That a recording is kept with.
MOST_CHANNELS = 8
#: Steps after the end of a word, and of a phrase, whose embeddings are its last part.
AFTER_STEPS, AFTER_PHRASE_STEPS = (9, 12), (5, 9)
#: Steps after a phrase's beginning at which its first part is taken: most of a second.
FIRST_PART_STEPS = 24
#: What lasts longer does not fit into the second of an embedding, s: it is learnt as a phrase.
PHRASE_S = 1.1


class Said(NamedTuple):
    """A word or phrase as embeddings of the spotter."""

    embeddings: Float32Array  #: [steps, features]
    begin: int  #: step at which it begins
    end: int  #: step at which it ends
    step_s: float
    versions: tuple[Said, ...] = ()  #: as it would sound elsewhere

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.end - self.begin) * self.step_s

    @property
    def span_s(self) -> float:
        """From its first part, when it is a phrase, to its last."""
        steps = self.end + AFTER_PHRASE_STEPS[0] + 2 - self.begin - FIRST_PART_STEPS
        return max(1, steps) * self.step_s

    def common(self, background: Background, phrase: bool) -> Float32Array:
        """What it has in common with its versions: as :meth:`places`."""
        each = [said.places(background, phrase) for said in (self, *self.versions)]
        return _unit(np.mean(each, axis=0))

    def places(self, background: Background, phrase: bool) -> Float32Array:
        """Where its parts lie, the last one first: unit vectors [PARTS, places]."""
        first, last = (self.end + step for step in (AFTER_PHRASE_STEPS if phrase else AFTER_STEPS))
        backs = steps_back(self.span_s if phrase else 0.0, self.step_s)
        found = [self.embeddings[first - back : last - back] for back in backs]
        return _unit(np.array([background.place(each).mean(axis=0) for each in found]))


def listen(model: SpotterModel, path: Path, check: bool = True, *, elsewhere: bool = False) -> Said:
    """What the spotter makes of a recording.

    Parameters
    ----------
    model
        The spotter.
    path
        Sound file of the word alone.
    check
        Refuse recordings without a voice.
    elsewhere
        Make versions of it, too.

    Returns
    -------
    Said
        With silence before and after.

    Raises
    ------
    UserError
        If the recording cannot be read, is too short, too long or silent, or, with ``check``, if
        no voice stands out of it.
    """
    with open_sound(path) as source:
        samplerate = source.samplerate
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
    said, levels, voice_s = _spotted(model, sound, samplerate, _voice_finder() if check else None)
    if check:
        _check_word(path, levels, voice_s)
    others = versions(sound.mean(axis=1), samplerate) if elsewhere else []
    heard = (_spotted(model, other[:, None], samplerate)[0] for other in others)
    return said._replace(versions=tuple(heard))


def _spotted(
    model: SpotterModel,
    sound: Float32Array,
    samplerate: int,
    voice_finder: DenoiserModel | None = None,
) -> tuple[Said, NDArray[np.floating], float]:
    """What the spotter makes of a sound [samples, channels].

    Parameters
    ----------
    model
        The spotter.
    sound
        [samples, channels].
    samplerate
        Hz.
    voice_finder
        A denoiser, if voice is to be found.

    Returns
    -------
    tuple
        The word, the sound's levels [steps], and seconds of voice in it.
    """
    channels = sound.shape[1]
    pipeline = Pipeline(samplerate, channels, spotter=model, denoiser=voice_finder, twice=False)
    spotter = pipeline.spotter
    assert spotter is not None
    around = np.zeros((round(AROUND_S * samplerate), channels), np.float32)
    padded = np.concatenate([around, sound, around])
    found, levels, voices, loudness = [], [], [], []
    hop = round(model.hop_s * samplerate)
    cleaned = np.empty_like(padded)
    for start in range(0, len(padded), hop):
        steps, part = spotter.steps, slice(start, start + hop)
        pipeline.process(padded[part], cleaned[part])
        voices.append(pipeline.voice > 0.5)
        loudness.append(float(np.sqrt(np.mean(padded[part] ** 2))))
        if spotter.steps > steps:
            found.append(spotter.state.embedding.copy())
            levels.append(spotter.level)
    first = round(AROUND_S / model.step_s)
    own = np.array(levels[first : first + round(len(sound) / samplerate / model.step_s)])
    loud = np.array(loudness) > 0.1 * max(loudness)
    voice_s = model.hop_s * np.count_nonzero(loud & np.array(voices))
    begin, end = first + first_loud(own), first + last_loud(own)
    return Said(np.array(found), begin, end, model.step_s), own, voice_s


@functools.cache
def _voice_finder() -> DenoiserModel:
    """The denoiser, which distinguishes voices from other sounds."""
    return DenoiserModel.preset(LIVE_PRESET)


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
    text: str = "",
    check: bool = True,
) -> CustomWord:
    """Learn a word from recordings of it alone; ``check`` that a voice stands out of each.

    Each take counts as what it has in common with its versions (``app/take_versions.py``);
    readings by synthetic voices count as one take together.

    Parameters
    ----------
    word
        Its name.
    recordings
        3 to 20 sound files of the word alone; 3 to 5 are enough.
    model
        The spotter.
    per_hour
        False accepts allowed per hour of running speech.
    text
        How the word is written, for synthetic voices to read it; empty: they do not.
    check
        Refuse recordings without a voice.

    Returns
    -------
    CustomWord
        Not yet saved.

    Raises
    ------
    UserError
        If the word's name is no plain word or taken, the recordings are too few or unusable, or
        a text cannot be read aloud.
    """
    check_name(word, model)
    if not FEWEST <= len(recordings) <= MOST:
        raise WrongUsage(
            f"{_count(len(recordings))} of {word!r}: give {FEWEST} to 5, of the word alone"
        )
    background = Background(model)
    takes = [listen(model, path, check, elsewhere=True) for path in recordings]
    phrase = float(np.median([said.seconds for said in takes])) > PHRASE_S
    span_s = float(np.median([said.span_s for said in takes])) if phrase else 0.0
    places = np.array([said.places(background, phrase) for said in takes])
    commons = np.array([said.common(background, phrase) for said in takes])
    learnt_from = [*commons, *_read_aloud(text, model, background, phrase)]
    common = _unit(np.mean(learnt_from, axis=0))
    direction = background.apart(common, span_s).ravel()
    others = [
        background.apart(_unit(np.delete(commons, i, axis=0).mean(axis=0)), span_s)
        for i in range(len(places))
    ]
    agreement = [
        float(together(less_ordinary((own * other).sum(axis=1), background.ordinary(own)), span_s))
        for own, other in zip(places, others, strict=True)
    ]
    return CustomWord(
        word,
        [round(float(x), 5) for x in direction],
        round(background.threshold(direction, per_hour, span_s), 4),
        per_hour,
        background.sha256,
        [round(each, 3) for each in agreement],
        text,
        round(span_s, 3),
        round(float(background.ordinary(common).mean()), 3),
    )


def _read_aloud(
    text: str, model: SpotterModel, background: Background, phrase: bool
) -> list[Float32Array]:
    """Where synthetic readings lie on average [PARTS, places]; nothing without a text."""
    if not text:
        return []
    with tempfile.TemporaryDirectory() as folder:
        paths = read_aloud(text, Path(folder))
        try:
            takes = [listen(model, path, check=False) for path in paths]
        except UserError as error:
            length = f"{SHORTEST_S:g} to {LONGEST_S:g} s"
            raise UserError(f"--text {text!r} must be a word or phrase of {length}") from error
    return [_unit(np.mean([said.places(background, phrase) for said in takes], axis=0))]


def doubts(learnt: CustomWord, others: Sequence[CustomWord]) -> list[str]:
    """Why a word may be missed or confused, for people; ``others`` are listened for, too."""
    found = []
    missed = sum(likeness < learnt.threshold for likeness in learnt.agreement)
    if 2 * missed > len(learnt.agreement):
        found.append(
            f"{missed} of {_count(len(learnt.agreement))} would be missed: they are alike by "
            f"{np.mean(learnt.agreement):.2f} and ordinary speech is by {learnt.threshold:.2f} "
            f"{learnt.per_hour:g} times an hour; choose a longer or rarer word, or record more"
        )
    for other in others:
        likeness = _likeness(learnt, other)
        if likeness >= min(learnt.threshold, other.threshold):
            found.append(
                f"{learnt.word!r} sounds like {other.word!r} (likeness {likeness:.2f}, "
                f"{other.word!r} fires at {other.threshold:.2f}); choose another word"
            )
    return found


def _likeness(one: CustomWord, other: CustomWord) -> float:
    """Of two words, the lesser way; of a word and a phrase: how like the word the phrase ends."""
    a, b = (np.array(word.direction).reshape(PARTS, -1) for word in (one, other))
    if bool(one.span_s) != bool(other.span_s):
        a, b = (a[:1], b) if one.span_s else (a, b[:1])
    return float(less_ordinary((a * b).sum(axis=1).mean(), max(one.ordinary, other.ordinary)))


def other_words(learnt: CustomWord) -> list[CustomWord]:
    """Custom words besides this one that the same spotter listens for and that can be read."""
    found = []
    for path in sorted(words_folder().glob(f"*/{WORD_FILE}")):
        with contextlib.suppress(UserError):
            found.append(read_word(path))
    return [word for word in found if word.word != learnt.word and word.model == learnt.model]


def _unit(vector: NDArray[np.floating]) -> Float32Array:
    """Of length 1 along the last axis."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, 1e-9), dtype=np.float32)


def check_name(word: str, model: SpotterModel) -> None:
    """Raise WrongUsage unless ``word`` can name a folder and is no keyword already."""
    if not is_name(word):
        raise WrongUsage(f"{word!r} cannot be a word's name; use letters, digits, spaces, - or '")
    if word in model.words:
        raise WrongUsage(f"{word!r} is a keyword already")


def is_name(word: str) -> bool:
    """Whether a word may be called so: its name goes into those of files and topics."""
    return bool(re.fullmatch(r"\w[\w '-]{0,39}", word)) and word == word.strip()


def words_folder() -> Path:
    """Where custom words live: RESONANCE_WORDS, or the platform's folder for user data."""
    named = os.environ.get("RESONANCE_WORDS")
    return Path(named) if named else platformdirs.user_data_path("resonance", False) / "words"


def save(learnt: CustomWord, recordings: Sequence[Path]) -> Path:
    """Keep a word and its recordings in a folder of its own; returns it.

    New recordings are added, then ``word.json`` is replaced, then old recordings are taken away:
    whenever that ends, the word is the old one or the new one.

    Raises
    ------
    UserError
        If a recording cannot be read, or the folder not be written.
    """
    folder = words_folder() / learnt.word
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = _recordings(folder)
        names = (f"{number}.flac" for number in itertools.count(1))
        free = (folder / name for name in names if not os.path.lexists(folder / name))
        new = [_keep(path, target) for path, target in zip(recordings, free, strict=False)]
        facts = {**asdict(learnt), "recordings": [path.name for path in new]}
        text = json.dumps(facts, indent=1) + "\n"
        safe_write.write_text(folder / WORD_FILE, text, overwrite=True)
        for path in old:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    return folder


def _keep(path: Path, target: Path) -> Path:
    """A copy of a recording, for this user alone."""
    with open_sound(path) as source:
        sound, samplerate = source.read(1 << 24), source.samplerate
    if sound.shape[1] > MOST_CHANNELS:
        sound = sound.mean(axis=1, keepdims=True)
    try:
        with safe_write.written_whole(target) as part:
            file = open_part(part, samplerate, sound.shape[1], "PCM_24", "FLAC")
            with file:
                file.write(sound)
    except soundfile.LibsndfileError as error:
        raise UserError(f"{path} cannot be kept as {target}: {error.error_string}") from error
    return target


def _recordings(folder: Path) -> list[Path]:
    """The recordings in a word's folder that belong to it."""
    try:
        facts = json.loads(read_small(folder / WORD_FILE))
        listed = facts.get("recordings") if isinstance(facts, dict) else None
    except (OSError, ValueError, RecursionError):
        return []
    there = sorted(
        (path for path in folder.glob("*.flac") if re.fullmatch(r"[0-9]+", path.stem)),
        key=lambda path: int(path.stem),
    )
    known = listed if isinstance(listed, list) else None  # earlier versions listed none
    return [path for path in there if known is None or path.name in known]


def kept() -> list[tuple[CustomWord, Path]]:
    """Every custom word as it was saved, and its folder; UserError if one makes no sense."""
    paths = sorted(words_folder().glob(f"*/{WORD_FILE}"))
    return [
        (read_word(path), path.parent) for path in paths if not path.parent.name.startswith(".")
    ]


def read_word(path: Path) -> CustomWord:
    """A custom word from its file; UserError if what is in it makes no sense."""
    try:
        facts = json.loads(read_small(path))
        if not isinstance(facts, dict):
            raise ValueError("it is no table")
        facts = {"text": "", "span_s": 0.0, "ordinary": 0.0, **facts}  # earlier versions had none
        wrong = next((n for n, fits in _FITS.items() if not fits(facts.get(n))), None)
        if wrong:
            raise ValueError(f"{wrong} = {repr(facts.get(wrong))[:80]} makes no sense")
        if facts["word"] != path.parent.name:
            raise ValueError(f"it is about {facts['word']!r}, not about {path.parent.name!r}")
        return CustomWord(**{name: facts[name] for name in _FITS})
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); enroll the word again") from error


#: What the values in a word's file must be.
_FITS: dict[str, Callable[[Any], bool]] = {
    "word": lambda value: isinstance(value, str) and is_name(value),
    "direction": lambda value: are_numbers(value, range(2, 100_000), -1.0, 1.0),
    "threshold": lambda value: is_number(value, 0.0, 1.0),
    "per_hour": lambda value: is_number(value, *RATES_PER_HOUR),
    "model": lambda value: isinstance(value, str),
    "text": lambda value: isinstance(value, str),
    "span_s": lambda value: is_number(value, 0.0, LONGEST_S),
    "agreement": lambda value: are_numbers(value, range(MOST + 1), -1.4, 1.4),
    "ordinary": lambda value: is_number(value, -1.01, 1.01),
}


def load_all(model: SpotterModel) -> list[CustomWord]:
    """Every custom word there is; those learnt with another background are learnt again.

    Raises
    ------
    UserError
        If a word's folder cannot be read, or what is in it makes no sense.
    """
    found: list[CustomWord] = []
    words = kept()
    if not words:
        return found
    background = Background(model)
    for learnt, folder in words:
        check_name(learnt.word, model)
        if learnt.model != background.sha256:
            recordings = _recordings(folder)
            learnt = learn(
                learnt.word, recordings, model, learnt.per_hour, text=learnt.text, check=False
            )
            save(learnt, recordings)
        found.append(learnt)
    _check_directions(found, background.map.shape[1])
    return found


def _check_directions(words: Sequence[CustomWord], places: int) -> None:
    for word in words:
        length = float(np.linalg.norm(word.direction[:places]))
        if len(word.direction) != PARTS * places or not 0.9 < length < 1.1:
            raise UserError(
                f"the direction of {word.word!r} has {len(word.direction)} numbers, the first "
                f"{places} of length {length:.2f}, not {PARTS * places} of length 1; enroll the "
                "word again"
            )


def forget(word: str) -> str:
    """Delete a word and its recordings, and nothing else; returns what was done.

    Raises
    ------
    UserError
        If there is no such word, or it cannot be deleted.
    """
    folder = words_folder() / word
    if not is_name(word) or not (folder / WORD_FILE).exists():
        known = ", ".join(sorted(path.name for _, path in kept()))
        raise UserError(f"no custom word {word!r}; there are: {known or 'none'}")
    if folder.is_symlink():
        raise UserError(f"{folder} is a link that enroll did not make; take it away yourself")
    try:
        recordings = _recordings(folder)
        (folder / WORD_FILE).unlink()  # from here on, there is no such word
        for path in recordings:
            path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise UserError(f"cannot delete {folder}: {error.strerror}") from error
    return f"{word} and {_count(len(recordings))} deleted from {words_folder()}"


def _count(recordings: int) -> str:
    return f"{recordings} recording{'s' * (recordings != 1)}"
