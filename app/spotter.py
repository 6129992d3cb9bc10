"""Keyword spotting on a stream of hop levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.app.custom_words import Background, CustomWord, Matcher
from resonance.app.errors import WrongUsage
from resonance.app.model_facts import SILENCE
from resonance.app.onnx_models import SpotterModel, SpotterState
from resonance.dsp.arrays import Float32Array
from resonance.dsp.features import LOG_SCALE, log_power
from resonance.dsp.ring import FrameRing
from resonance.dsp.trigger import ONCE, TWICE, Apart, FloatArray, Trigger, TriggerSettings

IntArray = NDArray[np.int_]

#: No threshold is higher, whatever the wish; the lowest is the trigger's.
HIGHEST = 0.98
#: A word ends at most this long after it began to be recognised, s.
AFTER_ONSET_S = 0.15
#: By how much the scores may outlast the second in which a word can be seen, s.
OUTLASTS_S = 0.16
#: How far a word's level may fall before it has ended: 20 dB of normalised log power.
BELOW_PEAK = 2.0 * float(np.log(10.0)) / LOG_SCALE


@dataclass(frozen=True)
class KeywordEvent:
    """A word that was detected."""

    time_s: float  #: about the end of the word, from the start of the stream
    keyword: str
    score: float  #: smoothed probability, 0 … 1; heard twice: raised if said apart, else lowered
    wall_time: str | None = None  #: ``time_s`` by the clock, ISO 8601; None: it is no live sound

    def at(self, seconds: float) -> KeywordEvent:
        """The same, at ``seconds`` since 1970."""
        local = datetime.fromtimestamp(seconds).astimezone()
        return replace(self, wall_time=local.isoformat(timespec="milliseconds"))

    def facts(self) -> dict[str, Any]:
        """As plain values; without the time of day if it has none."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Sensitivity:
    """How many false accepts per hour of running speech are allowed, for each word."""

    per_hour: float = 1.0
    words: Mapping[str, float] = field(default_factory=dict)  #: others than ``per_hour``

    def thresholds(
        self, model: SpotterModel, custom: Sequence[CustomWord] = (), *, twice: bool = False
    ) -> FloatArray:
        """Of the model's words [words], from the curve measured for it.

        Parameters
        ----------
        model
            With its measured curves.
        custom
            Words that ``words`` may name as well.
        twice
            Whether they are heard in cleaned sound, too.

        Returns
        -------
        ndarray
            Scores, 0 … 1 [words].

        Raises
        ------
        WrongUsage
            If a word is none of the model's nor a custom one, or a rate makes no sense.
        """
        known = [*model.words, *(word.word for word in custom)]
        for word in self.words:
            if word not in known:
                raise WrongUsage(f"no keyword {word!r}; there are: {', '.join(known)}")
        rates = [self.words.get(word, self.per_hour) for word in model.words]
        pairs = zip(model.words, rates, strict=True)
        return np.array([threshold_for(model, word, rate, twice=twice) for word, rate in pairs])

    def custom_thresholds(self, matcher: Matcher) -> FloatArray:
        """Of custom words [words]: as learnt, or for the rate that is asked for."""
        return np.array(
            [
                matcher.background.threshold(
                    np.array(word.direction, np.float32), self.words[word.word], word.span_s
                )
                if word.word in self.words
                else word.threshold
                for word in matcher.words
            ]
        )


def trigger_settings(model: SpotterModel, *, twice: bool) -> TriggerSettings:
    """What the model's curve was measured with: where it is heard twice, for words said apart."""
    return TWICE if twice and model.facts["apart_odds"] else ONCE


def threshold_for(model: SpotterModel, word: str, per_hour: float, *, twice: bool = False) -> float:
    """Threshold at which ``word`` is falsely detected ``per_hour`` times; 0.5 if never measured.

    The model's curve is straight in log rate against the score's log odds.

    Parameters
    ----------
    model
        With its measured curves.
    word
        One of its words.
    per_hour
        False accepts allowed per hour of running speech.
    twice
        Whether it is heard in cleaned sound, too.

    Returns
    -------
    float
        Score, 0 … 1.

    Raises
    ------
    WrongUsage
        If the rate is not above 0.
    """
    if not per_hour > 0:
        raise WrongUsage(f"{per_hour:g} false accepts per hour must be more than 0, such as 0.5")
    curve = (twice and model.facts["sensitivity_twice"]) or model.facts["sensitivity"]
    if word not in curve:
        return 0.5
    start, slope = curve[word]
    odds = (np.log(per_hour) - start) / slope
    lowest = trigger_settings(model, twice=twice).lowest
    return float(np.clip(1.0 / (1.0 + np.exp(-odds)), lowest, HIGHEST))


def last_loud(levels: FloatArray) -> int:
    """Where a word ends: number of the last of ``levels [frames]`` in the louder part."""
    return int(_loud(levels)[-1])


def first_loud(levels: FloatArray) -> int:
    """Where a word begins: number of the first of ``levels [frames]`` in the louder part."""
    return int(_loud(levels)[0])


def _loud(levels: FloatArray) -> IntArray:
    least = max((levels.min() + levels.max()) / 2, levels.max() - BELOW_PEAK)
    return np.flatnonzero(levels >= least)


class Spotter:
    """Turns oscillator levels, hop by hop, into keyword events.

    Feed :meth:`hop` with the mean power of neighbours' differences of each hop; it pools them to
    bands and gives the model two frames at a time. What the model makes of the sound as it came
    and of the cleaned one is averaged: it mistakes other things in either. Then, too, a word said
    apart, as commands are, counts for more than one amid speech.

    Parameters
    ----------
    model
        Knows the trained words.
    sensitivity
        When a word counts as detected.
    custom
        Words learnt from recordings, listened for as well: in the sound as it came.
    twice
        Whether there may be cleaned sound, too: see :attr:`twice`.
    """

    def __init__(
        self,
        model: SpotterModel,
        sensitivity: Sensitivity,
        custom: Sequence[CustomWord] = (),
        *,
        twice: bool = False,
    ) -> None:
        self.model, self.state = model, SpotterState(model)
        #: Of the sound as it came, which the view shows, and of the cleaned one.
        self._states = [self.state, SpotterState(model)] if twice else [self.state]
        self.words = [*model.words, *(word.word for word in custom)]
        self._matcher = Matcher(custom, Background(model), model.step_s) if custom else None
        self._apart = Apart()
        #: 0 where there is nothing to read it from.
        self._apart_odds = float(model.facts["apart_odds"]) if twice else 0.0
        self._silence = model.labels.index(SILENCE) if self._apart_odds else 0
        longest = round((model.window_s + OUTLASTS_S) / model.step_s)
        #: Of the model's words heard once, and twice: thresholds, and how they are compared.
        self._known = [
            (
                sensitivity.thresholds(model, custom, twice=t),
                replace(trigger_settings(model, twice=t), longest=longest),
            )
            for t in (False, True)
        ]
        self._triggers = [Trigger(*self._known[twice])]
        if self._matcher:
            thresholds = sensitivity.custom_thresholds(self._matcher)
            settings = TriggerSettings(smoothing=self._matcher.background.averaged)
            self._triggers.append(Trigger(thresholds, settings))
        self._hops_per_frame = round(model.frame_s / model.hop_s)
        self._mean = np.full((model.bands, 1), 1 / model.bands, np.float32)
        self._levels = FrameRing(round(model.window_s / model.frame_s), 1, float(log_power(0.0)))
        self.reset()

    @property
    def scores(self) -> FloatArray:
        """Smoothed score of each of :attr:`words` now [words]."""
        return np.concatenate([trigger.scores for trigger in self._triggers])

    @property
    def thresholds(self) -> FloatArray:
        """Scores at which the words fire [words]."""
        return np.concatenate([trigger.thresholds for trigger in self._triggers])

    @property
    def twice(self) -> bool:
        """Whether what is heard in the cleaned sound counts, too; may be changed at any time."""
        return self._triggers[0].settings is self._known[True][1]

    @twice.setter
    def twice(self, twice: bool) -> None:
        self._triggers[0].use(*self._known[twice])

    @property
    def level(self) -> float:
        """Mean normalised log level of the last frame's bands."""
        return float(self._levels.view()[-1, 0])

    def reset(self) -> None:
        """As new."""
        for state in self._states:
            state.reset()
        self._levels.reset()
        if self._matcher:
            self._matcher.reset()
        for trigger in self._triggers:
            trigger.reset()
        self._apart.reset()
        times = len(self._states)
        self._power = np.zeros((times, self.model.pooling.shape[1]), np.float32)
        self._frames = np.zeros((times, self.model.step_frames, self.model.bands), np.float32)
        self._hops = 0
        self.steps = 0  #: how often the model was asked
        self.probabilities = np.zeros(len(self.model.labels), np.float32)

    def hop(self, *contrasts: Float32Array, voice: float) -> KeywordEvent | None:
        """One hop of sound.

        Parameters
        ----------
        contrasts
            Mean power of each difference of neighbours [oscillators], of the sound as it came and
            of the cleaned one, if there may be such.
        voice
            The denoiser's probability that somebody speaks; 0 without one.

        Returns
        -------
        KeywordEvent or None
            If a word was detected.
        """
        for power, contrast in zip(self._power, contrasts, strict=True):
            power += contrast
        self._hops += 1
        frame, within = divmod(self._hops, self._hops_per_frame)
        if within:
            return None
        levels = log_power(self._power / self._hops_per_frame @ self.model.pooling.T)
        self._power[:] = 0.0
        self._levels.push(levels[0] @ self._mean)
        place = (frame - 1) % self.model.step_frames
        self._frames[:, place] = levels
        return self._evaluate(frame, voice) if place == self.model.step_frames - 1 else None

    def _evaluate(self, frame: int, voice: float) -> KeywordEvent | None:
        pairs = zip(self._states, self._frames, strict=True)
        found = [state.step(frames) for state, frames in pairs]
        self.probabilities = np.mean(found, axis=0) if self.twice else found[0]
        self.steps += 1
        now_s = frame * self.model.frame_s
        known = self.probabilities[: len(self.model.words)]
        odds = 0.0
        if self._apart_odds:
            apart = self._apart.update(self.probabilities[self._silence], voice)
            odds = self._apart_odds * apart if self.twice else 0.0
        fired = self._triggers[0].update(now_s, known, odds)
        if self._matcher:
            likeness = self._matcher.likeness(self.state.embedding)
            learnt = self._triggers[1].update(now_s, likeness)
            if fired is None and learnt is not None:
                fired = len(self.model.words) + learnt
        if fired is None:
            return None
        return KeywordEvent(
            round(now_s - max(self._since_loud_s(), self._since_onset_s(fired) - AFTER_ONSET_S), 3),
            self.words[fired],
            round(float(self.scores[fired]), 3),
        )

    def _since_onset_s(self, word: int) -> float:
        """How long ago the word began to be recognised, which is about when it ended.

        0 if it was said again before the score fell: then it is not known.
        """
        known = len(self.model.words)
        trigger, place = (
            (self._triggers[0], word) if word < known else (self._triggers[1], word - known)
        )
        return 0.0 if trigger.repeated else trigger.steps_since_onset(place) * self.model.step_s

    def _since_loud_s(self) -> float:
        """How long ago it was last loud: when the word ended, if nothing follows it."""
        levels = self._levels.view()[:, 0]
        return (len(levels) - 1 - last_loud(levels)) * self.model.frame_s
