"""Train the keyword spotter: ``python -m resonance.models.train_keywords``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from resonance.dsp.peaks import peaks
from resonance.models.data import find_recordings
from resonance.models.keyword_data import NOISY_DB, Corpus, Examples
from resonance.models.keyword_frames import (
    Clips,
    ClipVersions,
    NoiseVersions,
    SpeechVersions,
    Stream,
    aligned_words,
    told_apart,
    vocabulary,
    word_bounds,
)
from resonance.models.keyword_mixing import OTHER, SECOND, Batch, Composer, Words
from resonance.models.keywords import (
    CORE_WORDS,
    SEGMENTS,
    STEP_FRAMES,
    KeywordSpotter,
    SpotterConfig,
    course,
    label_scores,
    load,
)
from resonance.models.options import FOLDERS, RUN
from resonance.models.training import (
    HAS_BFLOAT16,
    Average,
    load_checkpoint,
    randomness,
    restore_randomness,
    save_atomically,
    save_model,
    seed_everything,
    warm_hold_decay,
)
from resonance.models.widening import widened

#: Of the loss on word types; cosines are multiplied and the true one lowered by (Wang et al.
#: 2018, CosFace).
TYPES_WEIGHT, SCALE, MARGIN = 0.25, 16.0, 0.1
#: Features of the map that distinguishes word types.
PLACES = 96
SMOOTHING = 0.05
#: Part of the steps over which the learning rate falls, unless another is asked for.
DECAY = 0.7
#: Periods before mistakes are looked for: the first ones are too many, but for a model that was
#: trained before.
MINED_AFTER = 3
#: Least probability of a core word that was not said for a mistake to be trained on, and
#: evaluations between two; part of the recordings of speech and of noise that are looked through,
#: and every so many steps.
MISTAKEN_ABOVE, MISTAKEN_APART, MINED_EVERY = 0.2, 8, 2
MINED_SPEECH, MINED_NOISE = 0.1, 0.5

#: Frames in speech and in noise.
Mistakes = tuple[NDArray[np.int64], NDArray[np.int64]]
NO_MISTAKES: Mistakes = np.zeros(0, np.int64), np.zeros(0, np.int64)


def scores(model: nn.Module, examples: Examples) -> dict[str, float]:
    """Accuracy over all labels, and on the ten words when only they are possible, percent."""
    model.eval()
    with torch.no_grad():
        answers = torch.cat([label_scores(model(f.float())) for f in examples.frames.split(256)])
    model.train()
    core = examples.labels < len(CORE_WORDS)
    ten = answers[core][:, : len(CORE_WORDS)].argmax(-1) == examples.labels[core]
    return {
        "all": 100 * float((answers.argmax(-1) == examples.labels).float().mean()),
        "ten": 100 * float(ten.float().mean()),
    }


class WordTypes(nn.Module):
    """Distinguishes thousands of word types by the course of a second; used in training only."""

    def __init__(self, width: int, types: int) -> None:
        super().__init__()
        self.place = nn.Linear(SEGMENTS * width, PLACES)
        self.types = nn.Parameter(0.1 * torch.randn(types, PLACES))

    def forward(self, embedding: Tensor, types: Tensor) -> Tensor:
        """Loss of embeddings [examples, SEGMENTS · width] whose types are known."""
        cosines = F.normalize(self.place(embedding), dim=-1) @ F.normalize(self.types, dim=-1).T
        right = F.one_hot(types, len(self.types)) * MARGIN
        return F.cross_entropy(SCALE * (cosines - right), types)


class Material:
    """Versions of clips, speech and noise, and the words in them."""

    def __init__(self, corpus: Corpus, folders: Sequence[Path], cache: Path, count: int) -> None:
        said, spoken = aligned_words(corpus, folders), vocabulary(corpus)
        self.clips = ClipVersions(corpus, spoken, cache, count)
        self.speech = SpeechVersions(corpus, cache, max(1, count // 2))
        self.noise = NoiseVersions(corpus, cache, 2)
        types = sorted({*told_apart(corpus, said), *self.clips.words})
        numbers = {word: number for number, word in enumerate(types)}
        self.words = Words(
            self.clips.words, self.clips.synthetic, said, numbers, corpus.levels.frame_s
        )

    def streams(self, number: int) -> tuple[Stream, Stream]:
        """Version ``number`` of speech and noise."""
        return Stream(**self.speech[number]), Stream(**self.noise[number])

    def composer(self, number: int, hard: Mistakes) -> Composer:
        """Draws from version ``number``."""
        frames = self.clips[number]["frames"]
        clips = Clips(frames, word_bounds(frames))
        return Composer(self.words, clips, *self.streams(number), hard)


def mistakes(
    model: KeywordSpotter,
    stream: Stream,
    said: NDArray[np.int64],
    share: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Frames of some of a stream's recordings where a core word seems to end that was not said.

    ``said`` are first and last frames of the core words that were [words, 2].

    Parameters
    ----------
    model
        Scores every frame.
    stream
        Running speech.
    said
        First and last frames of core words [words, 2].
    share
        Of the recordings that are looked through.
    rng
        Chooses recordings.

    Returns
    -------
    array
        Frames [mistakes].
    """
    found, recordings = [], len(stream.starts) - 1
    for number in rng.choice(recordings, round(share * recordings), replace=False):
        first, last = stream.starts[int(number) : int(number) + 2].tolist()
        frames = stream.frames[first : last - (last - first) % STEP_FRAMES].float()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=HAS_BFLOAT16):
            tokens = model.seconds(frames[None])[::MINED_EVERY]
            probabilities = label_scores(model.attend(tokens)[0].float()).softmax(-1).numpy()
        for word in range(len(CORE_WORDS)):
            places = peaks(probabilities[:, word], MISTAKEN_APART, MISTAKEN_ABOVE)
            found += [first + (place * MINED_EVERY + 1) * STEP_FRAMES for place in places]
    ends = np.array(found, np.int64)
    near = (ends[:, None] > said[:, 0] - 5) & (ends[:, None] < said[:, 1] + SECOND + 10)
    return ends[~near.any(1)]


class Run:
    """A training in progress, resumed from ``folder``; ``best`` is the best dev score so far."""

    def __init__(
        self,
        model: nn.Module,
        material: Material,
        dev: dict[str, Examples],
        folder: Path,
        *,
        steps: int,
        period: int,
        seed: int,
        learning_rate: float,
        decay_steps: int | None = None,
        average_steps: int = 1000,
        mined_after: int = MINED_AFTER,
    ) -> None:
        self.model, self.material, self.dev, self.folder = model, material, dev, folder
        self.steps, self.period, self.seed = steps, period, seed
        self.learning_rate, self.mined_after = learning_rate, mined_after
        self.decay = decay_steps / steps if decay_steps else DECAY
        self.average = Average(model, decay=1 - 1 / average_steps)
        width = model.config.width if isinstance(model, KeywordSpotter) else 1
        self.types = WordTypes(width, len(material.words.types))
        learned = [*model.parameters(), *self.types.parameters()]
        self.optimiser = torch.optim.AdamW(learned, weight_decay=0.02)
        self.step, self.best = 0, 0.0
        if (folder / "last.pt").exists():
            self._resume()

    def _resume(self) -> None:
        saved = load_checkpoint(self.folder / "last.pt")
        self.model.load_state_dict(saved["model"])
        self.types.load_state_dict(saved["types"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.restore(saved["average"])
        self.step, self.best = saved["step"], saved["best"]
        restore_randomness(saved["randomness"])

    def train(self) -> None:
        """To the end, or until stopped; checked after every period."""
        while self.step < self.steps:
            begin = time.perf_counter()
            loss, types_loss = self.train_period()
            line = {
                "step": self.step,
                "loss": loss,
                "types_loss": types_loss,
                **self.check(),
                "seconds": time.perf_counter() - begin,
            }
            with (self.folder / "scores.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            click.echo(json.dumps(line))

    def train_period(self) -> tuple[float, float]:
        """To the end of a period; returns the mean losses."""
        period = self.step // self.period
        composer, losses = self.material.composer(period, self._mistakes(period)), []
        for _ in tqdm(range(self.period), desc=f"period {period}", mininterval=60):
            rng = np.random.default_rng((self.seed, self.step))
            losses.append(self._learn(composer.batch(rng)))
            self.step += 1
        loss, types_loss = np.mean(losses, axis=0)
        return float(loss), float(types_loss)

    def _mistakes(self, period: int) -> Mistakes:
        """Mistakes of the averaged weights in this period's streams, kept for resuming."""
        if period < self.mined_after:
            return NO_MISTAKES
        path = self.folder / f"hard-{period}.npz"
        if not path.exists():
            assert isinstance(self.model, KeywordSpotter)
            kept = self._swap(self.average.weights)
            speech, noise = self.material.streams(period)
            said = self.material.composer(period, NO_MISTAKES).said
            self.model.eval()
            rng = np.random.default_rng((self.seed, 7, period))
            np.savez(
                path,
                speech=mistakes(self.model, speech, said, MINED_SPEECH, rng),
                noise=mistakes(self.model, noise, said[:0], MINED_NOISE, rng),
            )
            self.model.train()
            self._swap(kept)
        with np.load(path) as content:
            return content["speech"], content["noise"]

    def _swap(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Load weights, return those before."""
        kept = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(weights)
        return kept

    def _learn(self, batch: Batch) -> tuple[float, float]:
        """One step; returns the losses of labels and of word types."""
        rate = self.learning_rate * warm_hold_decay(self.step, self.steps, decay=self.decay)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        labels, types = self._losses(batch)
        self.optimiser.zero_grad()
        (labels + TYPES_WEIGHT * types).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.model, self.step)
        return labels.item(), types.item()

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of labels and of word types; controls that are no spotters learn labels only."""
        if not isinstance(self.model, KeywordSpotter):
            return label_loss(self.model(batch.frames), batch.labels), torch.zeros(())
        first_past = self.model.inlet.first_past(len(batch.frames))
        tokens, _ = self.model.inlet(batch.frames, first_past)
        tokens = tokens[:, -self.model.config.tokens :]
        known = batch.types >= 0
        types = self.types(course(tokens)[known], batch.types[known])
        return label_loss(self.model.attend(tokens)[0], batch.labels), types

    def check(self) -> dict[str, float]:
        """Score the averaged weights, write them if they are the best so far, and the state."""
        kept = self._swap(self.average.weights)
        now = {
            f"{name}{score}": value
            for name, examples in self.dev.items()
            for score, value in scores(self.model, examples).items()
        }
        if sum(now.values()) >= self.best and isinstance(self.model, KeywordSpotter):
            self.best = sum(now.values())
            save_model(self.model.eval(), self.folder / "best.pt", scores=now)
        self.model.load_state_dict(kept)
        self.model.train()
        save_atomically(
            {
                "model": kept,
                "types": self.types.state_dict(),
                "step": self.step,
                "optimiser": self.optimiser.state_dict(),
                "best": self.best,
                "average": self.average.weights,
                "randomness": randomness(),
            },
            self.folder / "last.pt",
        )
        return now


def label_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; OTHER may be any class but core words and silence, IGNORED does not count."""
    known = labels >= 0
    named = F.cross_entropy(
        scores[known], labels[known], label_smoothing=SMOOTHING, reduction="sum"
    )
    grouped = label_scores(scores[labels == OTHER]).log_softmax(-1)
    target = torch.full_like(labels[labels == OTHER], len(CORE_WORDS))
    return (
        named + F.cross_entropy(grouped, target, label_smoothing=SMOOTHING, reduction="sum")
    ) / len(labels)


def changed(config: SpotterConfig, settings: tuple[str, ...]) -> SpotterConfig:
    """The configuration with ``NAME=VALUE`` settings applied, values as JSON or plain words."""
    names = [f.name for f in fields(config)]
    values: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in names:
            raise click.ClickException(
                f"--set {name}: no such size; choose from {', '.join(names)}"
            )
        try:
            parsed: Any = json.loads(value)
        except json.JSONDecodeError:
            parsed = value
        values[name] = tuple(parsed) if isinstance(parsed, list) else parsed
    return replace(config, **values)


def begun_with(path: Path, config: SpotterConfig) -> KeywordSpotter:
    """A spotter with the weights of a smaller or equal one.

    Parameters
    ----------
    path
        A run's ``best.pt``.
    config
        Sizes.

    Returns
    -------
    KeywordSpotter
        Not yet trained any further.

    Raises
    ------
    click.ClickException
        If the file is none, or the sizes do not fit.
    """
    try:
        return widened(load(path)[0], config)
    except (KeyError, TypeError, ValueError) as error:
        raise click.ClickException(f"--start-from {path}: {error}") from error


@click.command(context_settings={"show_default": True})
@FOLDERS
@RUN
@click.option("--steps", default=12000)
@click.option("--period", default=500, help="Steps on one version of the sounds.")
@click.option("--versions", "count", default=12, help="Of the training clips.")
@click.option("--learning-rate", default=2.5e-3)
@click.option(
    "--decay-steps", type=int, help="Last steps, over which the learning rate falls; or most."
)
@click.option("--average-steps", default=1000, help="How far back the averaged weights reach.")
@click.option("--seed", default=0)
@click.option("--threads", default=1)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another size than the shipped model's, such as width=96.",
)
@click.option(
    "--start-from",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Begin with the weights of another run's best.pt, of as many channels or fewer; "
    "mistakes are looked for from the first period on.",
)
@click.option("--name", default="keywords", help="Folder of this run below --work.")
@click.option("--prepare", is_flag=True, help="Only make the versions, ahead of a training.")
def main(
    folders: tuple[Path, ...],
    work: Path,
    steps: int,
    period: int,
    count: int,
    learning_rate: float,
    decay_steps: int | None,
    average_steps: int,
    seed: int,
    threads: int,
    settings: tuple[str, ...],
    start_from: Path | None,
    name: str,
    prepare: bool,
) -> None:
    """Train a spotter; call again to resume."""
    torch.set_num_threads(threads)
    config = changed(SpotterConfig(), settings)
    cache = work / "cache"
    recordings = [r for folder in folders for r in find_recordings(folder)]
    corpus = Corpus(recordings, cache, bands=config.bands, frame_s=config.frame_s)
    material = Material(corpus, folders, cache, count)
    if prepare:
        for number in range(count):
            material.composer(number, NO_MISTAKES)
        return
    seed_everything(seed)
    spotter = begun_with(start_from, config) if start_from else KeywordSpotter(config)
    dev = {"": corpus.dev(), "noisy_": corpus.dev(NOISY_DB)}
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    Run(
        spotter,
        material,
        dev,
        folder,
        steps=steps,
        period=period,
        seed=seed,
        learning_rate=learning_rate,
        decay_steps=decay_steps,
        average_steps=average_steps,
        mined_after=0 if start_from else MINED_AFTER,
    ).train()


if __name__ == "__main__":
    main()
