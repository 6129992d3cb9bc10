"""Augmented copies of what the spotter learns from, made when first asked for and kept on disk."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from resonance.dsp.peaks import peaks
from resonance.models.data import SAMPLERATE
from resonance.models.keyword_data import CLIP, HELD_WORDS, Corpus, Examples, words_of
from resonance.models.keywords import (
    CLASSES,
    CORE_WORDS,
    SILENCE,
    STEP_FRAMES,
    UNKNOWN,
    KeywordSpotter,
    label_scores,
)
from resonance.models.mixing import Sound
from resonance.models.synthetic_voices import spoken_words
from resonance.models.training import save_atomically

#: Words of the spoken vocabulary, and readings of each.
VOCABULARY, READINGS = 300, 8
#: Words that sound much like a core word, synthetic readings of each, and the least probability
#: at which running speech counts as taken for a core word; steps between two such places.
CONFUSABLE = (
    "now",
    "stopped",
    "stuff",
    "step",
    "top",
    "stock",
    "start",
    "star",
    "shop",
    "store",
    "town",
    "done",
    "dawn",
    "gown",
    "noun",
    "round",
    "doubt",
    "rye",
    "ride",
    "rice",
    "rise",
    "light",
    "night",
    "rage",
    "cry",
    "quite",
    "try",
    "bright",
    "let",
    "lift",
    "laugh",
    "lend",
    "live",
    "less",
    "leaf",
    "guess",
    "yet",
    "yesterday",
    "yeah",
    "chest",
    "nose",
    "knows",
    "note",
    "gnome",
    "so",
    "goat",
    "gold",
    "dough",
    "toe",
    "cold",
    "ghost",
    "own",
    "gone",
    "an",
    "in",
    "aunt",
    "honest",
    "of",
    "often",
    "awful",
    "loft",
    "cough",
    "cup",
    "app",
    "but",
    "us",
    "upper",
    "pub",
    "hop",
)
CONFUSED, MINED_ABOVE, MINED_APART = 12, 0.25, 15


class Kept(ABC):
    """Numbered copies of examples, one for each epoch and round again."""

    def __init__(self, cache: Path, kind: str, count: int, key: str) -> None:
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        self._stem, self.count = cache / f"{kind}-{digest}", count

    def __getitem__(self, epoch: int) -> Examples:
        number = epoch % self.count
        path = self._stem.with_name(f"{self._stem.name}-{number}.pt")
        if not path.exists():
            made = self.make(number)
            save_atomically({"frames": made.frames.half(), "labels": made.labels}, path)
        return Examples(**torch.load(path, weights_only=True))

    @abstractmethod
    def make(self, number: int) -> Examples:
        """Copy ``number``, always the same."""


class Copies(Kept):
    """Everything the corpus has to train on, ``count`` times; labels count CLASSES.

    Parameters
    ----------
    each
        Synthetic readings of each word.
    """

    def __init__(self, corpus: Corpus, cache: Path, count: int, each: int) -> None:
        names = " ".join(str(r.path) for r in corpus.words.recordings)
        key = f"6 {each} {len(corpus.levels.pooling)} {corpus.levels.frame_s} {names}"
        super().__init__(cache, "keywords", count, key)
        self.corpus, self.each = corpus, each
        self._spoken: list[tuple[str, Sound]] = []

    def make(self, number: int) -> Examples:
        """One augmented pass."""
        words = tuple(name for name in CLASSES if not name.startswith("_"))
        self._spoken = self._spoken or spoken_words(words, self.each, seed=3)
        return self.corpus.copy(number, self._spoken)


class SpokenVocabulary(Kept):
    """Many more words, by synthetic voices only, so that tokens learn what words differ by.

    Labels number :attr:`words`.
    """

    def __init__(self, corpus: Corpus, cache: Path) -> None:
        self.corpus, self.words = corpus, vocabulary(corpus)
        super().__init__(cache, "vocabulary", 8, " ".join(self.words))
        self._spoken: list[tuple[str, Sound]] = []

    def make(self, number: int) -> Examples:
        """Each reading in other circumstances."""
        self._spoken = self._spoken or spoken_words(tuple(self.words), READINGS, seed=5)
        frames = self.corpus.augmented((2, number), self._spoken)
        return Examples(frames, torch.tensor([self.words.index(w) for w, _ in self._spoken]))


class HardNegatives(Kept):
    """What is easily taken for a core word: mined running speech, and CONFUSABLE words synthesised.

    Parameters
    ----------
    spotter
        Whose mistakes on the training speech are mined.
    """

    def __init__(self, corpus: Corpus, cache: Path, spotter: KeywordSpotter) -> None:
        weights = b"".join(v.numpy().tobytes() for v in spotter.state_dict().values())
        super().__init__(cache, "negatives", 8, "2" + hashlib.sha256(weights).hexdigest())
        self.corpus, self._spotter = corpus, spotter.eval()
        self._clips: list[tuple[str, Sound]] = []

    def make(self, number: int) -> Examples:
        """Each mistake and each reading in other circumstances."""
        if not self._clips:
            alike = spoken_words(CONFUSABLE, CONFUSED, seed=6)
            self._clips = [*self.mined(), *((UNKNOWN, clip) for _, clip in alike)]
        frames = self.corpus.augmented((3, number), self._clips)
        return Examples(frames, torch.tensor([CLASSES.index(name) for name, _ in self._clips]))

    def mined(self) -> list[tuple[str, Sound]]:
        """Seconds of speech and noise to train on that are taken for a word that was not said."""
        found, noise = [], self.corpus.noise
        for i in self.corpus.running:
            said = words_of(self.corpus.speech.recordings[i].text)
            found += [(UNKNOWN, part) for part in self._mistakes(self.corpus.speech.get(i), said)]
        for i in range(len(noise)):
            found += [(SILENCE, part) for part in self._mistakes(noise.get(i), [])]
        return found

    def _mistakes(self, sound: Sound, said: list[str]) -> list[Sound]:
        """Seconds that end where a word seems to be that was not said, or not so often."""
        parts, levels = [], self.corpus.levels
        scores = word_scores(self._spotter, levels(torch.from_numpy(sound[None])))
        for number, word in enumerate(CORE_WORDS):
            found = peaks(scores[:, number].numpy(), MINED_APART, MINED_ABOVE)
            for place in found[said.count(word) :]:
                end = round((place + 1) * STEP_FRAMES * levels.frame_s * SAMPLERATE)
                parts.append(sound[max(0, end - CLIP) : end])
        return parts


def word_scores(spotter: KeywordSpotter, frames: Tensor) -> Tensor:
    """Probabilities of the core words at every step of one sound [steps, words]."""
    with torch.no_grad():
        scores = spotter.attend(spotter.seconds(frames))[0]
        return label_scores(scores).softmax(-1)[:, : len(CORE_WORDS)]


def vocabulary(corpus: Corpus) -> list[str]:
    """The VOCABULARY commonest longer words of the running speech that are no classes."""
    counts = Counter(
        word
        for i in corpus.running
        for word in words_of(corpus.speech.recordings[i].text)
        if len(word) >= 4 and "'" not in word and word not in {*CLASSES, *HELD_WORDS}
    )
    return sorted(word for word, _ in counts.most_common(VOCABULARY))
