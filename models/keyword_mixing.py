"""Training examples composed of prepared frames: words in streams, in noise, at any level.

Mixing adds the powers of bands, as sounds that know nothing of each other do on average; level,
channel and telephone band are factors of power. So examples cost next to nothing and each one is
new; a batch is a function of its random numbers and the versions it draws from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import find_peaks
from torch import Tensor
from torch.nn import functional as F

from resonance.dsp.features import LOG_OFFSET, LOG_SCALE, POWER_FLOOR, log_power
from resonance.models.keyword_data import CONFUSABLE, TELEPHONE_BANDS
from resonance.models.keyword_frames import LEVEL_DBFS, Clips, SpokenWords, Stream
from resonance.models.keywords import CLASSES, CORE_WORDS, SILENCE

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

#: Frames of an example before the second that counts, and in all.
CONTEXT, SECOND = 20, 62
FRAMES = CONTEXT + SECOND
#: Labels besides the numbers of CLASSES: neither core word nor silence; not known.
OTHER, IGNORED = -1, -2
#: Frames since a word's end at which its embedding counts: from, to.
JUST_ENDED = 3, 18
#: Examples of each kind in a batch.
BATCH = {
    "core": 24,
    "synthetic": 6,
    "recorded": 8,
    "partial": 4,
    "vocabulary": 3,
    "alike": 3,
    "running": 10,
    "hard": 6,
    "noise": 8,
}
#: Part of the synthetic words that are core words: fewer, and a synthetic voice would mean unknown.
SYNTHETIC_CORE = 0.75
#: A sudden sound in noise (a bark, a knock): the level rises by so much, as normalised log levels
#: (13 dB), within so many frames; the part of noise examples that end soon after one, and frames
#: from rise to end.
RISE, RISE_FRAMES, SUDDEN, SINCE_RISE = 0.75, 4, 0.5, (6, 56)
#: Band levels of a telephone: these bands and no others.
TELEPHONE = slice(5, 29)


@dataclass
class Batch:
    """Frames [batch, FRAMES, bands], label numbers [batch] and word types [batch] (-1: none)."""

    frames: Tensor
    labels: Tensor
    types: Tensor


@dataclass
class Words:
    """What there is to draw from: names of the clips, words in speech, types distinguished."""

    clips: list[str]
    synthetic: int  #: number of the first synthetic clip
    said: SpokenWords
    types: dict[str, int]
    frame_s: float


class Composer:
    """Draws batches from one version of everything.

    Parameters
    ----------
    hard
        Frames at which a core word seems to end that was not said: in speech, in noise.
    """

    def __init__(
        self,
        words: Words,
        clips: Clips,
        speech: Stream,
        noise: Stream,
        hard: tuple[IntArray, IntArray],
    ) -> None:
        self.words, self.clips, self.speech, self.noise = words, clips, speech, noise
        self.hard = hard
        names = np.array(words.clips)
        recorded = np.arange(len(names)) < words.synthetic
        core, alike = np.isin(names, CORE_WORDS), np.isin(names, CONFUSABLE) & ~recorded
        self._core_clips = by_name(names, core & recorded)
        self._synthetic_core_clips = by_name(names, core & ~recorded)
        self._synthetic_clips = by_name(names, np.isin(names, CLASSES) & ~recorded & ~core)
        self._recorded_clips = by_name(names, recorded & ~core)
        self._alike_clips = by_name(names, alike)
        self._vocabulary_clips = by_name(names, ~recorded & ~np.isin(names, CLASSES) & ~alike)
        many = np.array([len(clips) for clips in self._recorded_clips], float)
        self._recorded_chance = np.sqrt(many) / np.sqrt(many).sum()
        self._sudden = sudden(noise.frames)
        self._place_words()

    def _place_words(self) -> None:
        """First and last frames of the words of running speech, and how often each is drawn."""
        said = self.words.said
        self._begin = self.speech.starts[said.recording].numpy()
        scale = self.words.frame_s * self.speech.speeds[said.recording].numpy()
        self._first = self._begin + np.rint(said.start_s / scale).astype(int)
        self._last = self._begin + np.rint(said.end_s / scale).astype(int)
        self._type = np.array([self.words.types.get(word, -1) for word in said.word])
        counts = np.bincount(self._type[self._type >= 0], minlength=len(self.words.types))
        chance = np.where(self._type >= 0, 1 / np.sqrt(np.maximum(counts[self._type], 1)), 0.1)
        chance[np.isin(said.word, CONFUSABLE)] *= 4
        core = np.isin(said.word, CORE_WORDS)
        chance[core] = 0.0
        self._chance = np.cumsum(chance / max(chance.sum(), 1e-9))
        #: First and last frames of the core words that were said [words, 2].
        self.said = np.stack([self._first[core], self._last[core]], 1)

    def batch(self, rng: np.random.Generator) -> Batch:
        """One batch."""
        made = [
            getattr(self, f"_{kind}")(rng) for kind, count in BATCH.items() for _ in range(count)
        ]
        power, labels, types = zip(*made, strict=True)
        frames = log_power(torch.from_numpy(np.stack(power)), torch)  # type: ignore[arg-type]
        return Batch(distorted(rng, frames), torch.tensor(labels), torch.tensor(types))

    def _core(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        return self._word(rng, one_of(rng, self._core_clips))

    def _synthetic(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        core = rng.random() < SYNTHETIC_CORE
        return self._word(
            rng, one_of(rng, self._synthetic_core_clips if core else self._synthetic_clips)
        )

    def _recorded(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        word = int(rng.choice(len(self._recorded_clips), p=self._recorded_chance))
        return self._word(rng, int(rng.choice(self._recorded_clips[word])))

    def _vocabulary(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        return self._word(rng, one_of(rng, self._vocabulary_clips), just_ended=1.0)

    def _alike(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        return self._word(rng, one_of(rng, self._alike_clips))

    def _partial(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        """A core word of which half or more is not yet, or no longer, within the second."""
        clip = one_of(rng, self._core_clips)
        length = self._length(clip)
        end = round(CONTEXT + rng.uniform(0.05, 0.45) * length)
        if rng.random() < 0.6:
            end = round(FRAMES + rng.uniform(0.5, 0.9) * length)
        return self._mixed(rng, *self._placed(rng, clip, end)), OTHER, -1

    def _word(
        self, rng: np.random.Generator, clip: int, just_ended: float = 0.35
    ) -> tuple[FloatArray, int, int]:
        """A clip somewhere in the second."""
        if rng.random() < just_ended:
            end = FRAMES - int(rng.integers(*JUST_ENDED))
        else:
            least = CONTEXT + min(self._length(clip), SECOND - 2) - 4
            end = int(rng.integers(least, FRAMES + 3))
        name = self.words.clips[clip]
        label = CLASSES.index(name) if name in CLASSES else OTHER
        counts = JUST_ENDED[0] <= FRAMES - end < JUST_ENDED[1]
        word = self.words.types.get(name, -1) if counts else -1
        return self._mixed(rng, *self._placed(rng, clip, end)), label, word

    def _length(self, clip: int) -> int:
        first, last = self.clips.bounds[clip].tolist()
        return int(last - first + 1)

    def _placed(self, rng: np.random.Generator, clip: int, end: int) -> tuple[FloatArray, slice]:
        """Power of an example with a clip whose word ends before frame ``end``, and the word."""
        first, last = self.clips.bounds[clip].tolist()
        source = coloured(rng, power_of(self.clips.frames[clip]))
        power, start = np.zeros((FRAMES, source.shape[1]), np.float32), end - 1 - last
        put(power, source, start)
        begin = start + first
        if rng.random() < 0.35:
            before = begin - int(rng.integers(2, 16))
            self._neighbour(rng, power, slice(0, max(0, before)))
        if rng.random() < 0.12:
            self._neighbour(rng, power, slice(min(FRAMES, end + int(rng.integers(3, 20))), FRAMES))
        inside = min(max(0, begin), FRAMES - 4)
        return power, slice(inside, inside + max(4, end - begin))

    def _neighbour(self, rng: np.random.Generator, power: FloatArray, where: slice) -> None:
        """Other speech put there, about as loud."""
        count = len(power[where])
        if count > 2:
            power[where] += self._talk(rng, count) * np.float32(10 ** rng.uniform(-0.8, 0.5))

    def _talk(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Running speech without core words [count, bands]."""
        if len(self.speech.frames) <= FRAMES:
            return np.zeros((count, self.noise.frames.shape[1]), np.float32)
        while True:
            start = int(rng.integers(len(self.speech.frames) - count))
            if not self._says_core(start, start + count):
                return coloured(rng, power_of(self.speech.frames[start : start + count]))

    def _says_core(self, start: int, stop: int) -> bool:
        return bool(((self.said[:, 0] < stop) & (self.said[:, 1] > start)).any())

    def _running(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        """A word of running speech that has just ended, with its neighbours or alone."""
        if len(self.speech.frames) <= FRAMES:
            return self._alike(rng)
        if rng.random() < 0.25 or not len(self._chance):
            end = int(rng.integers(FRAMES, len(self.speech.frames)))
            return self._from_stream(rng, end, 0, 0, -1)
        place = int(np.searchsorted(self._chance, rng.random()))
        end = int(self._last[place]) + int(rng.integers(*JUST_ENDED))
        begin = int(self._begin[place])
        if rng.random() < 0.35:
            begin = int(self._first[place]) - 2
        stop = int(self._last[place]) + 2 if rng.random() < 0.3 else 0
        return self._from_stream(rng, end, begin, stop, int(self._type[place]))

    def _from_stream(
        self, rng: np.random.Generator, end: int, begin: int, stop: int, word: int
    ) -> tuple[FloatArray, int, int]:
        """Speech up to frame ``end``, silent before ``begin`` and from ``stop`` (0: never)."""
        begin, stop = max(begin, end - FRAMES, 0), min(stop or end, end, len(self.speech.frames))
        source = coloured(rng, power_of(self.speech.frames[begin:stop]))
        power = np.zeros((FRAMES, source.shape[1]), np.float32)
        put(power, source, begin - (end - FRAMES))
        label = IGNORED if self._says_core(max(begin, end - SECOND), stop) else OTHER
        return self._mixed(rng, power, slice(CONTEXT, FRAMES)), label, word

    def _hard(self, rng: np.random.Generator) -> tuple[FloatArray, int, int]:
        """What was taken for a core word."""
        in_speech, in_noise = self.hard
        if len(in_noise) and rng.random() < 0.3:
            end = int(rng.choice(in_noise)) + int(rng.integers(-3, 4))
            return self._noise(rng, end)
        if not len(in_speech):
            return self._running(rng)
        end = int(rng.choice(in_speech)) + int(rng.integers(-3, 4))
        return self._from_stream(rng, end, 0, 0, -1)

    def _noise(
        self, rng: np.random.Generator, end: int | None = None
    ) -> tuple[FloatArray, int, int]:
        if end is None and len(self._sudden) and rng.random() < SUDDEN:
            end = int(rng.choice(self._sudden)) + int(rng.integers(*SINCE_RISE))
        power = self._background(rng, end)
        quiet = rng.uniform(-75, -8) if rng.random() < 0.9 else -110.0
        power = power * np.float32(10 ** ((quiet - LEVEL_DBFS) / 10))
        return channel(rng, power), CLASSES.index(SILENCE), -1

    def _background(self, rng: np.random.Generator, end: int | None = None) -> FloatArray:
        """Recorded or made noise [FRAMES, bands], at about LEVEL_DBFS."""
        if end is None and rng.random() < 0.15:
            return made_noise(rng, self.noise.frames.shape[1])
        end = int(rng.integers(FRAMES, len(self.noise.frames))) if end is None else end
        end = min(max(end, FRAMES), len(self.noise.frames))
        return coloured(rng, power_of(self.noise.frames[end - FRAMES : end]))

    def _mixed(self, rng: np.random.Generator, power: FloatArray, spoken: slice) -> FloatArray:
        """In noise, or with a radio on, at any level, through any channel."""
        level = float(power[spoken].sum(1).mean()) + 1e-12
        if rng.random() < 0.8:
            noise = self._background(rng)
            if rng.random() < 0.12:  # somebody else is talking, far away
                noise = noise * np.float32(0.1) + self._talk(rng, FRAMES)
                snr_db = rng.uniform(6, 25)
            else:
                snr_db = rng.uniform(-3, 30)
            scale = level * 10 ** (-snr_db / 10) / (float(noise.sum(1).mean()) + 1e-12)
            power = power + noise * np.float32(scale)
        wide = rng.random() < 0.5
        level_db = rng.uniform(-60, -5) if wide else rng.uniform(-35, -12)
        return channel(rng, power * np.float32(10 ** ((level_db - LEVEL_DBFS) / 10)))


def sudden(frames: Tensor) -> IntArray:
    """Frames at which the level of noise [frames, bands] has risen fastest [sounds]."""
    level = frames.mean(-1, dtype=torch.float32).numpy()
    rise = np.zeros_like(level)
    rise[RISE_FRAMES:] = level[RISE_FRAMES:] - level[:-RISE_FRAMES]
    places, _ = find_peaks(rise, height=RISE, distance=2 * RISE_FRAMES)
    return np.asarray(places, np.int64)


def by_name(names: NDArray[np.str_], chosen: NDArray[np.bool_]) -> list[IntArray]:
    """Numbers of the chosen, one array for each name."""
    return [np.flatnonzero(chosen & (names == name)) for name in sorted(set(names[chosen]))]


def one_of(rng: np.random.Generator, groups: list[IntArray]) -> int:
    """Any of any group."""
    group = groups[int(rng.integers(len(groups)))]
    return int(group[rng.integers(len(group))])


def power_of(frames: Tensor) -> FloatArray:
    """Of normalised log levels; silence is 0."""
    power = np.exp(frames.numpy().astype(np.float32) * LOG_SCALE + LOG_OFFSET) - POWER_FLOOR
    return np.maximum(power, 0.0)


def put(power: FloatArray, source: FloatArray, start: int) -> None:
    """Add ``source`` from frame ``start``, which may lie outside.

    Parameters
    ----------
    power
        Added to [frames, bands].
    source
        What is added [frames, bands].
    start
        Frame of ``power`` at which it begins.
    """
    first, last = max(0, start), min(len(power), start + len(source))
    if last > first:
        power[first:last] += source[first - start : last - start]


def coloured(rng: np.random.Generator, power: FloatArray, most_db: float = 7.0) -> FloatArray:
    """Through a smooth random frequency response, now and then.

    Parameters
    ----------
    rng
        Random numbers.
    power
        Of each band [frames, bands].
    most_db
        Largest gain or attenuation.

    Returns
    -------
    array
        Shaped like ``power``.
    """
    if rng.random() < 0.5:
        return power
    bands = power.shape[1]
    db = np.interp(
        np.arange(bands), np.linspace(0, bands - 1, 6), rng.uniform(-most_db, most_db, 6)
    )
    return np.asarray(power * (10 ** (db / 10)).astype(np.float32))


def channel(rng: np.random.Generator, power: FloatArray) -> FloatArray:
    """Now and then a telephone, or a samplerate of 8 kHz."""
    draw = rng.random()
    if draw < 0.06:
        power = power.copy()
        power[:, TELEPHONE_BANDS:] = 0.0
    elif draw < 0.12:
        kept = power[:, TELEPHONE].copy()
        power = power * np.float32(10 ** rng.uniform(-6, -3))
        power[:, TELEPHONE] = kept
    return power


def made_noise(rng: np.random.Generator, bands: int) -> FloatArray:
    """Steady noise with a tilt: wide bands fluctuate less [FRAMES, bands]."""
    tilt = np.linspace(0, rng.uniform(-4, 2), bands)
    shape = np.linspace(1, 12, bands)
    power = rng.gamma(shape, 1 / shape, (FRAMES, bands)) * 10**tilt
    return np.asarray(power * (1e-2 / power.sum(1).mean()), np.float32)


def distorted(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Other throats, other haste, and gaps: each example [batch, frames, bands] a little changed.

    Bands and time are stretched and moved (vocal tract length perturbation, Jaitly & Hinton
    2013), a few of both are covered (SpecAugment, Park et al. 2019).
    """
    batch, count, bands = frames.shape
    affine = np.zeros((batch, 2, 3), np.float32)
    affine[:, 0, 0] = rng.uniform(0.9, 1.1, batch)
    affine[:, 0, 2] = rng.uniform(-3.0, 3.0, batch) / bands
    affine[:, 1, 1] = rng.uniform(0.93, 1.07, batch)
    grid = F.affine_grid(torch.from_numpy(affine), [batch, 1, count, bands], align_corners=False)
    frames = F.grid_sample(frames[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    fill = frames.mean((1, 2))
    for example in range(batch):
        width, start = int(rng.integers(0, 6)), int(rng.integers(bands - 6))
        frames[example, :, start : start + width] = fill[example]
        for _ in range(2):
            width, start = int(rng.integers(0, 8)), int(rng.integers(count - 8))
            frames[example, start : start + width] = fill[example]
    return frames
