"""What every training command shares: seeds, schedules, averages, checkpoints, exact resume."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

#: Whether the processor computes with bfloat16; where it does not, that is slower than float32.
HAS_BFLOAT16 = any(torch.cpu.get_capabilities().get(u) for u in ("avx512_bf16", "amx_bf16", "bf16"))


def seed_everything(seed: int) -> None:
    """Make weights and dropout repeatable."""
    random.seed(seed)
    torch.manual_seed(seed)


def warm_hold_decay(step: int, steps: int, warm: int = 200, decay: float = 0.4) -> float:
    """Learning rate factor: rise, hold, and fall in a straight line over the last ``decay``.

    Parameters
    ----------
    step
        From 0.
    steps
        In all.
    warm
        Steps of the rise.
    decay
        Share of the fall.

    Returns
    -------
    float
        From 0 to 1.
    """
    rise = min(1.0, (step + 1) / warm)
    return rise * min(1.0, max(0.0, (steps - step) / (decay * steps)))


class Average:
    """Exponential moving average of a model's weights; starts as a copy."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model; faster at first."""
        decay = min(self.decay, (step + 1) / (step + 10))
        values = {k: v.detach() for k, v in model.state_dict().items()}
        moving = [k for k, v in values.items() if v.is_floating_point()]
        kept, new = ([found[k] for k in moving] for found in (self.weights, values))
        torch._foreach_lerp_(kept, new, 1.0 - decay)
        for name in values.keys() - set(moving):
            self.weights[name].copy_(values[name])

    def restore(self, weights: dict[str, torch.Tensor]) -> None:
        """Take over saved weights, on whatever device."""
        for name, value in self.weights.items():
            value.copy_(weights[name])


def save_atomically(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint aside, then rename: a crash leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.part")
    torch.save(content, aside)
    os.replace(aside, path)


def save_model(model: nn.Module, path: Path, **extra: Any) -> None:
    """Write a model's ``config`` (a dataclass) and weights; ``extra`` travels along."""
    content = {"config": asdict(model.config), "weights": model.state_dict(), **extra}  # type: ignore[call-overload]
    save_atomically(content, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU.

    Raises
    ------
    click.ClickException
        If the file is not one.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each have their own
        raise click.ClickException(f"{path} is not a checkpoint of ours: {error}") from error
    if not isinstance(content, dict):
        raise click.ClickException(f"{path} is not a checkpoint of ours")
    return content


def randomness() -> dict[str, Any]:
    """State of torch's random numbers on every device."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def restore_randomness(state: dict[str, Any]) -> None:
    """Go on with the random numbers where :func:`randomness` was called."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


class Recorded:
    """A step on a GPU, recorded as a CUDA graph: replayed, it costs the CPU next to nothing.

    Parameters
    ----------
    step
        From tensors on the GPU to tensors there, always of the same shapes; never waits for the
        GPU. What it changes in place (weights, an optimiser's state) changes in each replay.
    """

    EAGER = 3  #: first calls that run as written: kernels are compiled, buffers made

    def __init__(self, step: Callable[..., tuple[torch.Tensor, ...]]) -> None:
        self.step, self.calls = step, 0
        self.aside, self.graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        self.given: tuple[torch.Tensor, ...] = ()
        self.results: tuple[torch.Tensor, ...] = ()

    def __call__(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What ``step`` gives; after the first calls always in the same tensors."""
        self.calls += 1
        if self.calls <= self.EAGER:
            self.aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.aside):
                results = self.step(*given)
            torch.cuda.current_stream().wait_stream(self.aside)
            return results
        if not self.given:
            self.given = tuple(g.clone() for g in given)
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.results = self.step(*self.given)
        for kept, new in zip(self.given, given, strict=True):
            kept.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.results


class _Numbered(Dataset[Any]):
    """Batches that are functions of their number."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


class _From(Sampler[int]):
    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


def numbered_batches(
    make: Callable[[int], Any], start: int, stop: int, workers: int, *, pinned: bool = False
) -> DataLoader[Any]:
    """``make(start) … make(stop - 1)`` in order, made ahead of time by ``workers`` processes.

    Parameters
    ----------
    make
        Makes a batch from its number; must be importable by the workers.
    start, stop
        First number, and the one after the last.
    workers
        Processes.
    pinned
        In memory that a GPU copies from on its own.

    Returns
    -------
    DataLoader
        In order.
    """
    return DataLoader(
        _Numbered(make),
        batch_size=None,
        sampler=_From(start, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        persistent_workers=False,
        pin_memory=pinned,
    )
