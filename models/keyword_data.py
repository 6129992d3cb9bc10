"""What the spotter learns from and is judged by: clips, running speech and noise, by speaker."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resonance.dsp.bank import broad_bank
from resonance.dsp.contrast import neighbour_weights, pair_of
from resonance.dsp.features import band_pooling, hop_edges, log_power
from resonance.models.bank import listen, poles_from
from resonance.models.data import SAMPLERATE, AudioStore, Recording, chosen
from resonance.models.keywords import (
    LABELS,
    SILENCE,
    UNKNOWN,
)
from resonance.models.mixing import Sound, colored_noise, noise_scale
from resonance.models.rooms import room_responses

CLIP = SAMPLERATE  #: one second
#: Input before the second that counts: as far back as the stem remembers.
BEFORE = 8192
EXAMPLE = BEFORE + CLIP
#: Bands below 3.9 kHz: all there is at a samplerate of 8 kHz.
TELEPHONE_BANDS = 31
NOISY_DB = 10.0  #: SNR of the second dev score


#: Words that sound much like a core word.
CONFUSABLE = (
    "now",
    "stopped",
    "stuff",
    "step",
    "top",
    "stock",
    "start",
    "star",
    "shop",
    "store",
    "town",
    "done",
    "dawn",
    "gown",
    "noun",
    "round",
    "doubt",
    "rye",
    "ride",
    "rice",
    "rise",
    "light",
    "night",
    "rage",
    "cry",
    "quite",
    "try",
    "bright",
    "let",
    "lift",
    "laugh",
    "lend",
    "live",
    "less",
    "leaf",
    "guess",
    "yet",
    "yesterday",
    "yeah",
    "chest",
    "nose",
    "knows",
    "note",
    "gnome",
    "so",
    "goat",
    "gold",
    "dough",
    "toe",
    "cold",
    "ghost",
    "own",
    "gone",
    "an",
    "in",
    "aunt",
    "honest",
    "of",
    "often",
    "awful",
    "loft",
    "cough",
    "cup",
    "app",
    "but",
    "us",
    "upper",
    "pub",
    "hop",
)


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
        _, contrast, _, _ = listen(sound, edges, re, im, self.neighbours)
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


def background(rng: np.random.Generator, noises: AudioStore) -> Sound:
    """Noise as long as an example."""
    if rng.random() < 0.2:
        return colored_noise(rng, EXAMPLE, rng.uniform(-3, 9))
    index = int(rng.integers(len(noises)))
    start = int(rng.integers(max(1, noises.length(index) - EXAMPLE)))
    noise = noises.get(index, start, start + EXAMPLE)
    return np.pad(noise, (EXAMPLE - len(noise), 0), mode="wrap")


def placed(clip: Sound, shift: int) -> Sound:
    """The clip in the middle of the last second, moved by ``shift`` samples, cut or padded."""
    sound = np.zeros(EXAMPLE, np.float32)
    start = BEFORE + (CLIP - len(clip)) // 2 + shift
    source = clip[max(0, -start) :][: max(0, EXAMPLE - max(0, start))]
    sound[max(0, start) :][: len(source)] = source
    return sound


def words_of(text: str) -> list[str]:
    """The words of a transcript, in small letters."""
    return re.findall(r"[a-z']+", text.lower())


def held_out(recording: Recording) -> int:
    """Two lots of readers that the spotter never trains on: 1, 2 (an eighth each), else 0.

    The dev split has too little running speech to count false accepts per hour by. Lot 1 sets
    thresholds, lot 2 counts.
    """
    if not recording.speaker:
        return 0
    number = hashlib.sha256(recording.speaker.encode()).digest()[0] % 8
    return number if number in (1, 2) else 0


def held_out_noise(recording: Recording) -> bool:
    """Whether it is one of the noises, a fifth, that are kept for setting thresholds."""
    return hashlib.sha256(recording.path.name.encode()).digest()[0] % 5 == 1


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
        self.noise_to_train_on = [
            i for i, r in enumerate(self.noise.recordings) if not held_out_noise(r)
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

    def dev(
        self, snr_db: float | None = None, change: Callable[[Sound], Sound] | None = None
    ) -> Examples:
        """Held-out speakers, as recorded or in noise at ``snr_db``; labels count LABELS.

        ``change`` is done to every sound first.
        """
        rng = np.random.default_rng(2)
        sounds, labels = [], []
        for i, recording in enumerate(self.dev_words.recordings):
            sound = placed(self.dev_words.get(i), 0)
            if snr_db is not None:
                noise = background(rng, self.dev_noise)
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
