"""Ten-word clips in the front end of the published oscillator keyword spotter."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.lab.experiment import Run
from resonance.models.data import SAMPLERATE, AudioStore, find_recordings
from resonance.models.keywords import CORE_WORDS

#: Fourier transform, window, hop, mel bands and frames of one second, as published.
TRANSFORM, WINDOW, HOP, BANDS, FRAMES = 512, 400, 320, 40, 49
#: The speakers are divided into this many groups; each seed is tested on another one.
FOLDS = 5
#: As published.
BATCH, RATE, DECAY = 64, 1e-3, 1e-4


@dataclass(frozen=True)
class Clips:
    """Normalised log mel levels [clips, frames, bands] and words, to train on and to test on."""

    frames: Tensor
    words: Tensor
    test_frames: Tensor
    test_words: Tensor


def mel_filters() -> NDArray[np.float64]:
    """Triangles on the mel scale (HTK's formula) [bands, bins], peaks of 1."""
    top = 2595 * np.log10(1 + SAMPLERATE / 2 / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    bins_hz = np.fft.rfftfreq(TRANSFORM, 1 / SAMPLERATE)
    low, peak, high = (edges_hz[i : BANDS + i, None] for i in range(3))
    return np.maximum(
        0, np.minimum((bins_hz - low) / (peak - low), (high - bins_hz) / (high - peak))
    )


def log_mel(sounds: Tensor) -> Tensor:
    """Sounds of one second [clips, samples] → levels in dB [clips, frames, bands]."""
    spectrum = torch.stft(
        sounds, TRANSFORM, HOP, WINDOW, torch.hann_window(WINDOW), center=True, return_complex=True
    )
    filters = torch.from_numpy(mel_filters()).float()
    return 10 * torch.log10((filters @ spectrum.abs().square()).clamp(min=1e-10)).mT[:, :FRAMES]


def load(folder: Path, work: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Levels of every clip of the ten words, its word, and the group its speaker is in."""
    wanted = [
        r
        for r in find_recordings(folder)
        if r.kind == "keyword" and r.label in CORE_WORDS and r.speaker
    ]
    store = AudioStore(wanted, work)
    frames = []
    for i in range(0, len(store), 256):
        sounds = [
            torch.from_numpy(store.get(k, 0, SAMPLERATE))
            for k in range(i, min(i + 256, len(store)))
        ]
        frames.append(log_mel(torch.stack([F.pad(s, (0, SAMPLERATE - len(s))) for s in sounds])))
    words = torch.tensor([CORE_WORDS.index(r.label) for r in wanted])
    groups = torch.tensor([zlib.crc32(r.speaker.encode()) % FOLDS for r in wanted])
    return torch.cat(frames), words, groups


def fold(frames: Tensor, words: Tensor, groups: Tensor, number: int) -> Clips:
    """One group of speakers to test on, the others to train on and to normalise by.

    Parameters
    ----------
    frames
        Levels [clips, frames, bands].
    words
        Of each clip [clips].
    groups
        That each clip's speaker is in [clips].
    number
        Of the group to test on; counted round.

    Returns
    -------
    Clips
        To train on and to test on.
    """
    tested = groups == number % FOLDS
    mean, deviation = frames[~tested].mean((0, 1)), frames[~tested].std((0, 1))
    levels = (frames - mean) / deviation
    return Clips(levels[~tested], words[~tested], levels[tested], words[tested])


def accuracy(
    run: Run, key: str, clips: Clips, make: Callable[[], nn.Module], seed: int, epochs: int
) -> float:
    """Train by the published recipe; percent of the test clips that are right at the end.

    Parameters
    ----------
    run
        Keeps checkpoints.
    key
        Name of this training.
    clips
        To train on and to test on.
    make
        Gives a fresh model: frames [clips, frames, bands] to scores [clips, words].
    seed
        Of the weights and of the order of clips.
    epochs
        How often every clip is seen.

    Returns
    -------
    float
        Percent of the test clips.
    """

    def work() -> float:
        torch.manual_seed(seed)
        model = make().to(run.device)
        each = -(-len(clips.words) // BATCH)

        def loss(step: int) -> Tensor:
            epoch, number = divmod(step, each)
            order = np.random.default_rng((seed, epoch)).permutation(len(clips.words))
            some = torch.from_numpy(order[number * BATCH : (number + 1) * BATCH])
            scores = model(clips.frames[some].to(run.device))
            return F.cross_entropy(scores, clips.words[some].to(run.device))

        optimiser = torch.optim.Adam(model.parameters(), RATE, weight_decay=DECAY)
        run.train(
            key,
            model,
            loss,
            epochs * each,
            [optimiser],
            lambda step: 0.5 * (1 + np.cos(np.pi * (step // each) / epochs)),
        )
        with torch.no_grad():
            guess = torch.cat(
                [model(p.to(run.device)).argmax(-1).cpu() for p in clips.test_frames.split(256)]
            )
        return 100 * float((guess == clips.test_words).float().mean())

    return run.measure(key, work)
