"""Hits and false accepts of a spotter that runs for hours: scores of streams, peaks, curves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from resonance.app.onnx_models import DenoiserModel, SpotterModel, SpotterState
from resonance.app.stretch_pipeline import StretchPipeline
from resonance.dsp.peaks import log_rates, peaks, rate_line
from resonance.dsp.trigger import APART_ODDS, ONCE, TWICE, Apart, log_odds, smoothed
from resonance.models.data import SAMPLERATE, AudioStore
from resonance.models.keyword_data import BandLevels, words_of
from resonance.models.keywords import CORE_WORDS, LABELS, SILENCE
from resonance.models.mixing import Sound, noise_scale

FloatArray = NDArray[np.floating]
#: What the trigger takes: probabilities [steps, words], and what is added to log odds [steps].
Heard = tuple[FloatArray, FloatArray]

#: Peaks of one word nearer than this belong to one event, s.
ONE_EVENT_S = 1.0
#: Lower scores are no peaks.
LEAST = 0.01
#: Highest peaks of all words together, and of each, that threshold curves are fitted to.
POOLED, OWN = 20, 5
#: Scores nearer to 0 and 1 count as this.
NEAREST = 1e-4
#: Silence or noise before and after an embedded clip, s.
AROUND_S = 1.0
#: Correlation from which two recordings are one (copies: 0.99, others: 0.75 at most), how far
#: their lengths may differ, and how much of them is compared, s.
SAME, SAME_LENGTH_S, COMPARED_S = 0.9, 0.05, 5.0


class Listener:
    """The shipped spotter over whole sounds, scores only."""

    settings = ONCE  #: of its trigger

    def __init__(self, model: SpotterModel) -> None:
        self.model, self.state = model, SpotterState(model)
        self.levels = BandLevels(model.bands, model.frame_s)

    def probabilities(self, sound: Sound) -> FloatArray:
        """Probabilities [steps, labels] of a sound at 16 kHz, from a fresh start."""
        return self.follow(self.levels(torch.from_numpy(sound[None]))[0].numpy())

    def follow(self, frames: FloatArray) -> FloatArray:
        """Probabilities [steps, labels] of frames [frames, bands]."""
        self.state.reset()
        count = len(frames) // self.model.step_frames
        steps = frames[: count * self.model.step_frames].reshape(count, -1, self.model.bands)
        return np.array([self.state.step(step) for step in steps])

    def heard(self, sound: Sound) -> Heard:
        """What the trigger takes: probabilities [steps, words], and what is added to log odds."""
        found = self.probabilities(sound)[:, : len(CORE_WORDS)]
        return found, np.zeros(len(found))

    def scores(self, sound: Sound) -> FloatArray:
        """What the trigger compares with its thresholds [steps, words]."""
        return self.scored(*self.heard(sound))

    def scored(self, found: FloatArray, odds: FloatArray) -> FloatArray:
        """The same, of what was heard."""
        return smoothed(found, self.settings, odds[:, None])


class TwiceListener(Listener):
    """The same, heard in the sound as it came and in the cleaned one, as in live use."""

    settings = TWICE

    def __init__(self, model: SpotterModel, denoiser: DenoiserModel) -> None:
        super().__init__(model)
        self._pipeline = StretchPipeline(SAMPLERATE, denoiser=denoiser)

    def heard(self, sound: Sound) -> Heard:
        """Mean of both; odds are higher for words said apart."""
        cleaned, voices = self._cleaned(sound)
        found = (self.probabilities(sound) + self.probabilities(cleaned)) / 2
        hops, apart = round(self.model.step_s / self.model.hop_s), Apart()
        silence, voices = found[:, LABELS.index(SILENCE)], voices[hops - 1 :: hops][: len(found)]
        odds = [apart.update(*reading) for reading in zip(silence, voices, strict=True)]
        return found[:, : len(CORE_WORDS)], APART_ODDS * np.array(odds)

    def cleaned(self, sound: Sound) -> Sound:
        """The sound after the denoiser, late by its look-ahead."""
        return self._cleaned(sound)[0]

    def _cleaned(self, sound: Sound) -> tuple[Sound, FloatArray]:
        """And the denoiser's readings of voice at the end of each hop [hops]."""
        out = np.empty_like(sound)
        self._pipeline.reset()
        self._pipeline.process(sound, out)
        return out, self._pipeline.voices


def heights(scores: FloatArray, step_s: float) -> list[float]:
    """Of the peaks of one word's scores [steps], at least ONE_EVENT_S apart, highest first."""
    return [float(scores[i]) for i in peaks(scores, round(ONE_EVENT_S / step_s), LEAST)]


@dataclass
class FalsePeaks:
    """Peaks of each word where it was not said, and how long was listened."""

    peaks: list[list[float]]  #: of each word, highest first
    hours: float

    def rate(self, word: int, threshold: float) -> float:
        """False accepts per hour of a word."""
        return float(np.sum(np.array(self.peaks[word]) >= threshold)) / self.hours


def false_peaks(streams: Iterable[tuple[FloatArray, str]], step_s: float) -> FalsePeaks:
    """From scores [steps, words] and the transcript of each recording.

    As many of a word's highest peaks as the transcript has of that word count as true.
    """
    found: list[list[float]] = [[] for _ in CORE_WORDS]
    steps = 0
    for scores, text in streams:
        steps += len(scores)
        said = words_of(text)
        for number, word in enumerate(CORE_WORDS):
            found[number] += heights(scores[:, number], step_s)[said.count(word) :]
    return FalsePeaks([sorted(p, reverse=True) for p in found], steps * step_s / 3600)


def running_speech(
    listener: Listener, recordings: Iterable[tuple[AudioStore, int]]
) -> Iterator[tuple[FloatArray, str]]:
    """Scores and transcript of each recording (store, index).

    Parameters
    ----------
    listener
        The spotter.
    recordings
        Store and index of each.

    Yields
    ------
    tuple of (ndarray, str)
        Scores [steps, words] and transcript.
    """
    for store, i in recordings:
        yield listener.scores(store.get(i)), store.recordings[i].text


def distinct(sounds: Sequence[Sound]) -> list[int]:
    """Numbers of the sounds that are no copies of earlier ones: moved, coded or at another level.

    Collections of noise contain each other: what is in it twice would count twice.
    """
    spectra: list[NDArray[np.complexfloating]] = []
    kept: list[int] = []
    size = 2 * round(COMPARED_S * SAMPLERATE)
    for number, sound in enumerate(sounds):
        part = sound[: size // 2] - sound.mean()
        spectrum = np.fft.rfft(part / max(float(np.linalg.norm(part)), 1e-9), size)
        alike = (
            np.abs(np.fft.irfft(spectrum * spectra[i].conj())).max() > SAME
            for i, other in enumerate(kept)
            if abs(len(sound) - len(sounds[other])) < SAME_LENGTH_S * SAMPLERATE
        )
        if not any(alike):
            kept.append(number)
            spectra.append(spectrum)
    return kept


def sensitivity(false: FalsePeaks) -> dict[str, tuple[float, float]]:
    """For each word (start, slope): log rate per hour = start + slope · log odds of the threshold.

    The slope and a common start are fitted to the POOLED highest peaks of all words; each word's
    own start lies half-way between the common one and that of its OWN highest peaks, as single
    words have few.
    """
    everything = sorted((peak for found in false.peaks for peak in found), reverse=True)
    pooled = log_odds(np.array(everything[:POOLED]), NEAREST)
    slope, start = rate_line(pooled, false.hours * len(CORE_WORDS))
    curve = {}
    for word, found in zip(CORE_WORDS, false.peaks, strict=True):
        highest = log_odds(np.array(found[:OWN]), NEAREST)
        own = log_rates(len(highest), false.hours) - slope * highest
        mean = float(own.mean()) if len(own) else start
        curve[word] = ((start + mean) / 2, slope)
    return curve


def embedded(
    rng: np.random.Generator, clip: Sound, noises: AudioStore | None, snr_db: float
) -> Sound:
    """The clip with AROUND_S before and after it, in one of ``noises`` at ``snr_db``, or in none.

    Parameters
    ----------
    rng
        Chooses the noise.
    clip
        [samples].
    noises
        To choose from; None: silence.
    snr_db
        Of the clip in the noise.

    Returns
    -------
    ndarray
        [samples].
    """
    around = np.zeros(round(AROUND_S * SAMPLERATE), np.float32)
    sound = np.concatenate([around, clip, around])
    if noises is None:
        return sound
    noise = noises.get(int(rng.integers(len(noises))))
    noise = np.resize(np.roll(noise, -int(rng.integers(len(noise)))), len(sound))
    mixed: Sound = sound + noise * noise_scale(clip, noise, snr_db)
    return mixed.astype(np.float32)
