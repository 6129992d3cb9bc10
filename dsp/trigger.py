"""From a stream of word scores to events: smoothing, pauses, thresholds, hysteresis, rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.ring import FrameRing

FloatArray = NDArray[np.floating]

#: Before a word there is a pause if nothing is heard in evaluations that it does not reach: so many
#: before now, and so many of them (1.2 to 1.6 s ago).
PAUSE_BEFORE, PAUSE_LENGTH = 38, 13
#: By how much a word's odds are multiplied after a pause: e to the power of this.
APART_ODDS = 1.4


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
        self.scores: FloatArray = np.zeros(words)  #: smoothed scores now [words]
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

    def update(self, time_s: float, scores: FloatArray, odds: float = 0.0) -> int | None:
        """One evaluation: the word that fires now, else None.

        Parameters
        ----------
        time_s
            When it is.
        scores
            Of each word, 0 … 1 [words].
        odds
            What is added to the smoothed scores' log odds before they are compared.

        Returns
        -------
        int or None
            Number of the word.
        """
        oldest = self._recent[self._turn]
        self._sum += scores - oldest
        oldest[:] = scores
        self._turn = (self._turn + 1) % len(self._recent)
        self.scores = raised(self._sum / len(self._recent), odds)
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


class Pause:
    """How much of a pause there was before a word that is said now."""

    def __init__(self) -> None:
        self._silence = FrameRing(PAUSE_BEFORE + PAUSE_LENGTH, 1, fill=1.0)

    def reset(self) -> None:
        """Nothing was heard yet."""
        self._silence.reset()

    def update(self, silence: np.float32) -> float:
        """One evaluation: its probability of silence → share of a pause, 0 … 1."""
        self._silence.push(np.array([silence], np.float32))
        return float(self._silence.view()[:PAUSE_LENGTH].mean(dtype=np.float64))


def pauses(silence: FloatArray) -> FloatArray:
    """What :class:`Pause` finds in a whole stream [steps]."""
    before = np.concatenate([np.ones(PAUSE_BEFORE + PAUSE_LENGTH - 1), silence])
    windows = np.lib.stride_tricks.sliding_window_view(before, PAUSE_LENGTH)[: len(silence)]
    return np.asarray(windows.mean(1))


def raised(scores: FloatArray, odds: FloatArray | float) -> FloatArray:
    """Scores 0 … 1 whose log odds are higher by ``odds``; both broadcast."""
    factor = np.exp(odds)
    return np.asarray(scores * factor / (1.0 + scores * (factor - 1.0)))


def smoothed(scores: FloatArray, smoothing: int) -> FloatArray:
    """What :class:`Trigger` compares with the thresholds, for a whole stream [steps, words]."""
    total = np.cumsum(np.concatenate([np.zeros((smoothing, scores.shape[1])), scores]), axis=0)
    return np.asarray((total[smoothing:] - total[:-smoothing]) / smoothing)
