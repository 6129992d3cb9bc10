"""Train the keyword spotter: ``python -m models.train_keywords --data DIR --work DIR``."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from dsp.bank import broad_bank
from dsp.features import band_pooling, hop_edges, log_power
from models import keywords
from models.bank import hear, poles_from
from models.data import SAMPLERATE, AudioStore, Recording, chosen, find_recordings
from models.keywords import (
    CORE_WORDS,
    LABELS,
    PUBLISHED,
    SILENCE,
    UNKNOWN,
    KeywordSpotter,
    SpotterConfig,
)
from models.mixing import Sound, colored_noise, rms, speech_rms
from models.rooms import room_responses
from models.synthetic_voices import speak_by_anyone, spoken_words
from models.training import (
    Average,
    load_checkpoint,
    randomness,
    restore_randomness,
    save_atomically,
    save_model,
    seed_everything,
    warm_hold_decay,
)

CLIP = SAMPLERATE  #: one second
#: The published one-layer model on this program's windows and labels.
PUBLISHED_SIZE = replace(PUBLISHED, labels=LABELS, frames=62, frame_s=0.016)
#: Bands below 3.9 kHz: all there is at a samplerate of 8 kHz.
TELEPHONE_BANDS = 31
NOISY_DB = 10.0  #: SNR of the second dev score


class BandWindow:
    """Sound → the spotter's window, as the streaming pipeline computes it."""

    def __init__(self, config: SpotterConfig) -> None:
        bank = broad_bank()
        self.config = config
        f0_hz, damping = torch.tensor(bank.f0_hz), torch.tensor(bank.damping_ratio)
        self.poles = [p.float() for p in poles_from(f0_hz, damping, SAMPLERATE)]
        self.peak = 1.0 - torch.hypot(*self.poles)
        self.pooling = torch.from_numpy(band_pooling(bank, config.bands)).float()

    def __call__(self, sound: Tensor) -> Tensor:
        """Sound [batch, samples ≥ one window] → normalised log powers [batch, frames, bands]."""
        edges = hop_edges(self.config.frames, self.config.frame_s, SAMPLERATE)
        return self.frames(sound[:, : int(edges[-1])])

    def frames(self, sound: Tensor) -> Tensor:
        """Sound [batch, samples] → normalised log powers of every frame [batch, frames, bands]."""
        count = round(sound.shape[1] / (self.config.frame_s * SAMPLERATE))
        edges = torch.from_numpy(hop_edges(count, self.config.frame_s, SAMPLERATE))
        re, im = self.poles
        energy, _, _, _ = hear(sound, edges, re, im)
        power = energy * self.peak**2 / (edges[1:] - edges[:-1])[:, None]
        xp: Any = torch
        return log_power(power @ self.pooling.T, xp)  # type: ignore[no-any-return]


@dataclass
class Examples:
    """Windows [examples, frames, bands] and label numbers [examples]."""

    windows: Tensor
    labels: Tensor


class Augmenter:
    """Training clips with other timing, speed, level, room and noise."""

    def __init__(self, noise: AudioStore, rooms: Sequence[Sound]) -> None:
        self.noise, self.rooms = noise, rooms

    def __call__(self, rng: np.random.Generator, clip: Sound) -> Sound:
        """One second [samples] made from a clip of any length."""
        if rng.random() < 0.5:
            speed = rng.uniform(0.88, 1.12)
            places = np.arange(0, len(clip) - 1, speed)
            clip = np.interp(places, np.arange(len(clip)), clip).astype(np.float32)
        if rng.random() < 0.3:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
            clip = np.convolve(clip, room[:4000])[: len(clip)].astype(np.float32)
        sound = placed(clip, int(rng.integers(-2400, 2401)))
        if rng.random() < 0.8:
            noise = self.background(rng)
            level = speech_rms(sound) * 10 ** (-rng.uniform(-3, 30) / 20)
            sound = sound + noise * np.float32(level / max(rms(noise), 1e-9))
        return leveled(rng, sound)

    def background(self, rng: np.random.Generator) -> Sound:
        """One second of noise."""
        if rng.random() < 0.2:
            return colored_noise(rng, CLIP, rng.uniform(-3, 9))
        index = int(rng.integers(len(self.noise)))
        start = int(rng.integers(max(1, self.noise.length(index) - CLIP)))
        return placed(self.noise.get(index, start, start + CLIP), 0)


def placed(clip: Sound, shift: int) -> Sound:
    """The clip in the middle of one second, moved by ``shift`` samples, cut or padded."""
    sound = np.zeros(CLIP, np.float32)
    start = (CLIP - len(clip)) // 2 + shift
    source = clip[max(0, -start) :][: max(0, CLIP - max(0, start))]
    sound[max(0, start) :][: len(source)] = source
    return sound


def partial_word(rng: np.random.Generator, clip: Sound) -> Sound:
    """A clip so far to one side that half of its word or more is missing: not yet, or no longer."""
    return placed(clip, int(rng.choice([-1, 1]) * rng.uniform(0.45, 0.75) * CLIP))


def edged(rng: np.random.Generator, speech: Sound) -> Sound:
    """Now and then, speech that only just begins, or has just ended."""
    if rng.random() < 0.6:
        return speech
    return placed(speech, int(rng.choice([-1, 1]) * rng.uniform(0.2, 0.8) * CLIP))


def leveled(rng: np.random.Generator, sound: Sound) -> Sound:
    """At a random level between -45 and -15 dB of full scale."""
    return (sound * (10 ** (rng.uniform(-45, -15) / 20) / max(rms(sound), 1e-6))).astype(np.float32)


def holds_core_word(text: str) -> bool:
    """Whether a transcript contains one of the ten words."""
    return bool(set(re.findall(r"[a-z']+", text.lower())) & set(CORE_WORDS))


class Corpus:
    """Where training and dev examples come from; splits never meet."""

    def __init__(self, recordings: list[Recording], cache: Path, config: SpotterConfig) -> None:
        def store(kind: str, split: str) -> AudioStore:
            return AudioStore([r for r in recordings if r.kind == kind and r.split == split], cache)

        for split in ("train", "dev"):
            for kind in ("keyword", "noise"):
                chosen(recordings, kind, split)  # the rest may be missing
        self.config, self.window = config, BandWindow(config)
        self.words, self.dev_words = store("keyword", "train"), store("keyword", "dev")
        self.silence, self.dev_silence = store("silence", "train"), store("silence", "dev")
        self.noise, self.dev_noise = store("noise", "train"), store("noise", "dev")
        self.speech, self.dev_speech = store("speech", "train"), store("speech", "dev")
        self.running = [
            i
            for i, r in enumerate(self.speech.recordings)
            if r.text and not holds_core_word(r.text)
        ]

    def label(self, name: str) -> int:
        """Number of a word's label."""
        return LABELS.index(name if name in LABELS else UNKNOWN)

    def copy(self, number: int, synthetic: list[tuple[str, Sound]], rooms: list[Sound]) -> Examples:
        """One augmented pass over everything there is to train on."""
        rng = np.random.default_rng((1, number))
        augment = Augmenter(self.noise, rooms)
        sounds, labels = [], []
        clips = [(r.label, self.words.get(i)) for i, r in enumerate(self.words.recordings)]
        for word, clip in clips + synthetic:
            sounds.append(augment(rng, clip))
            labels.append(self.label(word))
            if rng.random() < 0.2:
                sounds.append(augment(rng, partial_word(rng, clip)))
                labels.append(self.label(UNKNOWN))
        for sentence in self.read_aloud(rng, 60 if self.running else 0):
            for start in rng.integers(0, max(1, len(sentence) - CLIP), 6):
                sounds.append(augment(rng, edged(rng, sentence[start : start + CLIP])))
                labels.append(self.label(UNKNOWN))
        for index in rng.choice(self.running, 1200 if self.running else 0):
            start = int(rng.integers(max(1, self.speech.length(int(index)) - CLIP)))
            part = self.speech.get(int(index), start, start + CLIP)
            sounds.append(augment(rng, edged(rng, part)))
            labels.append(self.label(UNKNOWN))
        quiet = [self.silence.get(i) for i in range(len(self.silence))]
        quiet += [augment.background(rng) for _ in range(600)]
        sounds += [leveled(rng, placed(clip, 0)) for clip in quiet]
        labels += [self.label(SILENCE)] * len(quiet)
        return self._examples(sounds, labels)

    def read_aloud(self, rng: np.random.Generator, count: int) -> list[Sound]:
        """Training sentences without core words, read by synthetic voices."""
        numbers = rng.choice(self.running, count)
        texts = [self.speech.recordings[int(i)].text.lower().split()[:9] for i in numbers]
        return [speak_by_anyone(rng, " ".join(words)) for words in texts]

    def dev(self, snr_db: float | None = None) -> Examples:
        """Held-out speakers, as recorded or in held-out noise at ``snr_db``."""
        rng = np.random.default_rng(2)
        augment = Augmenter(self.dev_noise, [])
        sounds, labels = [], []
        for i, recording in enumerate(self.dev_words.recordings):
            sound = placed(self.dev_words.get(i), 0)
            if snr_db is not None:
                noise = augment.background(rng)
                level = speech_rms(sound) * 10 ** (-snr_db / 20)
                sound = sound + noise * np.float32(level / max(rms(noise), 1e-9))
            sounds.append(sound)
            labels.append(self.label(recording.label))
        for i in range(len(self.dev_silence)):
            sounds.append(placed(self.dev_silence.get(i), 0))
            labels.append(self.label(SILENCE))
        return self._examples(sounds, labels)

    def _examples(self, sounds: list[Sound], labels: list[int]) -> Examples:
        windows = [
            self.window(torch.from_numpy(np.stack(sounds[i : i + 256])))
            for i in range(0, len(sounds), 256)
        ]
        return Examples(torch.cat(windows), torch.tensor(labels))


def training_copies(
    recordings: list[Recording], config: SpotterConfig, cache: Path, copies: int, each: int
) -> tuple[list[Examples], Examples, Examples]:
    """Augmented training windows (kept in ``cache``), and the two dev sets."""
    corpus = Corpus(recordings, cache, config)
    names = " ".join(str(r.path) for r in recordings)
    key = f"3 {copies} {each} {config.bands} {config.frames} {config.frame_s} {names}"
    path = cache / f"keywords-{hashlib.sha256(key.encode()).hexdigest()[:12]}.pt"
    if not path.exists():
        synthetic = spoken_words((*CORE_WORDS, "seven", "marvin", "house"), each, seed=3)
        rooms = room_responses(100, seed=4)
        made = [corpus.copy(i, synthetic, rooms) for i in tqdm(range(copies), desc="augmenting")]
        save_atomically({"made": [(e.windows.half(), e.labels) for e in made]}, path)
    made = [Examples(w, y) for w, y in torch.load(path, weights_only=True)["made"]]
    return made, corpus.dev(), corpus.dev(NOISY_DB)


def masked(rng: np.random.Generator, windows: Tensor) -> Tensor:
    """SpecAugment: each batch loses a few bands and frames (Park et al. 2019).

    One example in eight keeps only what a samplerate of 8 kHz would leave.
    """
    windows = windows.clone()
    windows[::8, :, TELEPHONE_BANDS:] = float(log_power(0.0))
    frames, bands = windows.shape[1:]
    fill = windows.mean((1, 2), keepdim=True)
    for _ in range(2):
        width, start = int(rng.integers(0, 6)), int(rng.integers(bands - 6))
        windows[:, :, start : start + width] = fill
        width, start = int(rng.integers(0, 10)), int(rng.integers(frames - 10))
        windows[:, start : start + width] = fill
    return windows


def scores(model: KeywordSpotter, examples: Examples) -> dict[str, float]:
    """Accuracy over all labels, and on the ten words when only they are possible, percent."""
    model.eval()
    with torch.no_grad():
        logits = model(examples.windows.float())
    model.train()
    core = examples.labels < len(CORE_WORDS)
    ten = logits[core][:, : len(CORE_WORDS)].argmax(-1) == examples.labels[core]
    return {
        "all": 100 * float((logits.argmax(-1) == examples.labels).float().mean()),
        "ten": 100 * float(ten.float().mean()),
    }


def train(
    config: SpotterConfig, copies: list[Examples], dev: Examples, folder: Path,
    *, epochs: int, seed: int, batch: int, learning_rate: float, device: str = "cpu",
    quiet: bool = False,
) -> tuple[KeywordSpotter, dict[str, float]]:  # fmt: skip
    """Train one spotter, resuming from ``folder``; returns the best average by dev score."""
    seed_everything(seed)
    model = KeywordSpotter(config).to(device)
    average = Average(model, decay=0.995)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.02)
    steps_each = len(copies[0].labels) // batch
    first, best = 0, {"all": 0.0, "ten": 0.0}
    if (folder / "last.pt").exists():
        saved = load_checkpoint(folder / "last.pt")
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        average.weights, first, best = saved["average"], saved["epoch"], saved["best"]
        restore_randomness(saved["randomness"])
    progress = tqdm(range(first, epochs), initial=first, total=epochs, unit="epoch", disable=quiet)
    for epoch in progress:
        rng = np.random.default_rng((seed, epoch))
        examples = copies[epoch % len(copies)]
        order = torch.from_numpy(rng.permutation(len(examples.labels)))
        for i in range(steps_each):
            step = epoch * steps_each + i
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * warm_hold_decay(step, epochs * steps_each, decay=0.7)
            chosen = order[i * batch : (i + 1) * batch]
            logits = model(masked(rng, examples.windows[chosen].float()).to(device))
            labels = examples.labels[chosen].to(device)
            loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            average.update(model, step)
        best = keep_best(average, config, dev, folder, best, progress)
        save_atomically(
            {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "best": best,
             "average": average.weights, "epoch": epoch + 1, "randomness": randomness()},
            folder / "last.pt",
        )  # fmt: skip
    return keywords.load(folder / "best.pt")[0], best


def keep_best(
    average: Average, config: SpotterConfig, dev: Examples, folder: Path,
    best: dict[str, float], progress: Any,
) -> dict[str, float]:  # fmt: skip
    """Score the averaged weights; write them if they are the best so far."""
    model = KeywordSpotter(config)
    model.load_state_dict(average.weights)
    now = scores(model, dev)
    if now["all"] >= best["all"]:
        best = now
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model.eval(), folder / "best.pt", scores=now)
    progress.set_postfix({k: f"{v:.2f}" for k, v in now.items()} | {"best": f"{best['all']:.2f}"})
    return best


@click.command(context_settings={"show_default": True})
@click.option("--data", "folders", type=click.Path(path_type=Path), multiple=True, required=True,
              help="Folder of recordings; may be given several times.")  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path), required=True,
              help="Folder for checkpoints and prepared windows.")  # fmt: skip
@click.option("--epochs", default=60)
@click.option("--copies", default=10, help="Augmented copies of the training clips.")
@click.option("--synthetic", default=30, help="espeak-ng readings of each word (training only).")
@click.option("--batch", default=128)
@click.option("--learning-rate", default=2e-3)
@click.option("--seed", default=0)
@click.option("--device", default="cpu")
@click.option("--threads", default=2)
@click.option("--size", type=click.Choice(["product", "published"]), default="product",
              help="The shipped model, or the published one-layer one.")  # fmt: skip
@click.option(
    "--compare", default=0, help="Train oscillator and softmax with this many seeds each."
)
@click.option("--name", default="keywords", help="Folder of this run below --work.")
def main(
    folders: tuple[Path, ...], work: Path, epochs: int, copies: int, synthetic: int, batch: int,
    learning_rate: float, seed: int, device: str, threads: int, size: str, compare: int, name: str,
) -> None:  # fmt: skip
    """Train a spotter, or compare oscillator with softmax attention; call again to resume."""
    torch.set_num_threads(threads)
    recordings = [r for folder in folders for r in find_recordings(folder)]
    config = SpotterConfig() if size == "product" else PUBLISHED_SIZE
    made, dev, noisy = training_copies(recordings, config, work, copies, synthetic)
    common: dict[str, Any] = {
        "epochs": epochs, "batch": batch, "learning_rate": learning_rate, "device": device,
    }  # fmt: skip
    if not compare:
        model, best = train(config, made, dev, work / name, seed=seed, **common)
        click.echo(f"dev {best}, in {NOISY_DB:g} dB noise {scores(model, noisy)}")
        return
    kinds: tuple[Literal["oscillator", "softmax"], ...] = ("oscillator", "softmax")
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    parameters = {}
    for number, attention in itertools.product(range(compare), kinds):
        changed = replace(config, attention=attention)
        folder = work / f"{name}-{attention}-{number}"
        model, best = train(changed, made, dev, folder, seed=number, quiet=True, **common)
        parameters[attention] = sum(p.numel() for p in model.parameters())
        in_noise = {f"noisy_{score}": value for score, value in scores(model, noisy).items()}
        runs[attention].append(best | in_noise)
        click.echo(f"{attention} seed {number}: {runs[attention][-1]}")
    command = f"train_keywords --compare {compare} --epochs {epochs} --size {size}"
    result = {"runs": runs, "parameters": parameters, "epochs": epochs, "command": command}
    (work / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
