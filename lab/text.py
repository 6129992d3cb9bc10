"""Text to learn from and to be tested on: tokens, batches, and loss on the held-out part."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from resonance.lab.experiment import Run

#: Share of a text, at its end, that nothing is trained on.
HELD_OUT = 0.1


@dataclass(frozen=True)
class Schedule:
    """How long a model learns, and from how much at once."""

    batch: int
    block: int  #: tokens in a row
    steps: int
    rate: float
    windows: int = 128  #: of held-out text to test on


@dataclass(frozen=True)
class Text:
    """A text in tokens, its last part held out."""

    train: Tensor  #: [tokens]
    held: Tensor  #: [tokens]
    tokenizer: Tokenizer
    bytes_per_token: float  #: in the held-out part

    @property
    def vocabulary(self) -> int:
        """Tokens there are."""
        return self.tokenizer.get_vocab_size()

    def bits_per_byte(self, nats: float) -> float:
        """From nats per token."""
        return nats / math.log(2) / self.bytes_per_token


def characters(content: str) -> Text:
    """Every character a token."""
    alphabet = sorted(set(content))
    words = {c: i for i, c in enumerate(alphabet)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=alphabet[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    codes = torch.tensor([words[c] for c in content])
    cut = int(len(content) * (1 - HELD_OUT))
    held = content[cut:]
    return Text(codes[:cut], codes[cut:], tokenizer, len(held.encode()) / len(held))


def pieces(content: str, vocabulary: int) -> Text:
    """Byte-pair encoding over bytes, learned from the part that is trained on."""
    cut = int(len(content) * (1 - HELD_OUT))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(content[:cut].splitlines(keepends=True), trainer)
    train, held = (
        torch.tensor(tokenizer.encode(part).ids) for part in (content[:cut], content[cut:])
    )
    return Text(train, held, tokenizer, len(content[cut:].encode()) / len(held))


def batch(tokens: Tensor, seed: int, step: int, size: int, block: int) -> tuple[Tensor, Tensor]:
    """Batch number ``step`` of a training: tokens, and those that follow, [size, block].

    Parameters
    ----------
    tokens
        To draw from [tokens].
    seed
        Of the training.
    step
        Of the training.
    size
        Windows in a batch.
    block
        Tokens in a window.

    Returns
    -------
    tuple of Tensor
        Both [size, block].
    """
    starts = np.random.default_rng((seed, step)).integers(0, len(tokens) - block - 1, size)
    windows = torch.stack([tokens[s : s + block + 1] for s in starts])
    return windows[:, :-1], windows[:, 1:]


def next_token_loss(model: Callable[[Tensor], Tensor], tokens: Tensor, following: Tensor) -> Tensor:
    """Mean nats per token.

    Parameters
    ----------
    model
        Tokens [windows, block] to scores [windows, block, vocabulary].
    tokens
        [windows, block].
    following
        What follows each of them [windows, block].

    Returns
    -------
    Tensor
        One number.
    """
    return F.cross_entropy(model(tokens).flatten(0, 1).float(), following.flatten())


@torch.no_grad()
def held_out_loss(
    model: nn.Module, tokens: Tensor, block: int, windows: int, device: str = "cpu"
) -> float:
    """Nats per token over ``windows`` evenly spread windows of held-out text.

    Parameters
    ----------
    model
        Tokens [windows, block] to scores [windows, block, vocabulary].
    tokens
        Of the held-out text [tokens].
    block
        Tokens in a window.
    windows
        How many.
    device
        Where the model is.

    Returns
    -------
    float
        Mean over all positions.
    """
    return float(held_out_losses(model, tokens, block, windows, device).mean())


@torch.no_grad()
def held_out_losses(
    model: nn.Module, tokens: Tensor, block: int, windows: int, device: str = "cpu"
) -> Tensor:
    """:func:`held_out_loss` of each position [windows, block].

    Parameters
    ----------
    model
        Tokens [windows, block] to scores [windows, block, vocabulary].
    tokens
        Of the held-out text [tokens].
    block
        Tokens in a window.
    windows
        How many.
    device
        Where the model is.

    Returns
    -------
    Tensor
        Nats [windows, block].
    """
    model.eval()
    starts = np.linspace(0, len(tokens) - block - 1, windows).astype(int)
    losses = []
    for i in range(0, windows, 32):
        part = torch.stack([tokens[s : s + block + 1] for s in starts[i : i + 32]]).to(device)
        scores = model(part[:, :-1]).float()
        losses.append(F.cross_entropy(scores.transpose(1, 2), part[:, 1:], reduction="none").cpu())
    model.train()
    return torch.cat(losses)


def learn(
    run: Run,
    key: str,
    seed: int,
    model: nn.Module,
    content: Text,
    schedule: Schedule,
    optimisers: Sequence[Optimizer] = (),
    rate: Callable[[int], float] | None = None,
) -> float:
    """Train, by default with AdamW, warmed up and then constant; held-out nats per token.

    Parameters
    ----------
    run
        Keeps checkpoints.
    key
        Name of this training.
    seed
        Of the batches.
    model
        Is changed.
    content
        To learn from and to be tested on.
    schedule
        Steps, batches and learning rate.
    optimisers
        Instead of AdamW.
    rate
        Factor of the learning rates by step, instead of a short rise.

    Returns
    -------
    float
        After training.
    """
    model.to(run.device)

    def loss(step: int) -> Tensor:
        tokens, following = batch(content.train, seed, step, schedule.batch, schedule.block)
        return next_token_loss(model, tokens.to(run.device), following.to(run.device))

    if not optimisers:
        learned = [p for p in model.parameters() if p.requires_grad]
        optimisers = [torch.optim.AdamW(learned, schedule.rate, weight_decay=0.01)]
    rate = rate or (lambda step: min(1.0, (step + 1) / 50))
    run.train(key, model, loss, schedule.steps, optimisers, rate)
    return held_out_loss(model, content.held, schedule.block, schedule.windows, run.device)
