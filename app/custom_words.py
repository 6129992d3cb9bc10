"""Custom words: matched by the course of the spotter's embedding over the last second.

The embedding is compared with the mean of those at the ends of a word's recordings: the cosine of
the two after the directions have been shrunk in which readings of one word differ most, and those
in which ordinary speech varies (partial whitening). The threshold is where three hours of ordinary
speech, shipped as such embeddings, would be taken for the word at the wished rate.
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
from resonance.app.onnx_models import Float32Array, SpotterModel, read_card
from resonance.assets import MODELS
from resonance.dsp.peaks import peaks, rate_line

#: Highest peaks in the background that a threshold is read from.
PEAKS = 10
#: Examples that are made floats at once.
PART = 4096


@dataclass(frozen=True)
class CustomWord:
    """A word learnt from recordings."""

    word: str
    direction: list[float]  #: what its embeddings have in common, of unit length
    threshold: float  #: cosine at which it fires
    per_hour: float  #: false accepts per hour of speech that the threshold was set for
    model: str  #: sha256 of the spotter it was learnt with
    agreement: list[float] = field(default_factory=list)  #: of each recording with the others


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
        """Of the examples with a direction [examples]."""
        scaled = direction * np.float32(self.scale)
        parts = np.array_split(self.examples, len(self.examples) // PART + 1)
        return np.concatenate([part.astype(np.float32) @ scaled for part in parts])

    def threshold(self, direction: Float32Array, per_hour: float) -> float:
        """Cosine that ordinary speech reaches ``per_hour`` times an hour.

        Fitted to the highest peaks: log rate falls linearly with the cosine.
        """
        cosines = self.cosines(direction)
        apart = max(1, round(len(cosines) / self.hours / 3600))  # one second
        slope, start = rate_line(cosines[peaks(cosines, apart, most=PEAKS)], self.hours)
        return float(np.clip((np.log(per_hour) - start) / slope, 0.05, 0.99))


class Matcher:
    """How like custom words an embedding is."""

    def __init__(self, words: Sequence[CustomWord], background: Background) -> None:
        self.words, self.background = words, background
        self._directions = np.array([word.direction for word in words], dtype=np.float32)

    def cosines(self, embedding: Float32Array) -> Float32Array:
        """Of an embedding [features] with each word [words]."""
        return self._directions @ self.background.place(embedding)
