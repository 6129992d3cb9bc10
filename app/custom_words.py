"""Custom words: matched by the course of the spotter's embedding over the last second.

The embedding is compared with the mean of those at the ends of a word's recordings: the cosine of
the two after the directions have been shrunk in which readings of one word differ most, and those
in which ordinary speech varies (partial whitening), less a share of the highest cosine with a crowd
of ordinary moments of speech, so that what is like everything is not like the word. Before, its
parts are led away from the seconds of other speech that are most like it, its rivals. The threshold
is where three hours of ordinary speech, shipped as such embeddings, would be taken for the word at
the wished rate.

The embedding moves on while the word leaves the second it covers, and it does so in the same way
each time. So a word is learnt in parts: its embeddings in four stretches of a tenth of a second
that follow its end. A stream is compared with all of them at their distances in time, and is as
like the word as its parts are on average.

A phrase lasts longer than a second. Its parts are the seconds that begin with it, end with it and
lie evenly between, and a stream is as like the phrase as the least like of them, so that a sentence
with one word of the phrase is not like it.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

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
#: Seconds most like a word that it is led away from, by what part of their mean, and how often.
RIVALS, RIVAL_SHARE, TURNS = 25, 0.2, 3
#: Highest peaks in the background that a threshold is read from.
PEAKS = 10
#: Examples that are made floats at once.
AT_ONCE = 4096
#: Parts of a word or phrase, and from the first to the last of a word, s.
PARTS, WORD_SPAN_S = 4, 0.288
#: Sentences that share words with a phrase are commoner than ordinary speech has them: a phrase's
#: threshold is set for the wished rate divided by this.
PHRASES_STRICTER = 4.0


@dataclass(frozen=True)
class CustomWord:
    """A word learnt from recordings."""

    word: str
    #: What the embeddings of its PARTS have in common, led away from rivals, each of unit length,
    #: the last part first [PARTS · places].
    direction: list[float]
    threshold: float  #: likeness at which it fires
    per_hour: float  #: false accepts per hour of speech that the threshold was set for
    model: str  #: sha256 of the background it was learnt with, which belongs to a spotter
    agreement: list[float] = field(default_factory=list)  #: of each recording with the others
    text: str = ""  #: that synthetic voices read, to be learnt from as well
    span_s: float = 0.0  #: from a phrase's first part to its last; 0 for a word
    #: Highest cosine of its parts with the crowd, on average, before they are led away.
    ordinary: float = 0.0


@dataclass(frozen=True)
class Moments:
    """Moments of speech among all speech, rounded."""

    places: NDArray[np.int8]  #: in units of ``scale`` [moments, places]
    scale: float
    ordinary: Float32Array  #: highest cosine of each with the crowd [moments]
    step_s: float  #: from one to the next

    @property
    def hours(self) -> float:
        """How long they last."""
        return len(self.places) * self.step_s / 3600

    def fit(self, least: int, places: int) -> bool:
        """Whether they are more than ``least`` and make sense."""
        return (
            len(self.places) > least
            and self.places.shape == (len(self.ordinary), places)
            and 0 < self.scale < 1
            and bool(np.isfinite(self.ordinary).all())
            and 0 < self.hours < 1e5
        )

    def likeness(self, directions: Float32Array, span_s: float) -> Float32Array:
        """Of each with the parts [PARTS, places] of a word or phrase that ends there [moments]."""
        scaled = directions.T * np.float32(self.scale)
        lots = np.array_split(self.places, len(self.places) // AT_ONCE + 1)
        cosines = np.concatenate([lot.astype(np.float32) @ scaled for lot in lots])
        found = less_ordinary(cosines, self.ordinary[:, None])
        for part, back in enumerate(steps_back(span_s, self.step_s)):
            found[:, part] = np.roll(found[:, part], back)
        return together(found, span_s)

    def highest(self, likeness: Float32Array, most: int) -> NDArray[np.int64]:
        """Where its highest peaks lie, a second or more apart [most]."""
        return np.array(peaks(likeness, max(1, round(1 / self.step_s)), most=most))

    def mean(self, last: NDArray[np.int64], span_s: float) -> Float32Array:
        """Mean parts [PARTS, places] of what ends at the moments ``last``."""
        parts = last[:, None] - np.array(steps_back(span_s, self.step_s))
        return np.asarray(self.places[parts].mean(axis=0) * self.scale, np.float32)


class Background:
    """Ordinary speech as the spotter's embeddings, and the map that makes them comparable.

    To listen for a word, the map and the crowd are enough; the hours of speech are read when a word
    is learnt.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or was made with another spotter.
    """

    def __init__(self, spotter: SpotterModel, path: Path = MODELS / "keywords-background.npz"):
        self.path = path
        with self._arrays() as arrays:
            made_with = str(arrays["model"])
            self.mean, self.map = arrays["mean"], arrays["map"]
            self.crowd = arrays["crowd"].astype(np.float32) * np.float32(arrays["scale"])
            self.averaged = int(arrays["averaged"])
            features, self.places = self.map.shape
            kept = (self.mean, self.map, self.crowd)
            _require(
                self.mean.shape == (features,)
                and self.crowd.shape[1:] == (self.places,)
                and len(self.crowd) > 0
                and all(np.isfinite(array).all() for array in kept)
            )
        if made_with != spotter.identity:
            raise ModelError(f"{path} belongs to another spotter; reinstall, or make it again")

    @contextlib.contextmanager
    def _arrays(self) -> Iterator[Mapping[str, Any]]:
        """What is in the file; whatever is wrong with it is reported as a ModelError."""
        try:
            content = self.path.read_bytes()
            self.sha256 = sha256(content).hexdigest()
            if read_card(self.path.with_suffix(".json")).get("sha256") != self.sha256:
                raise ValueError("it is not the file its card describes")
            with np.load(io.BytesIO(content)) as arrays:
                yield arrays
        except Exception as error:  # archives have errors of many kinds
            raise ModelError(f"{self.path} cannot be read ({error}); reinstall") from error

    @functools.cached_property
    def _speech(self) -> tuple[Moments, Moments]:
        """Examples, and rivals."""
        with self._arrays() as arrays:
            step_s = float(arrays["hours"]) * 3600 / max(1, len(arrays["ordinary"]))
            examples, rivals = (
                Moments(
                    arrays[name], float(arrays[scale]), arrays[ordinary].astype(np.float32), step_s
                )
                for name, scale, ordinary in (
                    ("examples", "scale", "ordinary"),
                    ("rivals", "rivals_scale", "rivals_ordinary"),
                )
            )
            _require(examples.fit(PEAKS, self.places) and rivals.fit(RIVALS, self.places))
        return examples, rivals

    def place(self, embedding: NDArray[np.floating]) -> Float32Array:
        """Where embeddings [..., features] lie among all speech: unit vectors [..., places]."""
        mapped = (embedding - self.mean) @ self.map
        size = np.linalg.norm(mapped, axis=-1, keepdims=True)
        return np.asarray(mapped / np.maximum(size, 1e-9), dtype=np.float32)

    def ordinary(self, places: Float32Array) -> Float32Array:
        """Highest cosine of places [..., places] with the crowd [...]."""
        return np.asarray((places @ self.crowd.T).max(axis=-1))

    def apart(self, directions: Float32Array, span_s: float = 0.0) -> Float32Array:
        """The parts [PARTS, places] of a word or phrase, led away from the speech most like it.

        So it is distinguished from what would be taken for it. That speech is none of the examples:
        the threshold set on them would be too low.

        Parameters
        ----------
        directions
            Unit vectors [PARTS, places].
        span_s
            From a phrase's first part to its last; 0 for a word.

        Returns
        -------
        array
            Unit vectors [PARTS, places].
        """
        _, rivals = self._speech
        for _ in range(TURNS):
            most = rivals.highest(rivals.likeness(directions, span_s), RIVALS)
            directions = directions - RIVAL_SHARE * rivals.mean(most, span_s)
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return np.asarray(directions, np.float32)

    def likeness(self, direction: Float32Array, span_s: float = 0.0) -> Float32Array:
        """Of the examples with a word or a phrase, as :class:`CustomWord` has it [examples]."""
        return self._speech[0].likeness(direction.reshape(PARTS, -1), span_s)

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
        examples, likeness = self._speech[0], self.likeness(direction, span_s)
        slope, start = rate_line(likeness[examples.highest(likeness, PEAKS)], examples.hours)
        rate = per_hour / PHRASES_STRICTER if span_s else per_hour
        return float(np.clip((np.log(rate) - start) / slope, 0.05, 0.99))


def _require(fits: bool) -> None:
    if not fits:
        raise ValueError("what is in it makes no sense")


def less_ordinary(cosines: Float32Array, ordinary: Float32Array | float) -> Float32Array:
    """Likeness from cosines with a word, and the highest with the crowd (broadcast)."""
    return np.asarray(cosines - CROWD_SHARE * ordinary, np.float32)


def together(parts: Float32Array, span_s: float) -> Float32Array:
    """Likeness to a word or phrase from those to its parts [..., PARTS] → [...]."""
    return np.asarray(parts.min(axis=-1) if span_s else parts.mean(axis=-1))


def steps_back(span_s: float, step_s: float) -> list[int]:
    """How many steps before the last part each of the PARTS lies, the last first.

    Parameters
    ----------
    span_s
        From a phrase's first part to its last; 0 for a word.
    step_s
        Time between steps.

    Returns
    -------
    list of int
        Steps, from 0 up.
    """
    return [round(part * (span_s or WORD_SPAN_S) / (PARTS - 1) / step_s) for part in range(PARTS)]


class Matcher:
    """How like custom words the embeddings of a stream are, step by step."""

    def __init__(self, words: Sequence[CustomWord], background: Background, step_s: float) -> None:
        self.words, self.background = words, background
        places = background.places
        each = [np.array(word.direction, np.float32).reshape(PARTS, places) for word in words]
        self._parts = np.array(each)  # [words, PARTS, places]
        self._backs = np.array([steps_back(word.span_s, step_s) for word in words])
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
        parts = less_ordinary((self._parts * places).sum(axis=-1), ordinary[..., 0])
        pairs = zip(parts, self.words, strict=True)
        return np.array([together(each, word.span_s) for each, word in pairs], np.float32)
