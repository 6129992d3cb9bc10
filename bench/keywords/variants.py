"""Variants of the spotter and its controls on one short budget.

``python -m bench.keywords.variants --data DIR --work RUNS`` trains what is not in
``RUNS/variants.jsonl`` yet, a line for each finished training, so it may be stopped and called
again; then it writes the tables into ``docs/`` and draws ``docs/keywords-data.png``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats
from torch import nn

from bench.report import DOCS, EXPERIMENTS, table, write_section
from resonance.models.bc_resnet import BCResNet
from resonance.models.data import Recording, find_recordings
from resonance.models.keyword_data import NOISY_DB, Corpus
from resonance.models.keyword_mixing import BATCH
from resonance.models.keywords import PUBLISHED, KeywordSpotter, SpotterConfig
from resonance.models.options import DATA, RUN
from resonance.models.train_keywords import DECAY, Material, Run, scores
from resonance.models.training import seed_everything, warm_hold_decay

#: Steps, versions of the sounds they are spread over.
STEPS, VERSIONS, LEARNING_RATE = 400, 4, 2e-3
#: What the schedule makes of it: it already falls before it has risen in full.
HIGHEST_RATE = LEARNING_RATE * max(warm_hold_decay(i, STEPS, decay=DECAY) for i in range(STEPS))
SCORES = ("all", "ten", "noisy_all", "noisy_ten")
Result = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One row of a table; ``changes`` are those of SpotterConfig from ``base``."""

    name: str
    seeds: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    base: SpotterConfig = field(default_factory=SpotterConfig)
    rate: float = 1.0  #: how much faster than the spotter it learns
    make: Callable[[SpotterConfig], nn.Module] = KeywordSpotter
    speakers: float = 1.0  #: part of the speakers to train on

    def model(self) -> nn.Module:
        """Untrained."""
        return self.make(SpotterConfig(**{**vars(self.base), **self.changes}))


POSITIONS = {"with": "sinusoidal", "without": "none"}


def _attentions(
    base: SpotterConfig, size: str, seeds: int, positions: Iterable[str]
) -> Iterator[Variant]:
    for words in positions:
        for attention in ("oscillator", "softmax"):
            changes = {"attention": attention, "position": POSITIONS[words]}
            yield Variant(f"{attention}, {words} positions{size}", seeds, changes, base)


def names(variants: Iterable[Variant]) -> list[str]:
    """What the variants are called in tables."""
    return [variant.name for variant in variants]


SHIPPED = "oscillator, with positions"
PUBLISHED_SIZE = ", published size"
#: The published model on this spotter's frames: 62 of 16 ms instead of 49 of 20 ms.
ON_OUR_FRAMES = SpotterConfig(
    **{**vars(PUBLISHED), "classes": SpotterConfig().classes, "frame_s": 0.016, "tokens": 62}
)
#: What oscillator attention is compared with; BC-ResNet-1 learns little at the spotter's rate.
ATTENTION = (
    *_attentions(SpotterConfig(), "", 5, ["with"]),
    Variant("BC-ResNet-1", 5, rate=5.0, make=lambda config: BCResNet(len(config.classes))),
)
CONTROLS = (
    *_attentions(SpotterConfig(), "", 5, ["without"]),
    *_attentions(ON_OUR_FRAMES, PUBLISHED_SIZE, 5, POSITIONS),
)
EXPLORED = (
    Variant("stem two thirds as wide", 2, {"channels": (16, 24, 32)}),
    Variant("exponent 1", 2, {"exponent": 1}),
    Variant("width 96", 2, {"width": 96}),
    Variant("width 64", 2, {"width": 64}),
    Variant("resonant stem", 2, {"stem": "resonance"}),
    Variant("one layer", 2, {"layers": 1}),
    Variant("anchors free", 2, {"normalise_anchors": False}),
    Variant("exponent 4", 2, {"exponent": 4}),
    Variant("coupling softplus", 2, {"coupling": "softplus"}),
    Variant("oscillators on the sphere of 8 dimensions", 2, {"d_osc": 8}),
    Variant("positions learned", 2, {"position": "learned"}),
    Variant("three layers", 2, {"layers": 3}),
    Variant("width 32", 2, {"width": 32}),
    Variant("stem a third as wide", 2, {"channels": (8, 12, 16)}),
)
SHARES = (1 / 8, 1 / 4, 1 / 2)
FEWER = tuple(
    Variant(f"1/{round(1 / share)} of the speakers", 2, speakers=share) for share in SHARES
)
GROUPS = {"attention": ATTENTION, "controls": CONTROLS, "variants": EXPLORED, "speakers": FEWER}


def some_speakers(recordings: Iterable[Recording], share: float) -> list[Recording]:
    """All held-out recordings and all noise; speech and words to train on by ``share`` of people.

    Every smaller share is part of every larger one. Recordings by nobody known count as their own
    speakers.
    """

    def kept(recording: Recording) -> bool:
        if recording.split != "train" or recording.kind not in ("keyword", "speech"):
            return True
        person = recording.speaker or recording.path.name
        return hashlib.sha256(person.encode()).digest()[1] < 256 * share

    return [r for r in recordings if kept(r)]


class Data:
    """Sounds to train on and clips to score by, prepared once each."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.recordings, self.work = folder, find_recordings(folder), work
        corpus = Corpus(self.recordings, work)
        self.dev, self.noisy = corpus.dev(), corpus.dev(NOISY_DB)
        self.material = cache(self._material)

    def _material(self, share: float) -> tuple[Material, int]:
        """What some of the speakers said, and how many of them said words."""
        corpus = Corpus(some_speakers(self.recordings, share), self.work)
        words = corpus.words.recordings
        material = Material(corpus, [self.folder], self.work, VERSIONS)
        return material, len({r.speaker for r in words})


def trained(variant: Variant, seed: int, data: Data) -> Result:
    """Train a variant; what it reaches with its last averaged weights.

    Parameters
    ----------
    variant
        Which one.
    seed
        Of weights and batches.
    data
        To learn from and to be tested on.

    Returns
    -------
    dict
        Scores by name.
    """
    seed_everything(seed)
    model, (material, speakers) = variant.model(), data.material(variant.speakers)
    begin = time.perf_counter()
    run = Run(
        model,
        material,
        {},
        data.work / "nothing-kept",
        steps=STEPS,
        period=STEPS // VERSIONS,
        seed=seed,
        learning_rate=LEARNING_RATE * variant.rate,
        mined_after=VERSIONS,
    )
    losses = [run.train_period()[0] for _ in range(VERSIONS)]
    model.load_state_dict(run.average.weights)
    return {
        "variant": variant.name,
        "seed": seed,
        "steps": STEPS,
        **scores(model, data.dev),
        **{f"noisy_{name}": value for name, value in scores(model, data.noisy).items()},
        "parameters": sum(p.numel() for p in model.parameters()),
        "speakers": speakers,
        "loss": losses[-1],
        "seconds": time.perf_counter() - begin,
    }


def read(path: Path) -> list[Result]:
    """Finished trainings of this budget."""
    if not path.exists():
        return []
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line.get("steps") == STEPS]


def remaining(variants: Sequence[Variant], path: Path) -> Iterator[tuple[Variant, int]]:
    """Variants and seeds that are not in the results yet, the first seeds of all first."""
    for seed in range(max(variant.seeds for variant in variants)):
        for variant in variants:
            done = {(r["variant"], r["seed"]) for r in read(path)}
            if seed < variant.seeds and (variant.name, seed) not in done:
                yield variant, seed


def spread(results: Sequence[Result], score: str, digits: int = 1) -> str:
    """Mean ± deviation of a score.

    Parameters
    ----------
    results
        Of several seeds.
    score
        Its name.
    digits
        After the point.

    Returns
    -------
    str
        For a table.
    """
    found = [r[score] for r in results]
    deviation = f" ± {np.std(found, ddof=1):.{digits}f}" if len(found) > 1 else ""
    return f"{np.mean(found):.{digits}f}{deviation}"


def ahead(name: str, results: Sequence[Result], score: str) -> str:
    """By how much a variant is ahead of the shipped shape, seed by seed.

    Parameters
    ----------
    name
        Of the variant.
    results
        Finished trainings.
    score
        Its name.

    Returns
    -------
    str
        Mean and 95 % interval (Student's t), for a table; empty with fewer than two pairs.
    """
    pairs = [
        {r["variant"]: r[score] for r in results if r["seed"] == seed}
        for seed in sorted({r["seed"] for r in results})
    ]
    gains = [pair[name] - pair[SHIPPED] for pair in pairs if name in pair and SHIPPED in pair]
    if len(gains) < 2:
        return ""
    half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
    return f"{np.mean(gains):+.1f} ± {half:.1f}"


def rows(chosen: Iterable[str], results: Sequence[Result]) -> list[tuple[str, ...]]:
    """Of the variants that have been trained."""
    found = []
    for name in chosen:
        own = [r for r in results if r["variant"] == name]
        if own:
            cells = (spread(own, score) for score in SCORES)
            found.append((name, str(own[0]["parameters"]), str(len(own)), *cells))
    return found


HEADER = (
    "model",
    "parameters",
    "seeds",
    "12 labels",
    "ten words",
    "12 labels, noise",
    "ten words, noise",
)
BUDGET = (
    f"{STEPS} steps of {sum(BATCH.values())} examples, learning rate up to {HIGHEST_RATE:.2g} "
    "(BC-ResNet-1: five times that) and down to 0, last averaged weights; "
    f"dev clips right, mean ± deviation over the seeds, percent, as recorded and in {NOISY_DB:g} "
    "dB noise (`python -m bench.keywords.variants --data DIR --work RUNS --only GROUP`)"
)


def draw_speakers(results: Sequence[Result], target: Path) -> None:
    """Dev accuracy against how many people's words were trained on, each training a dot."""
    sizes = [*names(FEWER), SHIPPED]
    figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
    for score, label in (("all", "12 labels"), ("ten", "ten words"), ("noisy_ten", "ten, noise")):
        own = [[r for r in results if r["variant"] == name] for name in sizes]
        own = [group for group in own if group]
        people = [group[0]["speakers"] for group in own]
        (line,) = axes.plot(people, [np.mean([r[score] for r in g]) for g in own], label=label)
        for number, group in zip(people, own, strict=True):
            axes.plot(
                [number] * len(group), [r[score] for r in group], "o", ms=3, color=line.get_color()
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(people, [str(number) for number in people])
    axes.set_xlabel("speakers to train on")
    axes.set_ylabel("dev clips right / %")
    axes.set_title(f"{STEPS} steps each")
    axes.legend()
    figure.savefig(target, dpi=80)
    plt.close(figure)


def write(results: Sequence[Result]) -> None:
    """Tables and picture of what has been trained."""
    trained_names = {r["variant"] for r in results}
    write_section(
        "keyword-controls",
        f"## Oscillator attention and its controls\n\n{BUDGET}:\n\n"
        + table(HEADER, rows(names((*ATTENTION, *CONTROLS)), results))
        + "\n\nAhead of oscillator attention, same seeds, points with 95 % interval:\n\n"
        + table(
            ("", *HEADER[3:]),
            [
                (name, *(ahead(name, results, score) for score in SCORES))
                for name in names(ATTENTION)[1:]
                if name in trained_names
            ],
        ),
    )
    if trained_names & set(names(EXPLORED)):
        write_section(
            "keyword-variants",
            "### Variants\n\nEach differs from the shipped shape (first row) in one thing; "
            f"{BUDGET}:\n\n" + table(HEADER, rows((SHIPPED, *names(EXPLORED)), results)),
            EXPERIMENTS,
        )
    if trained_names & set(names(FEWER)):
        write_speakers(results)


def write_speakers(results: Sequence[Result]) -> None:
    """Table and picture of how many people's words were trained on."""
    few = [
        (
            name.removesuffix(" of the speakers"),
            str(own[0]["speakers"]),
            str(len(own)),
            *(spread(own, score) for score in SCORES),
            spread(own, "loss", 2),
        )
        for name in (*names(FEWER), SHIPPED)
        if (own := [r for r in results if r["variant"] == name])
    ]
    write_section(
        "keyword-speakers",
        "### How many people it learned from\n\nThe shipped shape (last row: all), trained on the "
        "words and speech of some of the speakers only, noise and synthetic voices being the same; "
        f"{BUDGET}:\n\n"
        + table(("speakers", "with words", *HEADER[2:], "loss in training"), few)
        + "\n\n![accuracy against speakers](keywords-data.png)",
        EXPERIMENTS,
    )
    draw_speakers(results, DOCS / "keywords-data.png")


@click.command(context_settings={"show_default": True})
@DATA
@RUN
@click.option(
    "--only",
    "groups",
    type=click.Choice(list(GROUPS)),
    multiple=True,
    help="What to train; default: all. Two calls may work at once.",
)
@click.option("--tables", is_flag=True, help="Train nothing, write what there is.")
def main(data: Path, work: Path, groups: tuple[str, ...], tables: bool) -> None:
    """Train variants of the spotter on a short budget and write what they reach."""
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    path = work / "variants.jsonl"
    if not tables:
        prepared = Data(data, work)
        for group in groups or tuple(GROUPS):
            for variant, seed in remaining(GROUPS[group], path):
                result = trained(variant, seed, prepared)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                click.echo(json.dumps(result))
    write(read(path))


if __name__ == "__main__":
    main()
