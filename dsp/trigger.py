"""From a stream of word scores to events: smoothing, thresholds, hysteresis, rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class TriggerSettings:
    """When a word counts as detected.

    A word fires when its score, averaged over ``smoothing`` evaluations, reaches its threshold.
    It can fire again after ``rest_s``, and only once it has fallen below ``release`` times the
    threshold, so that one utterance is one event. One utterance can hold the scores up for
    ``longest`` evaluations at most: scores that do not fall below half the threshold for longer
    mean that it was said again.
    """

    release: float = 0.6
    smoothing: int = 24
    rest_s: float = 0.6
    longest: float = np.inf


class Trigger:
    """Decides, evaluation by evaluation, whether a word was detected.

    Parameters
    ----------
    thresholds
        Of each word's smoothed score, 0 … 1 [words].
    settings
        Timing.
    """

    def __init__(self, thresholds: FloatArray, settings: TriggerSettings) -> None:
        self.settings = settings
        #: May be replaced by others at any time.
        self.thresholds: FloatArray = np.asarray(thresholds, dtype=np.float64)
        self.reset()

    def reset(self) -> None:
        """Forget all scores."""
        words = len(self.thresholds)
        self.scores = np.zeros(words)  #: smoothed scores now [words]
        self._recent = np.zeros((self.settings.smoothing, words))
        self._sum = np.zeros(words)
        self._turn = 0
        self._armed = np.ones(words, dtype=bool)
        self._high = np.zeros(words, dtype=int)  # evaluations since scores rose, or it fired
        self._quiet_until_s = -np.inf
        self.repeated = False  #: whether what fired last was said again before its score fell

    def steps_since_onset(self, word: int) -> int:
        """Evaluations since the word's score rose above half its highest, within the smoothing."""
        recent = np.roll(self._recent[:, word], -self._turn)
        return len(recent) - 1 - int(np.argmax(recent >= recent.max() / 2))

    def update(self, time_s: float, scores: FloatArray) -> int | None:
        """One evaluation at ``time_s``: the word that fires now, else None; ``scores [words]``."""
        oldest = self._recent[self._turn]
        self._sum += scores - oldest
        oldest[:] = scores
        self._turn = (self._turn + 1) % len(self._recent)
        self.scores = self._sum / len(self._recent)
        self._armed |= self.scores < self.settings.release * self.thresholds
        self._high = np.where(scores >= self.thresholds / 2, self._high + 1, 0)
        self._armed |= self._high > self.settings.longest
        ready = self._armed & (self.scores >= self.thresholds)
        if not ready.any() or time_s < self._quiet_until_s:
            return None
        best = int(np.argmax(np.where(ready, self.scores / self.thresholds, -np.inf)))
        self._armed[best] = False
        self.repeated = bool(self._high[best] > self.settings.longest)
        if self.repeated:
            self._high[best] = 0
        self._quiet_until_s = time_s + self.settings.rest_s
        return best


def smoothed(scores: FloatArray, smoothing: int) -> FloatArray:
    """What :class:`Trigger` compares with the thresholds, for a whole stream [steps, words]."""
    total = np.cumsum(np.concatenate([np.zeros((smoothing, scores.shape[1])), scores]), axis=0)
    return np.asarray((total[smoothing:] - total[:-smoothing]) / smoothing)
