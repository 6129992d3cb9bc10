"""Keyword spotting on a stream of hop powers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.sessions import Float32Array, SpotterModel
from dsp.features import log_power
from dsp.ring import FrameRing
from dsp.trigger import Trigger, TriggerSettings


@dataclass(frozen=True)
class KeywordEvent:
    """A word that was heard."""

    time_s: float  #: when it was heard, about the end of the word, from the start of the stream
    keyword: str
    score: float  #: smoothed probability, 0 … 1


class Spotter:
    """Turns oscillator powers, hop by hop, into keyword events.

    Feed :meth:`hop` with the mean powers of each hop; it pools them to bands, keeps the last
    second and evaluates it every ``stride`` frames of the model.
    """

    def __init__(self, model: SpotterModel, settings: TriggerSettings) -> None:
        self.model = model
        self._trigger = Trigger(model.words, settings)
        self._hops_per_frame = round(model.frame_s / model.hop_s)
        self._silence = float(log_power(0.0))
        self._ring = FrameRing(model.frames, model.bands, self._silence)
        self.reset()

    def reset(self) -> None:
        """As new."""
        self._ring.reset()
        self._trigger.reset()
        self._power = np.zeros(self.model.pooling.shape[1], np.float32)
        self._hops = 0
        self.probabilities = np.zeros(len(self.model.labels), np.float32)

    def hop(self, power: Float32Array) -> KeywordEvent | None:
        """Mean power of each of the spotter's oscillators in one hop [oscillators]."""
        self._power += power
        self._hops += 1
        if self._hops % self._hops_per_frame:
            return None
        self._ring.push(log_power(self.model.pooling @ (self._power / self._hops_per_frame)))
        self._power[:] = 0.0
        frame = self._hops // self._hops_per_frame
        return self._evaluate(frame) if frame % self.model.stride == 0 else None

    def _evaluate(self, frame: int) -> KeywordEvent | None:
        now_s = frame * self.model.frame_s
        self.probabilities = self.model.evaluate(self._ring.view())
        fired = self._trigger.update(now_s, self.probabilities)
        if fired is None:
            return None
        return KeywordEvent(round(now_s, 3), self.model.labels[fired[0]], round(fired[1], 3))
