"""From a stream of word probabilities to events: smoothing, threshold, hysteresis, rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TriggerSettings:
    """When a word counts as heard.

    A word fires when its probability, averaged over ``smoothing`` evaluations, reaches
    ``threshold``. It can fire again after ``rest_s``, and only once it has fallen below
    ``release`` times the threshold, so that one utterance is one event.
    """

    threshold: float = 0.7
    release: float = 0.6
    smoothing: int = 8
    rest_s: float = 0.6


class Trigger:
    """Decides, evaluation by evaluation, whether a word was heard.

    Parameters
    ----------
    words
        How many of the first labels are words; the others (unknown, silence) never fire.
    settings
        Threshold and timing.
    """

    def __init__(self, words: int, settings: TriggerSettings) -> None:
        self.words, self.settings = words, settings
        self.reset()

    def reset(self) -> None:
        """Forget what was heard."""
        self._recent: list[NDArray[np.float32]] = []
        self._armed = np.ones(self.words, dtype=bool)
        self._quiet_until_s = -np.inf

    def update(self, time_s: float, probabilities: NDArray[np.float32]) -> tuple[int, float] | None:
        """One evaluation at ``time_s``: (label, score) if a word fires now, else None.

        ``probabilities [labels]`` sum to 1.
        """
        self._recent = [*self._recent, probabilities[: self.words]][-self.settings.smoothing :]
        score = np.sum(self._recent, axis=0) / self.settings.smoothing
        self._armed |= score < self.settings.release * self.settings.threshold
        best = int(np.argmax(score))
        if score[best] < self.settings.threshold or not self._armed[best]:
            return None
        if time_s < self._quiet_until_s:
            return None
        self._armed[best] = False
        self._quiet_until_s = time_s + self.settings.rest_s
        return best, float(score[best])
