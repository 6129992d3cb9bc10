"""Custom words: matched by the course of the spotter's embedding over the last second.

The embedding is compared with the mean of those at the ends of a word's recordings: the cosine of
the two after the directions have been shrunk in which readings of one word differ most, and those
in which ordinary speech varies (partial whitening). The threshold is where three hours of ordinary
speech, shipped as such embeddings, would be taken for the word at the wished rate.

A phrase lasts longer than the second an embedding covers: it is compared with two embeddings, now
and about a second before, and is as like as the less like of them.
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

#: Highest peaks in the background that a threshold is read from.
PEAKS = 10
#: Examples that are made floats at once.
PART = 4096


@dataclass(frozen=True)
class CustomWord:
    """A word learnt from recordings."""

    word: str
    #: What its embeddings have in common, of unit length [places]; of a phrase, those of its end
    #: and of a second before [2 · places].
    direction: list[float]
    threshold: float  #: cosine at which it fires
    per_hour: float  #: false accepts per hour of speech that the threshold was set for
    model: str  #: sha256 of the spotter it was learnt with
    agreement: list[float] = field(default_factory=list)  #: of each recording with the others
    text: str = ""  #: that synthetic voices read, to be learnt from as well


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
            if read_card(path.with_suffix(".json")).get("sha256") != sha256(content).hexdigest():
                raise ValueError("it is not the file its card describes")
            with np.load(io.BytesIO(content)) as arrays:
                made_with = str(arrays["model"])
                self.mean, self.map = arrays["mean"], arrays["map"]
                self.examples, self.scale = arrays["examples"], float(arrays["scale"])
                self.hours, self.averaged = float(arrays["hours"]), int(arrays["averaged"])
            self._check()
            every_s = self.hours * 3600 / len(self.examples)
            self._second = max(1, round(1 / every_s))  #: examples in about a second
            #: Steps between the two embeddings of a phrase.
            self.steps_back = max(1, round(self._second * every_s / spotter.step_s))
        except Exception as error:  # archives have errors of many kinds
            raise ModelError(f"{path} cannot be read ({error}); reinstall") from error
        if made_with != spotter.sha256:
            raise ModelError(f"{path} belongs to another spotter; reinstall, or make it again")

    def _check(self) -> None:
        features, places = self.map.shape
        fits = (
            self.mean.shape == (features,)
            and self.examples.shape[1:] == (places,)
            and len(self.examples) > PEAKS
            and 0 < self.hours < 1e5
            and 0 < self.scale < 1
            and all(np.isfinite(array).all() for array in (self.mean, self.map, self.examples))
        )
        if not fits:
            raise ValueError("what is in it makes no sense")

    def place(self, embedding: NDArray[np.floating]) -> Float32Array:
        """Where embeddings [..., features] lie among all speech: unit vectors [..., places]."""
        mapped = (embedding - self.mean) @ self.map
        size = np.linalg.norm(mapped, axis=-1, keepdims=True)
        return np.asarray(mapped / np.maximum(size, 1e-9), dtype=np.float32)

    def cosines(self, direction: Float32Array) -> Float32Array:
        """Of the examples with the direction of a word or a phrase [examples]."""
        directions = direction.reshape(-1, self.map.shape[1])
        scaled = directions.T * np.float32(self.scale)
        parts = np.array_split(self.examples, len(self.examples) // PART + 1)
        found = np.concatenate([part.astype(np.float32) @ scaled for part in parts])
        for back in range(1, len(directions)):
            found[:, back] = np.roll(found[:, back], back * self._second)
        return np.asarray(found.min(axis=1))

    def threshold(self, direction: Float32Array, per_hour: float) -> float:
        """Cosine that ordinary speech reaches ``per_hour`` times an hour.

        Fitted to the highest peaks: log rate falls linearly with the cosine.
        """
        cosines = self.cosines(direction)
        highest = peaks(cosines, self._second, most=PEAKS)
        slope, start = rate_line(cosines[highest], self.hours)
        return float(np.clip((np.log(per_hour) - start) / slope, 0.05, 0.99))


class Matcher:
    """How like custom words the embeddings of a stream are, step by step."""

    def __init__(self, words: Sequence[CustomWord], background: Background) -> None:
        self.words, self.background = words, background
        places = background.map.shape[1]
        self._now = np.array([word.direction[:places] for word in words], np.float32)
        self._before = np.array([word.direction[-places:] for word in words], np.float32)
        self._phrases = np.array([len(word.direction) > places for word in words])
        self._places = FrameRing(background.steps_back + 1, places)

    def reset(self) -> None:
        """Forget what came before."""
        self._places.reset()

    def cosines(self, embedding: Float32Array) -> Float32Array:
        """Of the newest embedding [features] with each word [words]."""
        self._places.push(self.background.place(embedding))
        recent = self._places.view()
        now, before = self._now @ recent[-1], self._before @ recent[0]
        return np.asarray(np.where(self._phrases, np.minimum(now, before), now))
