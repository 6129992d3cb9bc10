"""What the spotter learns from and is judged by: clips, running speech and noise, by speaker."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resonance.dsp.bank import broad_bank
from resonance.dsp.contrast import neighbour_weights, pair_of
from resonance.dsp.features import band_pooling, hop_edges, log_power
from resonance.models.bank import hear, poles_from
from resonance.models.data import SAMPLERATE, AudioStore, Recording, chosen
from resonance.models.keywords import (
    CLASSES,
    CORE_WORDS,
    CUSTOM_WORDS,
    LABELS,
    SILENCE,
    UNKNOWN,
)
from resonance.models.mixing import Sound, colored_noise, coloured, noise_scale, rms, speech_rms
from resonance.models.rooms import room_responses
from resonance.models.synthetic_voices import speak_by_anyone

CLIP = SAMPLERATE  #: one second
#: What is heard before the second that counts: as far back as the stem remembers.
BEFORE = 8192
EXAMPLE = BEFORE + CLIP
#: Words that must not pass as unknown, and how far from them [s] other speech is taken.
HELD_WORDS = frozenset((*CORE_WORDS, *CUSTOM_WORDS))
AWAY = 1.5
#: Words with so many clips that each copy takes only some of them.
PLENTY = 600
#: Bands below 3.9 kHz: all there is at a samplerate of 8 kHz.
TELEPHONE_BANDS = 31
NOISY_DB = 10.0  #: SNR of the second dev score


class BandLevels:
    """Sound → the spotter's frames, as the streaming pipeline computes them."""

    def __init__(self, bands: int, frame_s: float) -> None:
        bank = broad_bank()
        self.frame_s = frame_s
        f0_hz, damping = torch.tensor(bank.f0_hz), torch.tensor(bank.damping_ratio)
        self.poles = [p.float() for p in poles_from(f0_hz, damping, SAMPLERATE)]
        alike = np.zeros(len(bank), dtype=bool)
        own, following = (
            torch.tensor(w, dtype=torch.complex64)
            for w in neighbour_weights(bank, alike, SAMPLERATE)
        )
        self.neighbours = own, following
        self.pairs = torch.from_numpy(pair_of(alike, bank.awake(SAMPLERATE)))
        self.pooling = torch.from_numpy(band_pooling(bank, bands)).float()

    def __call__(self, sound: Tensor) -> Tensor:
        """Sound [batch, samples] → normalised log levels [batch, frames (even), bands]."""
        count = int(sound.shape[1] / (self.frame_s * SAMPLERATE)) // 2 * 2
        edges = torch.from_numpy(hop_edges(count, self.frame_s, SAMPLERATE))
        re, im = self.poles
        _, contrast, _, _ = hear(sound, edges, re, im, self.neighbours)
        power = contrast[..., self.pairs] / (edges[1:] - edges[:-1])[:, None]
        xp: Any = torch
        return log_power(power @ self.pooling.T, xp)  # type: ignore[no-any-return]


@dataclass
class Examples:
    """Frames [examples, frames, bands] and label numbers [examples]."""

    frames: Tensor
    labels: Tensor

    def joined(self, more: Examples) -> Examples:
        """These and more."""
        return Examples(
            torch.cat([self.frames, more.frames]), torch.cat([self.labels, more.labels])
        )


class Augmenter:
    """Training clips with other timing, speed, level, room, microphone and noise."""

    def __init__(self, noise: AudioStore, rooms: Sequence[Sound]) -> None:
        self.noise, self.rooms = noise, rooms

    def __call__(self, rng: np.random.Generator, clip: Sound, before: Sound) -> Sound:
        """An example [samples] made from a clip of any length and what was heard before it."""
        if rng.random() < 0.6:
            speed = rng.uniform(0.85, 1.18)
            places = np.arange(0, len(clip) - 1, speed)
            clip = np.interp(places, np.arange(len(clip)), clip).astype(np.float32)
        sound = placed(clip, int(rng.integers(-3200, 3201)))
        if len(before) and rng.random() < 0.4:
            sound = preceded(sound, before * np.float32(speech_rms(clip) / speech_rms(before)))
        if rng.random() < 0.3:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
            sound = np.convolve(sound, room[:4000])[: len(sound)].astype(np.float32)
        if rng.random() < 0.4:
            sound = coloured(rng, sound, 8.0)
        if rng.random() < 0.8:
            noise = self.background(rng)
            sound = sound + noise * noise_scale(sound, noise, rng.uniform(-3, 30))
        return leveled(rng, sound)

    def background(self, rng: np.random.Generator) -> Sound:
        """Noise as long as an example."""
        if rng.random() < 0.2:
            return colored_noise(rng, EXAMPLE, rng.uniform(-3, 9))
        index = int(rng.integers(len(self.noise)))
        start = int(rng.integers(max(1, self.noise.length(index) - EXAMPLE)))
        noise = self.noise.get(index, start, start + EXAMPLE)
        return np.pad(noise, (EXAMPLE - len(noise), 0), mode="wrap")


def placed(clip: Sound, shift: int) -> Sound:
    """The clip in the middle of the last second, moved by ``shift`` samples, cut or padded."""
    sound = np.zeros(EXAMPLE, np.float32)
    start = BEFORE + (CLIP - len(clip)) // 2 + shift
    source = clip[max(0, -start) :][: max(0, EXAMPLE - max(0, start))]
    sound[max(0, start) :][: len(source)] = source
    return sound


def preceded(sound: Sound, before: Sound) -> Sound:
    """The example with other speech in the half second before the second that counts."""
    before = before[-BEFORE:]
    sound[BEFORE - len(before) : BEFORE] += before * np.linspace(1, 0, len(before)) ** 0.25
    return sound


def partial_word(rng: np.random.Generator, clip: Sound) -> Sound:
    """A clip so far to one side that half of its word or more is missing: not yet, or no longer."""
    away = int(rng.uniform(0.45, 0.75) * CLIP)
    if rng.random() < 0.5:
        return np.concatenate([np.zeros(away, np.float32), clip])[:CLIP]
    return np.concatenate([clip[away:], np.zeros(away, np.float32)])


def edged(rng: np.random.Generator, speech: Sound) -> Sound:
    """Now and then, speech that only just begins, or has just ended."""
    if rng.random() < 0.6:
        return speech
    away = int(rng.uniform(0.2, 0.8) * len(speech))
    silence = np.zeros(away, np.float32)
    if rng.random() < 0.5:
        return np.concatenate([silence, speech[: len(speech) - away]])
    return np.concatenate([speech[away:], silence])


def leveled(rng: np.random.Generator, sound: Sound) -> Sound:
    """At a random level between -45 and -15 dB of full scale."""
    return (sound * (10 ** (rng.uniform(-45, -15) / 20) / max(rms(sound), 1e-6))).astype(np.float32)


def words_of(text: str) -> list[str]:
    """The words of a transcript, in small letters."""
    return re.findall(r"[a-z']+", text.lower())


def places_of_words(store: AudioStore, index: int) -> list[float]:
    """About where a recording's HELD_WORDS are spoken, 0 … 1, if all letters take equal time."""
    text = store.recordings[index].text.lower()
    return [
        (found.start() + found.end()) / 2 / len(text)
        for found in re.finditer(r"[a-z']+", text)
        if found.group() in HELD_WORDS
    ]


def held_out(recording: Recording) -> int:
    """Two lots of readers that the spotter never trains on: 1, 2 (an eighth each), else 0.

    The dev split has too little running speech to count false accepts per hour by. Lot 1 sets
    thresholds, lot 2 counts.
    """
    if not recording.speaker:
        return 0
    number = hashlib.sha256(recording.speaker.encode()).digest()[0] % 8
    return number if number in (1, 2) else 0


class Corpus:
    """Where training and dev examples come from; splits never meet."""

    def __init__(
        self, recordings: list[Recording], cache: Path, *, bands: int = 40, frame_s: float = 0.016
    ) -> None:
        def store(kind: str, split: str) -> AudioStore:
            return AudioStore([r for r in recordings if r.kind == kind and r.split == split], cache)

        for split in ("train", "dev"):
            for kind in ("keyword", "noise"):
                chosen(recordings, kind, split)  # the rest may be missing
        self.levels = BandLevels(bands, frame_s)
        self.words, self.dev_words = store("keyword", "train"), store("keyword", "dev")
        self.silence, self.dev_silence = store("silence", "train"), store("silence", "dev")
        self.noise, self.dev_noise = store("noise", "train"), store("noise", "dev")
        self.speech, self.dev_speech = store("speech", "train"), store("speech", "dev")
        self.running = [
            i for i, r in enumerate(self.speech.recordings) if r.text and not held_out(r)
        ]

    @cached_property
    def rooms(self) -> list[Sound]:
        """Responses of the rooms that training clips are put into."""
        return room_responses(100, seed=4)

    def judged_on(self) -> list[tuple[AudioStore, int]]:
        """Running speech that counts false accepts: (store, index) of lot 2 and the dev readers."""
        lot = [
            (self.speech, i)
            for i, r in enumerate(self.speech.recordings)
            if r.text and held_out(r) == 2
        ]
        return lot + [(self.dev_speech, i) for i in range(len(self.dev_speech))]

    def copy(self, number: int, synthetic: list[tuple[str, Sound]]) -> Examples:
        """One augmented pass over everything there is to train on; labels count CLASSES."""
        rng = np.random.default_rng((1, number))
        augment = Augmenter(self.noise, self.rooms)
        sounds, labels = [], []
        for name, clip in self._clips(rng, synthetic) + self._speech(rng):
            sounds.append(augment(rng, clip, self._before(rng)))
            labels.append(CLASSES.index(name if name in CLASSES else UNKNOWN))
        quiet = [placed(self.silence.get(i), 0) for i in range(len(self.silence))]
        quiet += [augment.background(rng) for _ in range(600)]
        sounds += [leveled(rng, clip) for clip in quiet]
        labels += [CLASSES.index(SILENCE)] * len(quiet)
        return self._examples(sounds, labels)

    def augmented(self, seed: tuple[int, int], clips: list[tuple[str, Sound]]) -> Tensor:
        """Frames of each clip in other circumstances [clips, frames, bands]."""
        rng = np.random.default_rng(seed)
        augment = Augmenter(self.noise, self.rooms)
        sounds = [augment(rng, clip, self._before(rng)) for _, clip in clips]
        return self._examples(sounds, [0] * len(sounds)).frames

    def _clips(
        self, rng: np.random.Generator, synthetic: list[tuple[str, Sound]]
    ) -> list[tuple[str, Sound]]:
        """Single words: the core words twice, those with plenty of clips not all, and cut ones."""
        recordings = self.words.recordings
        counts = Counter(r.label for r in recordings)
        clips = []
        for i, r in enumerate(recordings):
            if r.label in CUSTOM_WORDS:
                continue
            times = 1 if counts[r.label] >= PLENTY else 2
            if rng.random() < PLENTY / counts[r.label] / 2:
                clips += [(r.label, self.words.get(i))] * times
        chosen = rng.choice(len(synthetic), len(synthetic) // 3, replace=False)
        clips += [synthetic[int(i)] for i in chosen]
        core = [clip for name, clip in clips if name in CORE_WORDS]
        cut = [partial_word(rng, core[int(i)]) for i in rng.choice(len(core), len(core) // 6)]
        return clips + [(UNKNOWN, clip) for clip in cut]

    def _speech(self, rng: np.random.Generator) -> list[tuple[str, Sound]]:
        """Seconds of running speech without core words."""
        parts: list[Sound] = []
        for sentence in self.read_aloud(rng, 40 if self.running else 0):
            for start in rng.integers(0, max(1, len(sentence) - CLIP), 6):
                parts.append(edged(rng, sentence[start : start + CLIP]))
        for _ in range(2000 if self.running else 0):
            parts.append(edged(rng, self._part(rng, CLIP)))
        return [(UNKNOWN, part) for part in parts]

    def _part(self, rng: np.random.Generator, length: int) -> Sound:
        """A stretch of running speech that, by its transcript, holds no word that counts."""
        while True:
            index = int(rng.choice(self.running))
            whole = self.speech.length(index)
            start = int(rng.integers(max(1, whole - length)))
            middle = (start + length / 2) / whole
            away = AWAY * SAMPLERATE / whole
            if all(abs(place - middle) > away for place in places_of_words(self.speech, index)):
                return self.speech.get(index, start, start + length)

    def _before(self, rng: np.random.Generator) -> Sound:
        return self._part(rng, BEFORE) if self.running else np.zeros(0, np.float32)

    def read_aloud(self, rng: np.random.Generator, count: int) -> list[Sound]:
        """Training sentences without core words, read by synthetic voices."""
        numbers = rng.choice(self.running, count)
        texts = [words_of(self.speech.recordings[int(i)].text) for i in numbers]
        kept = [[word for word in words if word not in HELD_WORDS][:9] for words in texts]
        return [speak_by_anyone(rng, " ".join(words)) for words in kept if words]

    def dev(
        self, snr_db: float | None = None, change: Callable[[Sound], Sound] | None = None
    ) -> Examples:
        """Held-out speakers, as recorded or in noise at ``snr_db``; labels count LABELS.

        ``change`` is done to every sound before it is heard.
        """
        rng = np.random.default_rng(2)
        augment = Augmenter(self.dev_noise, [])
        sounds, labels = [], []
        for i, recording in enumerate(self.dev_words.recordings):
            sound = placed(self.dev_words.get(i), 0)
            if snr_db is not None:
                noise = augment.background(rng)
                sound = sound + noise * noise_scale(sound, noise, snr_db)
            sounds.append(change(sound) if change else sound)
            labels.append(LABELS.index(recording.label if recording.label in LABELS else UNKNOWN))
        for i in range(len(self.dev_silence)):
            sounds.append(placed(self.dev_silence.get(i), 0))
            labels.append(LABELS.index(SILENCE))
        return self._examples(sounds, labels)

    def _examples(self, sounds: list[Sound], labels: list[int]) -> Examples:
        frames = [
            self.levels(torch.from_numpy(np.stack(sounds[i : i + 256])))
            for i in range(0, len(sounds), 256)
        ]
        return Examples(torch.cat(frames), torch.tensor(labels))


def distorted(rng: np.random.Generator, frames: Tensor) -> Tensor:
    """Other throats, other haste, and gaps: each example [batch, frames, bands] a little changed.

    Bands and time are stretched and moved (vocal tract length perturbation, Jaitly & Hinton
    2013), a few of both are covered (SpecAugment, Park et al. 2019), and one example in eight
    keeps only what a samplerate of 8 kHz would leave.
    """
    batch, count, bands = frames.shape
    affine = np.zeros((batch, 2, 3), np.float32)
    affine[:, 0, 0] = rng.uniform(0.94, 1.06, batch)
    affine[:, 0, 2] = rng.uniform(-2.5, 2.5, batch) / bands
    affine[:, 1, 1] = rng.uniform(0.9, 1.12, batch)
    affine[:, 1, 2] = rng.uniform(-4.0, 4.0, batch) / count
    grid = F.affine_grid(torch.from_numpy(affine), [batch, 1, count, bands], align_corners=False)
    frames = F.grid_sample(frames[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    frames[::8, :, TELEPHONE_BANDS:] = float(log_power(0.0))
    fill = frames.mean((1, 2))
    for example in range(batch):
        for _ in range(2):
            width, start = int(rng.integers(0, 6)), int(rng.integers(bands - 6))
            frames[example, :, start : start + width] = fill[example]
            width, start = int(rng.integers(0, 10)), int(rng.integers(count - 10))
            frames[example, start : start + width] = fill[example]
    return frames
