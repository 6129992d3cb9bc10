"""Train the spotter: ``python -m resonance.models.train_keywords --data DIR --work DIR``."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from resonance.models.data import find_recordings
from resonance.models.keyword_copies import Copies, HardNegatives, SpokenVocabulary
from resonance.models.keyword_data import NOISY_DB, Corpus, Examples, distorted
from resonance.models.keywords import CORE_WORDS, KeywordSpotter, SpotterConfig, label_scores, load
from resonance.models.training import (
    Average,
    load_checkpoint,
    randomness,
    restore_randomness,
    save_atomically,
    save_model,
    seed_everything,
    warm_hold_decay,
)

#: Of the loss on the spoken vocabulary.
VOCABULARY_WEIGHT = 0.3


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


class Run:
    """A training in progress, resumed from ``folder``; ``best`` is the best dev score so far."""

    def __init__(
        self,
        model: nn.Module,
        dev: Examples,
        folder: Path,
        *,
        epochs: int,
        seed: int,
        batch: int,
        learning_rate: float,
        device: str,
        share: float,
        vocabulary: SpokenVocabulary | None = None,
    ) -> None:
        self.model, self.dev, self.folder = model.to(device), dev, folder
        self.epochs, self.seed, self.batch, self.device = epochs, seed, batch, device
        self.learning_rate, self.share = learning_rate, share
        self.average = Average(model, decay=0.998)
        self.vocabulary = vocabulary
        self.head = nn.Linear(*_head_shape(model, vocabulary)).to(device)
        learned = [*model.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(learned, weight_decay=0.02)
        self.epoch, self.best = 0, {"all": 0.0, "ten": 0.0}
        if (folder / "last.pt").exists():
            self._resume()

    def _resume(self) -> None:
        saved = load_checkpoint(self.folder / "last.pt")
        self.model.load_state_dict(saved["model"])
        self.head.load_state_dict(saved["head"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.weights, self.best = saved["average"], saved["best"]
        self.epoch = saved["epoch"]
        restore_randomness(saved["randomness"])

    def train_epoch(self, examples: Examples) -> float:
        """Once through one copy; returns the mean loss."""
        rng = np.random.default_rng((self.seed, self.epoch))
        order = torch.from_numpy(rng.permutation(len(examples.labels)))
        steps = int(self.share * len(order)) // self.batch
        losses = []
        spoken = self.vocabulary[self.epoch] if self.vocabulary else None
        for i in range(steps):
            step = self.epoch * steps + i
            rate = warm_hold_decay(step, self.epochs * steps, decay=0.6)
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate * rate
            chosen = order[i * self.batch : (i + 1) * self.batch]
            frames = distorted(rng, examples.frames[chosen].float()).to(self.device)
            labels = examples.labels[chosen].to(self.device)
            loss = F.cross_entropy(self.model(frames), labels, label_smoothing=0.05)
            if spoken:
                loss = loss + VOCABULARY_WEIGHT * self._vocabulary_loss(rng, spoken)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimiser.step()
            self.average.update(self.model, step)
            losses.append(loss.item())
        self.epoch += 1
        return float(np.mean(losses))

    def _vocabulary_loss(self, rng: np.random.Generator, spoken: Examples) -> Tensor:
        """How badly the pooled tokens tell words of the spoken vocabulary apart."""
        chosen = rng.integers(len(spoken.labels), size=self.batch // 2)
        frames = distorted(rng, spoken.frames[chosen].float()).to(self.device)
        assert isinstance(self.model, KeywordSpotter)
        heard, _ = self.model.listen(frames, self.model.first_state(len(frames)))
        return F.cross_entropy(self.head(heard.pooled), spoken.labels[chosen].to(self.device))

    def check(self) -> dict[str, float]:
        """Score the averaged weights, write them if they are the best so far, and the state."""
        kept = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.weights)
        now = scores(self.model, self.dev)
        if now["all"] + now["ten"] >= self.best["all"] + self.best["ten"]:
            self.best = now
            if isinstance(self.model, KeywordSpotter):
                save_model(self.model.eval(), self.folder / "best.pt", scores=now)
            save_atomically({"weights": self.model.state_dict()}, self.folder / "best-weights.pt")
        self.model.load_state_dict(kept)
        self.model.train()
        save_atomically(
            {
                "model": kept,
                "head": self.head.state_dict(),
                "epoch": self.epoch,
                "optimiser": self.optimiser.state_dict(),
                "best": self.best,
                "average": self.average.weights,
                "randomness": randomness(),
            },
            self.folder / "last.pt",
        )
        with (self.folder / "scores.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": self.epoch, **now}) + "\n")
        return now


def _head_shape(model: nn.Module, vocabulary: SpokenVocabulary | None) -> tuple[int, int]:
    """Of the map from the embedding to the spoken vocabulary; empty without one."""
    if vocabulary is None or not isinstance(model, KeywordSpotter):
        return 1, 1
    return model.config.width, len(vocabulary.words)


def train(
    model: nn.Module,
    copies: Copies,
    dev: Examples,
    folder: Path,
    *,
    seed: int,
    negatives: HardNegatives | None = None,
    **options: Any,
) -> tuple[nn.Module, dict[str, float]]:
    """Train one model; returns it with the best weights by dev score, and that score."""
    run = Run(model, dev, folder, seed=seed, **options)
    progress = tqdm(range(run.epoch, run.epochs), initial=run.epoch, total=run.epochs, unit="epoch")
    for epoch in progress:
        examples = copies[epoch]
        if negatives:
            examples = examples.joined(negatives[epoch])
        loss = run.train_epoch(examples)
        now = run.check()
        progress.set_postfix(
            {"loss": f"{loss:.3f}"}
            | {k: f"{v:.2f}" for k, v in now.items()}
            | {"best": f"{run.best['all']:.2f} {run.best['ten']:.2f}"}
        )
    model.load_state_dict(load_checkpoint(folder / "best-weights.pt")["weights"])
    return model, run.best


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


@click.command(context_settings={"show_default": True})
@click.option(
    "--data",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Folder of recordings; may be given several times.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for checkpoints and prepared frames.",
)
@click.option("--epochs", default=60)
@click.option("--copies", "count", default=20, help="Augmented copies of the training clips.")
@click.option("--synthetic", default=60, help="Synthetic readings of each word (training only).")
@click.option("--share", default=1.0, help="Part of a copy that an epoch takes.")
@click.option("--batch", default=128)
@click.option("--learning-rate", default=3e-3)
@click.option("--seed", default=0)
@click.option("--device", default="cpu")
@click.option("--threads", default=2)
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
    help="Begin with the weights of another run's best.pt.",
)
@click.option(
    "--mistakes-of",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also train on what this best.pt takes for keywords in speech.",
)
@click.option("--name", default="keywords", help="Folder of this run below --work.")
def main(
    folders: tuple[Path, ...],
    work: Path,
    epochs: int,
    count: int,
    synthetic: int,
    share: float,
    batch: int,
    learning_rate: float,
    seed: int,
    device: str,
    threads: int,
    settings: tuple[str, ...],
    start_from: Path | None,
    mistakes_of: Path | None,
    name: str,
) -> None:
    """Train a spotter; call again to resume."""
    torch.set_num_threads(threads)
    recordings = [r for folder in folders for r in find_recordings(folder)]
    config = changed(SpotterConfig(), settings)
    corpus = Corpus(recordings, work, bands=config.bands, frame_s=config.frame_s)
    copies, dev, noisy = Copies(corpus, work, count, synthetic), corpus.dev(), corpus.dev(NOISY_DB)
    seed_everything(seed)
    spotter = KeywordSpotter(config)
    if start_from:
        spotter.load_state_dict(load_checkpoint(start_from)["weights"])
    vocabulary = SpokenVocabulary(corpus, work)
    negatives = HardNegatives(corpus, work, load(mistakes_of)[0]) if mistakes_of else None
    model, best = train(
        spotter,
        copies,
        dev,
        work / name,
        seed=seed,
        negatives=negatives,
        vocabulary=vocabulary if vocabulary.words else None,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        device=device,
        share=share,
    )
    click.echo(f"dev {best}, in {NOISY_DB:g} dB noise {scores(model, noisy)}")


if __name__ == "__main__":
    main()
