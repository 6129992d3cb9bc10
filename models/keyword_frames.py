"""Frames that training examples are composed of: clips, running speech and noise, prepared once.

Clips and speech are kept in several versions (other speed, room, codec), each made when first
asked for. All lie at a level of LEVEL_DBFS, so that mixing (``models/keyword_mixing.py``) can put
them at any other.
"""

from __future__ import annotations

import csv
import hashlib
import io
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from torch import Tensor

from resonance.models.data import SAMPLERATE
from resonance.models.keyword_data import CONFUSABLE, Corpus, words_of
from resonance.models.keywords import CLASSES, CORE_WORDS, NEVER_TRAINED
from resonance.models.mixing import Sound, speech_rms
from resonance.models.synthetic_voices import spoken_words
from resonance.models.training import save_atomically

LEVEL_DBFS = -20.0
#: Frames of a clip, silence before it [s], and how far below its loudest frame a word begins
#: and ends (20 dB, as normalised log levels).
CLIP_FRAMES, BEFORE_S, WORD_RANGE = 84, 0.1, 1.15
#: Synthetic readings of each: core word, other class, word of the vocabulary, confusable word.
READINGS = {"core": 60, "other": 16, "vocabulary": 8, "confusable": 12}
#: Words of the spoken vocabulary.
VOCABULARY = 300
#: Least letters of a word from running speech that is distinguished, and of readers who said it.
LETTERS, READERS = 3, 2


@dataclass
class Clips:
    """Single words: frames [clips, CLIP_FRAMES, bands], and where each begins and ends."""

    frames: Tensor
    bounds: Tensor  #: first and last frame of the word [clips, 2]


@dataclass
class Stream:
    """Frames end to end [frames, bands], and the first frame of each recording."""

    frames: Tensor
    starts: Tensor  #: [recordings + 1]
    speeds: Tensor  #: [recordings]


class Versions(ABC):
    """Numbered versions of the same sounds, each always the same, kept on disk."""

    def __init__(self, corpus: Corpus, cache: Path, kind: str, count: int, key: str) -> None:
        self.corpus, self.count = corpus, count
        self._stem = cache / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        path = self._stem.with_name(f"{self._stem.name}-{number % self.count}.pt")
        if not path.exists():
            save_atomically(self.make(number % self.count), path)
        return torch.load(path, weights_only=True, mmap=True)  # type: ignore[no-any-return]

    @abstractmethod
    def make(self, number: int) -> dict[str, Tensor]:
        """Version ``number``."""

    def levels(self, sounds: list[Sound]) -> Tensor:
        """Frames [sounds, frames, bands] of sounds of one length."""
        parts = [
            self.corpus.levels(torch.from_numpy(np.stack(sounds[i : i + 128])))
            for i in range(0, len(sounds), 128)
        ]
        return torch.cat(parts).half()


class ClipVersions(Versions):
    """Every single word to train on: recorded clips first, then synthetic readings.

    ``words`` names each clip; ``synthetic`` is the number of the first synthetic one.
    """

    def __init__(self, corpus: Corpus, vocabulary: list[str], cache: Path, count: int) -> None:
        store = corpus.words
        self.recorded = [i for i, r in enumerate(store.recordings) if r.label not in NEVER_TRAINED]
        others = [c for c in CLASSES if not c.startswith("_") and c not in CORE_WORDS]
        self.plan = [
            (CORE_WORDS, READINGS["core"]),
            (tuple(others), READINGS["other"]),
            (tuple(vocabulary), READINGS["vocabulary"]),
            (CONFUSABLE, READINGS["confusable"]),
        ]
        self.words = [store.recordings[i].label for i in self.recorded]
        self.synthetic = len(self.words)
        self.words += [w for words, each in self.plan for w in words for _ in range(each)]
        self._spoken: list[tuple[str, Sound]] = []
        names = " ".join(str(store.recordings[i].path) for i in self.recorded)
        super().__init__(corpus, cache, "clips", count, f"1 {names} {self.words}")

    def make(self, number: int) -> dict[str, Tensor]:
        """Every clip in other circumstances."""
        rng = np.random.default_rng((21, number))
        if not self._spoken:
            for seed, (words, each) in enumerate(self.plan):
                self._spoken += spoken_words(words, each, seed=30 + seed)
        sounds = [self.corpus.words.get(i) for i in self.recorded]
        sounds += [sound for _, sound in self._spoken]
        frames = self.levels([self._clip(rng, sound) for sound in sounds])
        return {"frames": frames}

    def _clip(self, rng: np.random.Generator, sound: Sound) -> Sound:
        sound = varied(rng, sound, self.corpus.rooms)
        before = round(BEFORE_S * SAMPLERATE)
        length = round(CLIP_FRAMES * self.corpus.levels.frame_s * SAMPLERATE)
        placed = np.zeros(length, np.float32)
        sound = sound[-(length - before) :]
        placed[before : before + len(sound)] = sound
        return leveled(placed)


class SpeechVersions(Versions):
    """Running speech with transcripts to train on, end to end."""

    def __init__(self, corpus: Corpus, cache: Path, count: int) -> None:
        names = " ".join(str(corpus.speech.recordings[i].path) for i in corpus.running)
        super().__init__(corpus, cache, "speech", count, f"1 {names}")

    def make(self, number: int) -> dict[str, Tensor]:
        """Every recording at another speed, in another room."""
        rng, parts, speeds = np.random.default_rng((22, number)), [], []
        for i in self.corpus.running:
            speed = float(rng.uniform(0.85, 1.2)) if number else 1.0
            sound = varied(rng, self.corpus.speech.get(i), self.corpus.rooms, speed)
            parts.append(self.levels([leveled(sound)])[0])
            speeds.append(speed)
        return joined(parts, speeds)


class NoiseVersions(Versions):
    """Noise and silence to train on, end to end, as recorded (0) or faster or slower."""

    def __init__(self, corpus: Corpus, cache: Path, count: int) -> None:
        self.stores = [(corpus.noise, i) for i in corpus.noise_to_train_on] + [
            (corpus.silence, i) for i in range(len(corpus.silence))
        ]
        names = " ".join(str(s.recordings[i].path) for s, i in self.stores)
        super().__init__(corpus, cache, "noise", count, f"1 {names}")

    def make(self, number: int) -> dict[str, Tensor]:
        """Every recording; the short ones as long as an example at least."""
        rng, parts, speeds = np.random.default_rng((23, number)), [], []
        for store, i in self.stores:
            speed = float(rng.uniform(0.7, 1.4)) if number else 1.0
            sound = resampled(store.get(i), speed)
            if len(sound) < 1.6 * SAMPLERATE:
                sound = np.resize(sound, round(1.6 * SAMPLERATE))
            parts.append(self.levels([leveled(sound)])[0])
            speeds.append(speed)
        return joined(parts, speeds)


def joined(parts: list[Tensor], speeds: list[float]) -> dict[str, Tensor]:
    """Recordings [frames, bands] end to end."""
    starts = np.cumsum([0, *(len(part) for part in parts)])
    parts = parts or [torch.zeros(0, 1, dtype=torch.half)]
    return {
        "frames": torch.cat(parts),
        "starts": torch.from_numpy(starts),
        "speeds": torch.tensor(speeds),
    }


def leveled(sound: Sound) -> Sound:
    """At LEVEL_DBFS, silences not counted."""
    return np.asarray(sound * np.float32(10 ** (LEVEL_DBFS / 20) / max(speech_rms(sound), 1e-6)))


def resampled(sound: Sound, speed: float) -> Sound:
    """Played ``speed`` times as fast, pitch and all."""
    places = np.arange(0, len(sound) - 1, speed)
    return np.interp(places, np.arange(len(sound)), sound).astype(np.float32)


def varied(
    rng: np.random.Generator, sound: Sound, rooms: Sequence[Sound], speed: float | None = None
) -> Sound:
    """Faster or slower, in a room, through a codec: each now and then.

    Parameters
    ----------
    rng
        Random numbers.
    sound
        At 16 kHz [samples].
    rooms
        Impulse responses [samples].
    speed
        Factor; None: by chance.

    Returns
    -------
    array
        At 16 kHz [samples].
    """
    if speed is None:
        speed = float(rng.uniform(0.8, 1.25)) if rng.random() < 0.7 else 1.0
    sound = resampled(sound, speed)
    if rng.random() < 0.3:
        sound = in_room(sound, rooms[int(rng.integers(len(rooms)))])
    if rng.random() < 0.2:
        sound = through_codec(rng, sound)
    return sound


def in_room(sound: Sound, room: Sound) -> Sound:
    """What a microphone in a room records of it."""
    return np.asarray(fftconvolve(sound, room)[: len(sound)], np.float32)


def through_codec(rng: np.random.Generator, sound: Sound) -> Sound:
    """Coded at a low rate (MP3, Opus) and decoded, without the codec's delay made up for."""
    kind, subtype = (("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS"))[int(rng.integers(2))]
    file = io.BytesIO()
    peak = max(1.0, float(np.abs(sound).max()))
    with soundfile.SoundFile(
        file,
        "w",
        SAMPLERATE,
        1,
        subtype,
        format=kind,
        compression_level=float(rng.uniform(0.6, 0.98)),
    ) as out:
        out.write(sound / peak)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.resize(np.pad(decoded, (0, max(0, len(sound) - len(decoded)))), len(sound))


def word_bounds(frames: Tensor) -> Tensor:
    """First and last frame of the louder part of each clip [clips, 2]."""
    level = frames.float().mean(-1)
    loud = level >= level.max(1, keepdim=True).values - WORD_RANGE
    first = loud.int().argmax(1)
    last = loud.shape[1] - 1 - loud.flip(1).int().argmax(1)
    return torch.stack([first, last], 1)


@dataclass
class SpokenWords:
    """Words in running speech, by recording of the corpus's ``running``."""

    recording: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    word: list[str]


def aligned_words(corpus: Corpus, folders: Sequence[Path]) -> SpokenWords:
    """What ``words.csv`` (path, start_s, end_s, word) in the data folders knows of them."""
    numbers = {corpus.speech.recordings[i].path: n for n, i in enumerate(corpus.running)}
    rows: list[tuple[int, float, float, str]] = []
    for path in (folder / "words.csv" for folder in folders):
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    number = numbers.get(path.parent / row["path"], -1)
                    times = float(row["start_s"]), float(row["end_s"])
                    rows.append((number, *times, row["word"].lower()))
    rows = [row for row in rows if row[0] >= 0]
    recording, start_s, end_s = (np.array([row[i] for row in rows]) for i in range(3))
    return SpokenWords(recording.astype(np.int64), start_s, end_s, [row[3] for row in rows])


def told_apart(corpus: Corpus, said: SpokenWords) -> list[str]:
    """Words that at least READERS people said, long enough, none of them kept for measuring."""
    readers: dict[str, set[str]] = defaultdict(set)
    for number, word in zip(said.recording, said.word, strict=True):
        readers[word].add(corpus.speech.recordings[corpus.running[int(number)]].speaker)
    return sorted(
        word
        for word, people in readers.items()
        if len(people) >= READERS and len(word) >= LETTERS and word not in NEVER_TRAINED
    )


def vocabulary(corpus: Corpus) -> list[str]:
    """The VOCABULARY commonest longer words of the running speech that are no classes."""
    counts = Counter(
        word
        for i in corpus.running
        for word in words_of(corpus.speech.recordings[i].text)
        if len(word) >= 4 and "'" not in word and word not in {*CLASSES, *NEVER_TRAINED}
    )
    return sorted(word for word, _ in counts.most_common(VOCABULARY))
