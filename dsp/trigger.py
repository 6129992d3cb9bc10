"""From a stream of word scores to events: smoothing, words said apart, thresholds, rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.ring import FrameRing

FloatArray = NDArray[np.floating]

#: A word is said apart if there was silence where it does not reach, so many evaluations before
#: now, and so many of them (1.2 to 1.6 s ago) …
BEFORE, BEFORE_LENGTH = 38, 13
#: … if nobody speaks in the last evaluations (0.19 s), and …
AFTER_LENGTH = 6
#: … if somebody spoke: the mean of the highest of the last evaluations' readings (1.3 s).
SPOKEN_LENGTH, SPOKEN_HIGHEST = 40, 10
#: By how much a word's odds are multiplied if it is said apart, and divided if amid speech: e to
#: the power of this.
APART_ODDS = 2.2
#: Probabilities within this of 0 and 1 have the same log odds as this.
DOUBT = 0.02
_TINY = 1e-9


@dataclass(frozen=True)
class TriggerSettings:
    """When a word counts as detected.

    A word fires when its score, averaged over ``smoothing`` evaluations, reaches its threshold;
    with ``of_odds`` scores are probabilities, and the log odds of them are averaged. It must be
    above its threshold by ``lead`` more than any other word: in log odds, or, without ``of_odds``,
    in shares of the threshold. It can fire again after ``rest_s``, and only once it has fallen
    below ``release`` times the threshold, so that one utterance is one event. One utterance can
    hold the scores up for ``longest`` evaluations at most: scores that do not fall below half the
    threshold for longer mean that it was said again.
    """

    release: float = 0.6
    smoothing: int = 24
    of_odds: bool = False
    lead: float = -np.inf
    rest_s: float = 0.6
    longest: float = np.inf
    lowest: float = 0.05  #: no threshold is lower, whatever the wish

    def counted(self, scores: FloatArray) -> FloatArray:
        """What is averaged of scores."""
        return log_odds(scores) if self.of_odds else scores

    def scored(self, mean: FloatArray, odds: FloatArray | float) -> FloatArray:
        """What is compared with thresholds, from the average; ``odds`` as in the trigger."""
        return np.asarray(1.0 / (1.0 + np.exp(-mean - odds))) if self.of_odds else mean

    def above(self, scores: FloatArray, thresholds: FloatArray) -> FloatArray:
        """How far smoothed scores are above thresholds: log odds, or in thresholds."""
        if self.of_odds:
            return log_odds(scores, _TINY) - log_odds(thresholds, _TINY)
        return scores / thresholds - 1.0


#: For words heard in the sound as it came, and for those heard in the cleaned one, too. Said apart,
#: what is none of the words has a score of 0.16 for each.
ONCE = TriggerSettings()
TWICE = TriggerSettings(smoothing=26, of_odds=True, lead=0.5, lowest=0.25)


class Trigger:
    """Decides, evaluation by evaluation, whether a word was detected.

    Parameters
    ----------
    thresholds
        Of each word's smoothed score, 0 … 1 [words].
    settings
        How scores are averaged and compared.
    """

    def __init__(self, thresholds: FloatArray, settings: TriggerSettings) -> None:
        self.use(thresholds, settings)
        self.reset()

    def use(self, thresholds: FloatArray, settings: TriggerSettings) -> None:
        """Go on with others; what has fired does not fire again for that."""
        self.thresholds: FloatArray = np.asarray(thresholds, dtype=np.float64)
        self.settings = settings

    def reset(self) -> None:
        """Forget all scores."""
        words = len(self.thresholds)
        self.scores: FloatArray = np.zeros(words)  #: smoothed scores now [words]
        kept = max(each.smoothing for each in (self.settings, ONCE, TWICE))
        self._recent = np.zeros((kept, words))
        self._armed = np.ones(words, dtype=bool)
        self._high = np.zeros(words, dtype=int)  # evaluations since scores rose, or it fired
        self._quiet_until_s = -np.inf
        self.repeated = False  #: whether what fired last was said again before its score fell

    def steps_since_onset(self, word: int) -> int:
        """Evaluations since the word's score rose above half its highest, within the smoothing."""
        recent = self._recent[-self.settings.smoothing :, word]
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
            What is added to the averaged log odds before they are compared; 0 unless they are
            averaged.

        Returns
        -------
        int or None
            Number of the word.
        """
        self._recent[:-1], self._recent[-1] = self._recent[1:], scores
        recent = self._recent[-self.settings.smoothing :]
        self.scores = self.settings.scored(self.settings.counted(recent).mean(0), odds)
        self._armed |= self.scores < self.settings.release * self.thresholds
        self._high = np.where(scores >= self.thresholds / 2, self._high + 1, 0)
        self._armed |= self._high > self.settings.longest
        ready = self._armed & (self.scores >= self.thresholds)
        if not ready.any() or time_s < self._quiet_until_s:
            return None
        above = self.settings.above(self.scores, self.thresholds)
        best = int(np.argmax(np.where(ready, above, -np.inf)))
        if above[best] - np.delete(above, best).max(initial=-np.inf) < self.settings.lead:
            return None
        self._armed[best] = False
        self.repeated = bool(self._high[best] > self.settings.longest)
        if self.repeated:
            self._high[best] = 0
        self._quiet_until_s = time_s + self.settings.rest_s
        return best


class Apart:
    """Whether a word that is said now is said apart, as commands are, not amid speech."""

    def __init__(self) -> None:
        self._silence = FrameRing(BEFORE + BEFORE_LENGTH, 1, fill=1.0)
        self._voice = FrameRing(SPOKEN_LENGTH, 1, fill=0.0)

    def reset(self) -> None:
        """Nothing was heard yet."""
        self._silence.reset()
        self._voice.reset()

    def update(self, silence: float, voice: float) -> float:
        """One evaluation.

        Parameters
        ----------
        silence
            The spotter's probability of silence or noise alone.
        voice
            The denoiser's probability that somebody speaks.

        Returns
        -------
        float
            1: said apart; 0: silence before or after; -1: amid speech, or nobody spoke.
        """
        self._silence.push(np.array([silence], np.float32))
        self._voice.push(np.array([voice], np.float32))
        voices = self._voice.view()[:, 0]
        before = self._silence.view()[:BEFORE_LENGTH].mean(dtype=np.float64)
        after = 1.0 - voices[-AFTER_LENGTH:].mean(dtype=np.float64)
        spoken = np.sort(voices)[-SPOKEN_HIGHEST:].mean(dtype=np.float64)
        return float(spoken * (before + after) - 1.0)


def log_odds(probabilities: FloatArray, doubt: float = DOUBT) -> FloatArray:
    """Of probabilities, none nearer to 0 or 1 than ``doubt``."""
    clipped = np.clip(probabilities, doubt, 1.0 - doubt)
    return np.asarray(np.log(clipped / (1.0 - clipped)))


def smoothed(
    scores: FloatArray, settings: TriggerSettings, odds: FloatArray | float = 0.0
) -> FloatArray:
    """What :class:`Trigger` compares with the thresholds, for a whole stream [steps, words].

    Parameters
    ----------
    scores
        Of each evaluation, 0 … 1 [steps, words].
    settings
        Timing.
    odds
        As in :meth:`Trigger.update`, for all evaluations alike or of each [steps, 1].

    Returns
    -------
    ndarray
        [steps, words].
    """
    count = settings.smoothing
    counted = settings.counted(np.concatenate([np.zeros((count, scores.shape[1])), scores]))
    total = np.cumsum(counted, axis=0)
    return settings.scored((total[count:] - total[:-count]) / count, odds)
