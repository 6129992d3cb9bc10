"""Wave memory (kerr-engine): a small file that moves where a model's Kerr oscillators start.

Reading: ``Z(0) += α M`` in every layer. Writing: after a conversation ``M ← β M + (1 - β) S``, S
the mean over its positions of what the oscillators came to. Batch and streaming write alike.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resonance.lab import kerr_feedforward
from resonance.lab.kerr_feedforward import character_model
from resonance.lab.text import Schedule
from resonance.models.kerr import KerrOscillators
from resonance.models.transformer import Transformer

MAGIC = b"KWMF"
#: Version 1 as published; version 2 has a CRC-32 of the rest in place of the unused ``decay``.
HEADER = struct.Struct("<4s3I3fI")
CHECKSUM_AT = 20
#: Share of the memory that is added, and of it that a conversation leaves.
ALPHA, BETA = 0.05, 0.99
#: Deviations above the mean at which a band's energy is suspicious.
SUSPICIOUS = 3.0


@dataclass
class WaveMemory:
    """Oscillators' mean states ``[layers, bands]``, complex, over conversations so far."""

    state: NDArray[np.complex64]
    alpha: float = ALPHA
    beta: float = BETA
    conversations: int = 0

    @classmethod
    def empty(cls, layers: int, bands: int) -> WaveMemory:
        """Nothing remembered."""
        return cls(np.zeros((layers, bands), np.complex64))

    def learn(self, seen: NDArray[np.complex64]) -> None:
        """A conversation's mean states [layers, bands]."""
        self.state = (self.beta * self.state + (1 - self.beta) * seen).astype(np.complex64)
        self.conversations += 1

    def census(self) -> list[tuple[int, int]]:
        """Layer and band of every energy far above the others'."""
        energy = np.abs(self.state) ** 2
        limit = energy.mean() + SUSPICIOUS * energy.std()
        return [(int(layer), int(band)) for layer, band in np.argwhere(energy > limit)]

    def save(self, path: Path) -> None:
        """Write version 2: 32 bytes and eight for each band."""
        layers, bands = self.state.shape
        head = HEADER.pack(MAGIC, 2, layers, bands, self.alpha, 0.0, self.beta, self.conversations)
        parts = np.stack([self.state.real, self.state.imag], 1).astype("<f4")
        content = bytearray(head + parts.tobytes())
        content[CHECKSUM_AT : CHECKSUM_AT + 4] = struct.pack("<I", zlib.crc32(content))
        aside = path.with_suffix(".part")
        aside.write_bytes(content)
        aside.replace(path)

    @classmethod
    def load(cls, path: Path) -> WaveMemory:
        """Read version 1 or 2.

        Raises
        ------
        click.ClickException
            If the file is not a memory, or damaged.
        """
        content = bytearray(path.read_bytes())
        if len(content) < HEADER.size or content[:4] != MAGIC:
            raise click.ClickException(f"{path} is not a wave memory: it does not begin with KWMF")
        _, version, layers, bands, alpha, _, beta, conversations = HEADER.unpack_from(content)
        if version not in (1, 2):
            raise click.ClickException(f"{path} has version {version}; 1 and 2 can be read")
        if len(content) != HEADER.size + 8 * layers * bands:
            raise click.ClickException(
                f"{path} has {len(content)} bytes, {layers} layers of {bands} bands need "
                f"{HEADER.size + 8 * layers * bands}"
            )
        if version == 2:
            (checksum,) = struct.unpack_from("<I", content, CHECKSUM_AT)
            content[CHECKSUM_AT : CHECKSUM_AT + 4] = bytes(4)
            if checksum != zlib.crc32(content):
                raise click.ClickException(f"{path} is damaged: its checksum is wrong; delete it")
        parts = np.frombuffer(content, "<f4", offset=HEADER.size).reshape(layers, 2, bands)
        return cls(
            (parts[:, 0] + 1j * parts[:, 1]).astype(np.complex64), alpha, beta, conversations
        )


@dataclass
class Recorder:
    """Sum over positions of what each layer's oscillators came to."""

    sums: list[Any] = field(default_factory=list)
    positions: int = 0

    def mean(self) -> NDArray[np.complex64]:
        """[layers, bands]."""
        mean = np.stack([s.numpy() for s in self.sums]) / max(1, self.positions)
        return (mean[:, 0::2] + 1j * mean[:, 1::2]).astype(np.complex64)


def empty_memory(model: nn.Module) -> WaveMemory:
    """Nothing remembered, of a model's size.

    Raises
    ------
    click.ClickException
        If the model has no Kerr oscillators.
    """
    layers = [module for module in model.modules() if isinstance(module, KerrOscillators)]
    if not layers:
        raise click.ClickException(
            "the model has no Kerr oscillators that could remember; take kerr.pt of "
            "`resonance lab memory`"
        )
    return WaveMemory.empty(len(layers), len(layers[0].frequency))


@contextmanager
def attached(model: nn.Module, memory: WaveMemory | None) -> Iterator[Recorder]:
    """Let the model's oscillators start where the memory puts them, and watch where they end.

    Without a memory, or an empty one, the model computes what it always does, bit for bit.
    """
    layers = [module for module in model.modules() if isinstance(module, KerrOscillators)]
    recorder = Recorder([torch.zeros(2 * len(layer.frequency)) for layer in layers])
    hooks = []
    for i, layer in enumerate(layers):
        if memory is not None and memory.state.any():
            parts = np.stack([memory.state[i].real, memory.state[i].imag], -1).reshape(-1)
            start = torch.from_numpy(memory.alpha * parts)
            hooks.append(
                layer.register_forward_pre_hook(lambda _, x, s=start: (x[0] + s.to(x[0]),))
            )

        def watch(_: nn.Module, inputs: Any, output: Tensor, i: int = i) -> None:
            recorder.sums[i] += output.detach().flatten(0, -2).sum(0).cpu()
            if i == 0:
                recorder.positions += output[..., 0].numel()

        hooks.append(layer.register_forward_hook(watch))
    try:
        yield recorder
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def generate(model: Transformer, tokens: Tensor, count: int, seed: int) -> Iterator[int]:
    """Draw ``count`` tokens after ``tokens``, one at a time.

    Parameters
    ----------
    model
        That draws them.
    tokens
        To begin with [tokens].
    count
        How many to draw.
    seed
        Of chance.

    Yields
    ------
    int
        The next token.
    """
    generator = torch.Generator().manual_seed(seed)
    block = model.embedding.position.shape[0]
    for _ in range(count):
        scores = model(tokens[None, -block:])[0, -1].float()
        token = torch.multinomial(scores.softmax(-1), 1, generator=generator)
        tokens = torch.cat([tokens, token])
        yield int(token)


@dataclass(frozen=True)
class Config:
    """Sizes of :class:`KerrCharacters`."""

    vocabulary: int
    width: int
    layers: int
    maestro: int
    block: int  #: tokens that are seen at once


class KerrCharacters(nn.Module):
    """Kerr with maestro, speaking token by token; what it remembers of a text is the text."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        schedule = Schedule(batch=1, block=config.block, steps=0, rate=0.0)
        sizes = kerr_feedforward.Sizes(config.width, config.layers, config.maestro, schedule, 0)
        self.model = character_model("Kerr, maestro", config.vocabulary, sizes)

    def rest(self) -> Tensor:
        """Before the first token."""
        return torch.zeros(1, 0, dtype=torch.long)

    def step(self, tokens: Tensor, said: Tensor) -> tuple[Tensor, Tensor]:
        """One more token [1] → scores of the next one [1, vocabulary], and all so far."""
        said = torch.cat([said, tokens[None]], -1)[:, -self.config.block :]
        return self.model(said)[:, -1], said
