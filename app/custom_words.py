"""Custom words: matched by the course of the spotter's embedding over the last second.

The embedding is compared with the mean of those at the ends of a word's recordings: the cosine of
the two after the directions have been shrunk in which readings of one word differ most, and those
in which ordinary speech varies (partial whitening), less a share of the highest cosine with a crowd
of ordinary moments of speech, so that what is like everything is not like the word. The threshold
is where three hours of ordinary speech, shipped as such embeddings, would be taken for the word at
the wished rate.

A phrase lasts longer than the second an embedding covers. It is learnt in parts: the seconds that
begin with it, end with it and lie evenly between. A stream is compared with all of them at their
distances in time, and is as like the phrase as the least like of its parts, so that a sentence with
one word of the phrase is not like it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resonance.app.errors import ModelError
from resonance.app.onnx_models import SpotterModel, read_card
from resonance.assets import MODELS
from resonance.dsp.arrays import Float32Array
from resonance.dsp.peaks import peaks, rate_line
from resonance.dsp.ring import FrameRing

#: Part of the highest cosine with the crowd that is taken off the cosine with a word.
CROWD_SHARE = 0.3
#: Highest peaks in the background that a threshold is read from.
PEAKS = 10
#: Examples that are made floats at once.
AT_ONCE = 4096
#: Parts of a phrase.
PARTS = 4
#: Sentences that share words with a phrase are commoner than ordinary speech has them: a phrase's
#: threshold is set for the wished rate divided by this.
PHRASES_STRICTER = 10.0


@dataclass(frozen=True)
class CustomWord:
    """A word learnt from recordings."""

    word: str
    #: What its embeddings have in common, of unit length [places]; of a phrase, those of its
    #: PARTS, the last one first [PARTS · places].
    direction: list[float]
    threshold: float  #: likeness at which it fires
    per_hour: float  #: false accepts per hour of speech that the threshold was set for
    model: str  #: sha256 of the background it was learnt with, which belongs to a spotter
    agreement: list[float] = field(default_factory=list)  #: of each recording with the others
    text: str = ""  #: that synthetic voices read, to be learnt from as well
    span_s: float = 0.0  #: from a phrase's first part to its last; 0 for a word
    ordinary: float = 0.0  #: highest cosine of its end with the crowd


class Background:
    """Ordinary speech as the spotter's embeddings, and the map that makes them comparable.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or was made with another spotter.
    """

    def __init__(self, spotter: SpotterModel, path: Path = MODELS / "keywords-background.npz"):
        try:
            content = path.read_bytes()
            self.sha256 = sha256(content).hexdigest()
            if read_card(path.with_suffix(".json")).get("sha256") != self.sha256:
                raise ValueError("it is not the file its card describes")
            with np.load(io.BytesIO(content)) as arrays:
                made_with = str(arrays["model"])
                self.mean, self.map = arrays["mean"], arrays["map"]
                self.examples, self.scale = arrays["examples"], float(arrays["scale"])
                self.crowd = arrays["crowd"].astype(np.float32) * np.float32(self.scale)
                self.ordinary_examples = arrays["ordinary"].astype(np.float32)
                self.hours, self.averaged = float(arrays["hours"]), int(arrays["averaged"])
            self._check()
            self._every_s = self.hours * 3600 / len(self.examples)
            self._second = max(1, round(1 / self._every_s))  #: examples in about a second
        except Exception as error:  # archives have errors of many kinds
            raise ModelError(f"{path} cannot be read ({error}); reinstall") from error
        if made_with != spotter.identity:
            raise ModelError(f"{path} belongs to another spotter; reinstall, or make it again")

    def _check(self) -> None:
        features, places = self.map.shape
        arrays = self.mean, self.map, self.examples, self.crowd, self.ordinary_examples
        fits = (
            self.mean.shape == (features,)
            and self.examples.shape[1:] == self.crowd.shape[1:] == (places,)
            and self.ordinary_examples.shape == self.examples.shape[:1]
            and len(self.crowd) > 0
            and len(self.examples) > PEAKS
            and 0 < self.hours < 1e5
            and 0 < self.scale < 1
            and all(np.isfinite(array).all() for array in arrays)
        )
        if not fits:
            raise ValueError("what is in it makes no sense")

    def place(self, embedding: NDArray[np.floating]) -> Float32Array:
        """Where embeddings [..., features] lie among all speech: unit vectors [..., places]."""
        mapped = (embedding - self.mean) @ self.map
        size = np.linalg.norm(mapped, axis=-1, keepdims=True)
        return np.asarray(mapped / np.maximum(size, 1e-9), dtype=np.float32)

    def ordinary(self, places: Float32Array) -> Float32Array:
        """Highest cosine of places [..., places] with the crowd [...]."""
        return np.asarray((places @ self.crowd.T).max(axis=-1))

    def likeness(self, direction: Float32Array, span_s: float = 0.0) -> Float32Array:
        """Of the examples with a word or a phrase, as :class:`CustomWord` has it [examples]."""
        directions = direction.reshape(-1, self.map.shape[1])
        scaled = directions.T * np.float32(self.scale)
        parts = np.array_split(self.examples, len(self.examples) // AT_ONCE + 1)
        found = np.concatenate([part.astype(np.float32) @ scaled for part in parts])
        found = less_ordinary(found, self.ordinary_examples[:, None])
        for part, back in enumerate(steps_back(len(directions), span_s, self._every_s)):
            found[:, part] = np.roll(found[:, part], back)
        return np.asarray(found.min(axis=1))

    def threshold(self, direction: Float32Array, per_hour: float, span_s: float = 0.0) -> float:
        """Likeness that ordinary speech reaches ``per_hour`` times an hour.

        Fitted to the highest peaks: log rate falls linearly with the likeness.

        Parameters
        ----------
        direction
            Of a word or a phrase, as :class:`CustomWord` has it.
        per_hour
            False accepts allowed per hour of running speech.
        span_s
            From a phrase's first part to its last; 0 for a word.

        Returns
        -------
        float
            0.05 … 0.99.
        """
        likeness = self.likeness(direction, span_s)
        highest = peaks(likeness, self._second, most=PEAKS)
        slope, start = rate_line(likeness[highest], self.hours)
        rate = per_hour / PHRASES_STRICTER if span_s else per_hour
        return float(np.clip((np.log(rate) - start) / slope, 0.05, 0.99))


def less_ordinary(cosines: Float32Array, ordinary: Float32Array | float) -> Float32Array:
    """Likeness from cosines with a word, and the highest with the crowd (broadcast)."""
    return np.asarray(cosines - CROWD_SHARE * ordinary, np.float32)


def steps_back(parts: int, span_s: float, step_s: float) -> list[int]:
    """How many steps before a phrase's last part each part lies, the last first.

    Parameters
    ----------
    parts
        How many there are.
    span_s
        From the first to the last.
    step_s
        Time between steps, in the same unit.

    Returns
    -------
    list of int
        Steps, from 0 up.
    """
    return [round(part * span_s / (max(parts, 2) - 1) / step_s) for part in range(parts)]


class Matcher:
    """How like custom words the embeddings of a stream are, step by step."""

    def __init__(self, words: Sequence[CustomWord], background: Background, step_s: float) -> None:
        self.words, self.background = words, background
        places = background.map.shape[1]
        each = [np.array(word.direction, np.float32).reshape(-1, places) for word in words]
        spans = [word.span_s for word in words]
        backs = [
            steps_back(len(parts), span_s, step_s)
            for parts, span_s in zip(each, spans, strict=True)
        ]
        self._parts, self._backs = np.concatenate(each), np.concatenate(backs)
        self._first = np.cumsum([0, *map(len, backs)])[:-1]  # part of each word
        longest = int(self._backs.max()) + 1
        self._places, self._ordinary = FrameRing(longest, places), FrameRing(longest, 1)

    def reset(self) -> None:
        """Forget what came before."""
        self._places.reset()
        self._ordinary.reset()

    def likeness(self, embedding: Float32Array) -> Float32Array:
        """Of the newest embedding [features], and earlier ones, to each word [words]."""
        place = self.background.place(embedding)
        self._places.push(place)
        self._ordinary.push(self.background.ordinary(place)[None])
        places, ordinary = (
            ring.view()[-1 - self._backs] for ring in (self._places, self._ordinary)
        )
        parts = less_ordinary((self._parts * places).sum(axis=1), ordinary[:, 0])
        return np.asarray(np.minimum.reduceat(parts, self._first))
