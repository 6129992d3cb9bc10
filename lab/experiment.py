"""How an experiment is run: budget, seeds, progress, and exact resume after any interruption."""

from __future__ import annotations

import json
import lzma
import os
import time
import zlib
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from resonance.models.training import randomness, restore_randomness, save_atomically

Budget = Literal["quick", "full"]
Result = TypeVar("Result")
#: Steps between checkpoints of the training under way.
CHECKPOINT_STEPS = 200


class Run:
    """One experiment on one budget.

    Parameters
    ----------
    name, budget
        Which, and how much of it.
    seeds
        How many; 0 for the experiment's own number.
    device
        Torch device to train on.
    text, data
        File to learn language from, and folder with recordings, if given.
    work
        Folder for results so far and checkpoints.
    """

    def __init__(
        self,
        name: str,
        budget: Budget,
        seeds: int,
        device: str,
        text: Path | None,
        data: Path | None,
        work: Path,
    ) -> None:
        self.name, self.budget, self.device = name, budget, device
        self.data, self._text, self._seeds = data, text, seeds
        self.folder = work / f"{name}-{budget}"
        self._results: dict[str, Any] = {}

    @property
    def quick(self) -> bool:
        """The small budget."""
        return self.budget == "quick"

    def seeds(self, usual: int) -> range:
        """The seeds to run: as many as were asked for, or the usual number."""
        return range(self._seeds or usual)

    @property
    def reads_text(self) -> bool:
        """A text was given."""
        return self._text is not None

    @cached_property
    def text(self) -> str:
        """Content of the text file."""
        if self._text is None:
            raise click.UsageError(
                f"{self.name} learns from text: give a file with --text, such as tiny Shakespeare"
            )
        return read_text(self._text)

    @property
    def cpu_minutes(self) -> float:
        """What the results so far cost."""
        return sum(entry["cpu_s"] for entry in self._load().values()) / 60

    def measure(self, key: str, work: Callable[[], Result]) -> Result:
        """``work()``, or what it gave when it ran before; must go through JSON."""
        if key not in self._load():
            began = time.process_time()
            value = work()
            self._results[key] = {"value": value, "cpu_s": time.process_time() - began}
            self._save()
            self.checkpoint(key).unlink(missing_ok=True)
        result: Result = self._load()[key]["value"]
        return result

    def train(
        self,
        key: str,
        model: nn.Module,
        loss: Callable[[int], Tensor],
        steps: int,
        optimisers: Iterable[Optimizer],
        rate: Callable[[int], float] = lambda step: 1.0,
        clip: float = 1.0,
    ) -> None:
        """Train ``model`` in place for ``steps``; ``loss(step)`` must depend on nothing else.

        An interrupted training goes on from its last checkpoint and ends at the same weights.

        Parameters
        ----------
        key
            Name of this training; also of its checkpoint.
        model
            Is changed.
        loss
            Loss of a step, by its number.
        steps
            How many.
        optimisers
            Of the model's parameters.
        rate
            Factor of the learning rates, by the number of the step.
        clip
            Largest norm of the gradient.
        """
        optimisers, path = list(optimisers), self.checkpoint(key)
        first = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
        start = _resume(path, model, optimisers)
        bar = tqdm(
            range(start, steps),
            initial=start,
            total=steps,
            desc=f"{self.name} {key}",
            mininterval=1.0,
            leave=False,
            disable=None,
        )
        model.train()
        for step in bar:
            for optimiser, rates in zip(optimisers, first, strict=True):
                for group, lr in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = lr * rate(step)
                optimiser.zero_grad(set_to_none=True)
            value = loss(step)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            for optimiser in optimisers:
                optimiser.step()
            if (step + 1) % CHECKPOINT_STEPS == 0 and step + 1 < steps:
                _checkpoint(path, model, optimisers, step + 1)
        model.eval()

    def done(self, key: str) -> int:
        """Steps that the interrupted training of ``key`` had done."""
        path = self.checkpoint(key)
        return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0

    def checkpoint(self, key: str) -> Path:
        """Where the training of ``key`` keeps its state."""
        return self.folder / f"{key.replace('/', '-').replace(' ', '-')}.pt"

    @cached_property
    def _file(self) -> Path:
        content = "" if self._text is None else self.text
        inputs = f"{content}{self.data}{self.device}"
        return self.folder / f"results-{zlib.crc32(inputs.encode()):08x}.json"

    def _load(self) -> dict[str, Any]:
        if not self._results and self._file.exists():
            self._results = json.loads(self._file.read_text(encoding="utf-8"))
        return self._results

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self._file.with_suffix(f".{os.getpid()}.part")
        aside.write_text(json.dumps(self._results, indent=1), encoding="utf-8")
        os.replace(aside, self._file)


def read_text(path: Path) -> str:
    """A text file, xz-compressed or not."""
    raw = path.read_bytes()
    return (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode("utf-8")


def _checkpoint(path: Path, model: nn.Module, optimisers: list[Optimizer], step: int) -> None:
    save_atomically(
        {
            "step": step,
            "weights": model.state_dict(),
            "randomness": randomness(),
            "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        },
        path,
    )


def _resume(path: Path, model: nn.Module, optimisers: list[Optimizer]) -> int:
    if not path.exists():
        return 0
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["weights"])
    for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    restore_randomness(saved["randomness"])
    return int(saved["step"])
