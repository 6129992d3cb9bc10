"""Causal oscillator language model (parameter-golf submission 1061): oscillators for positions.

Tokens kick damped oscillators; positions and velocities go through ordinary layers of softmax
attention. Trained by convolution, generating by recurrence with a cache of keys and values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer

from resonance.lab import text
from resonance.lab.experiment import Run
from resonance.lab.report import Report, Row, Verdict, at_most, judge, paired, spread, tally
from resonance.lab.text import Schedule, Text
from resonance.models.oscillator_encoding import OscillatorEncoding
from resonance.models.resonant import RMSNorm
from resonance.models.training import save_model
from resonance.models.transformer import CausalAttention, trainable

SOURCE = "parameter-golf 1061"
#: Scores stay within ± this.
CAP = 30.0
#: Learning rates of AdamW and, four times as large, Muon; smallest matrix that Muon trains.
RATE, MUON_RATE, LEAST = 0.003, 0.012, 8
#: Share of the training over which the rate falls.
FALL = 0.2
KINDS: tuple[Literal["oscillators", "frozen oscillators", "positions"], ...] = (
    "oscillators",
    "frozen oscillators",
    "positions",
)
#: Everything a model remembers between two tokens.
State = list[Any]


@dataclass(frozen=True)
class Config:
    """Sizes of the model; as published by default."""

    vocabulary: int = 1024
    oscillators: int = 192
    layers: int = 12
    heads: int = 16
    kind: Literal["oscillators", "frozen oscillators", "positions"] = "oscillators"


@dataclass(frozen=True)
class Sizes:
    """What one budget pays for."""

    config: Config
    schedule: Schedule


QUICK = Sizes(Config(512, 24, 2, 4), Schedule(batch=16, block=32, steps=200, rate=RATE))
FULL = Sizes(Config(), Schedule(batch=64, block=1024, steps=10000, rate=RATE, windows=512))


class Positions(nn.Module):
    """The control: the same drives beside a sinusoidal position, instead of oscillators."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, drive: Tensor) -> Tensor:
        """[batch, tokens, width] → [batch, tokens, 2 · width]."""
        return torch.cat([drive, self._code(torch.arange(drive.shape[1])).expand_as(drive)], -1)

    def step(self, drive: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """One token, and how many came before it."""
        return torch.cat([drive, self._code(place).expand_as(drive)], -1), place + 1

    def rest(self, batch: int = 1) -> Tensor:
        """No token yet."""
        return torch.zeros(1)

    def _code(self, places: Tensor) -> Tensor:
        rates = torch.exp(torch.arange(0, self.width, 2) * (-math.log(10000.0) / self.width))
        angle = places[:, None] * rates
        return torch.stack([torch.sin(angle), torch.cos(angle)], -1).flatten(-2)


class Layer(nn.Module):
    """Attention without positions, and a feed-forward part gated by its own sine."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.feed_norm = RMSNorm(width), RMSNorm(width)
        self.attention = CausalAttention(width, heads, bias=False)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, tokens, width] → the same shape."""
        return self._feed(x + self.attention(self.norm(x)))

    def step(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """One token [batch, 1, width] and what came before."""
        attended, cache = self.attention.step(self.norm(x), cache)
        return self._feed(x + attended), cache

    def _feed(self, x: Tensor) -> Tensor:
        z = self.up(self.feed_norm(x))
        return x + self.down(z * torch.sin(z))  # type: ignore[no-any-return]


class OscillatorLanguageModel(nn.Module):
    """Tokens in, scores of the next token out."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width = 2 * config.oscillators
        self.drive = nn.Embedding(config.vocabulary, config.oscillators)
        nn.init.normal_(self.drive.weight, std=0.1)
        self.encoding: OscillatorEncoding | Positions
        if config.kind == "positions":
            self.encoding = Positions(config.oscillators)
        else:
            self.encoding = OscillatorEncoding(config.oscillators)
            self.encoding.requires_grad_(config.kind == "oscillators")
        self.layers = nn.ModuleList(Layer(width, config.heads) for _ in range(config.layers))
        self.norm, self.head = RMSNorm(width), nn.Linear(width, config.vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, tokens] → [batch, tokens, vocabulary]."""
        x = self.encoding(self.drive(tokens))
        for layer in self.layers:
            x = layer(x)
        return self._scores(x)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One more token [batch] → scores [batch, vocabulary], and the new state."""
        x, new = self._encode(tokens, state[0])
        after: State = [new]
        for layer, cache in zip(self.layers, state[1:], strict=True):
            assert isinstance(layer, Layer)
            x, cache = layer.step(x, cache)
            after.append(cache)
        return self._scores(x)[:, 0], after

    def rest(self, batch: int = 1) -> State:
        """Before the first token."""
        caches = [
            layer.attention.no_past(batch) for layer in self.layers if isinstance(layer, Layer)
        ]
        return [self.encoding.rest(batch), *caches]

    def _encode(self, tokens: Tensor, swing: Any) -> tuple[Tensor, Any]:
        code, swing = self.encoding.step(self.drive(tokens), swing)
        return code[:, None], swing

    def _scores(self, x: Tensor) -> Tensor:
        return CAP * torch.tanh(self.head(self.norm(x)) / CAP)  # type: ignore[no-any-return]


def optimisers(model: nn.Module) -> Sequence[Optimizer]:
    """Muon for matrices, AdamW for the rest, as published."""
    learned = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in learned if p.ndim == 2 and min(p.shape) >= LEAST]
    rest = [p for p in learned if not any(p is m for m in matrices)]
    muon = torch.optim.Muon(matrices, MUON_RATE, momentum=0.95, nesterov=True, weight_decay=0.0)
    return [muon, torch.optim.AdamW(rest, RATE, weight_decay=0.01)]


def quantise(model: nn.Module, bits: int) -> dict[str, Tensor]:
    """Weights after a round trip: each tensor by its largest value, the oscillators' in fp16."""
    levels, weights = 2 ** (bits - 1) - 1, {}
    for name, value in model.state_dict().items():
        if name.startswith("encoding."):
            weights[name] = value.half().float()
        else:
            scale = value.abs().max().clamp(min=1e-12) / levels
            weights[name] = torch.round(value / scale).clamp(-levels, levels) * scale
    return weights


# Report -----------------------------------------------------------------------------------------


def run(run: Run) -> Report:
    """Oscillators, frozen oscillators and positions; quantised; beyond the trained length."""
    sizes = QUICK if run.quick else FULL
    content = text.pieces(run.text, sizes.config.vocabulary)
    found = {
        kind: [
            run.measure(f"{kind} {s}", partial(trained, run, sizes, content, kind, s))
            for s in run.seeds(3)
        ]
        for kind in KINDS
    }
    rows = [*_exact(), *_compared(found), *_quantised(found), *_longer(found)]
    line = f"{tally(rows)}; {spread(_column(found, 'oscillators', 'bits'))} bits per byte."
    return Report(line, rows, _notes(run, sizes, content), CAPTION, _figure(found, sizes))


def trained(run: Run, sizes: Sizes, content: Text, kind: Any, seed: int) -> dict[str, Any]:
    """Train one model; what it reaches, quantised and on longer text, and its oscillators.

    Parameters
    ----------
    run
        Keeps checkpoints.
    sizes
        Of model and training.
    content
        To learn from and to be tested on.
    kind
        Of the encoding of positions.
    seed
        Of weights and batches.

    Returns
    -------
    dict
        Figures by name.
    """
    torch.manual_seed(seed)
    config = Config(**{**vars(sizes.config), "vocabulary": content.vocabulary, "kind": kind})
    model, schedule = OscillatorLanguageModel(config), sizes.schedule
    fall = FALL * schedule.steps
    nats = text.learn(
        run,
        f"{kind} {seed}",
        seed,
        model,
        content,
        schedule,
        optimisers(model),
        lambda step: min(1.0, (step + 1) / 20, max(0.02, (schedule.steps - step) / fall)),
    )
    if kind == "oscillators" and seed == 0:
        save_model(model, run.folder / "language.pt", tokenizer=content.tokenizer.to_str())
    result: dict[str, Any] = {"bits": content.bits_per_byte(nats)}
    longer = text.held_out_losses(model, content.held, 4 * schedule.block, 32, run.device)
    result["course"] = [content.bits_per_byte(float(p.mean())) for p in longer.chunk(16, -1)]
    if kind == "oscillators":
        assert isinstance(model.encoding, OscillatorEncoding)
        result["omega"] = model.encoding.omega.tolist()
        result["damping_ratio"] = model.encoding.damping_ratio.tolist()
    for bits in (8, 4):
        weights = quantise(model, bits)
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(weights)
        nats = text.held_out_loss(model, content.held, schedule.block, schedule.windows, run.device)
        result[f"int{bits}"] = content.bits_per_byte(nats)
        model.load_state_dict(kept)
    return result


def _column(found: dict[Any, list[dict[str, Any]]], kind: str, name: str) -> list[float]:
    return [entry[name] for entry in found[kind]]


def recurrence_error() -> float:
    """Largest difference of scores, convolution against recurrence, at a small size."""
    torch.manual_seed(0)
    model = OscillatorLanguageModel(Config(64, 16, 2, 4)).eval()
    tokens = torch.randint(64, (2, 50))
    with torch.no_grad():
        at_once, state, steps = model(tokens), model.rest(2), []
        for t in range(tokens.shape[1]):
            scores, state = model.step(tokens[:, t], state)
            steps.append(scores)
    return float((torch.stack(steps, 1) - at_once).abs().max())


def _exact() -> list[Row]:
    model = OscillatorLanguageModel(Config())
    count, swinging = trainable(model), trainable(model.encoding)
    error = recurrence_error()
    return [
        Row(
            "Trained numbers",
            SOURCE,
            "14,770,432",
            f"{count:,}",
            Verdict.HOLDS if count == 14_770_432 else Verdict.FAILS,
        ),
        Row(
            "Oscillators replace attention: they are the only thing that is learned",
            "news digest",
            "“sole learnable transform”",
            f"{swinging} of {count:,} numbers are oscillators'",
            Verdict.FAILS,
        ),
        Row(
            "Trained by convolution, it generates the same by recurrence (largest difference of "
            "the scores)",
            SOURCE,
            "the same",
            f"{error:.0e}",
            Verdict.HOLDS if error < 1e-4 else Verdict.FAILS,
        ),
    ]


def _compared(found: dict[Any, list[dict[str, Any]]]) -> list[Row]:
    ours, bits = _column(found, "oscillators", "bits"), _column(found, "positions", "bits")
    gain = paired(bits, ours)
    learned = paired(_column(found, "frozen oscillators", "bits"), ours)
    return [
        Row(
            "Bits per byte on held-out text",
            SOURCE,
            "1.3379 (FineWeb, 40,000 steps)",
            spread(ours),
            Verdict.OPEN,
        ),
        Row(
            "Oscillators serve better than positions in the same model (bits per byte lower)",
            "news digest",
            "no figure",
            f"{gain:.3f}",
            judge(gain, 0.02),
        ),
        Row(
            "That the oscillators are learned matters (bits per byte lower than with frozen ones)",
            SOURCE,
            "no figure",
            f"{learned:.3f}",
            judge(learned, 0.02),
        ),
    ]


def _quantised(found: dict[Any, list[dict[str, Any]]]) -> list[Row]:
    rows, ours = [], _column(found, "oscillators", "bits")
    for bits, published, bound in ((8, "0.17 % worse", 1.0), (4, "“robust”, not measured", 5.0)):
        worse = [
            100 * (q / b - 1)
            for q, b in zip(_column(found, "oscillators", f"int{bits}"), ours, strict=True)
        ]
        cost = paired(worse, [0.0] * len(worse))
        rows.append(
            Row(
                f"Robust to {bits} bits, round to nearest (less than {bound:g} % worse)",
                SOURCE if bits == 8 else "news digest",
                published,
                f"{cost:.2f} % worse",
                at_most(cost, bound),
            )
        )
    return rows


def _longer(found: dict[Any, list[dict[str, Any]]]) -> list[Row]:
    """Bits per byte beyond the trained length above those in its second half."""

    def rise(kind: str) -> list[float]:
        courses = [np.array(entry["course"]) for entry in found[kind]]
        return [float(c[4:].mean() - c[2:4].mean()) for c in courses]

    own = paired(rise("oscillators"), [0.0] * len(found["oscillators"]))
    gain = paired(rise("positions"), rise("oscillators"))
    return [
        Row(
            "No worse beyond the trained length, up to four times (bits per byte more than within)",
            "news digest",
            "“resists temporal aliasing”",
            f"{own:+.3f}",
            at_most(own, 0.02),
        ),
        Row(
            "It stands longer text better than positions do (their rise above its)",
            "news digest",
            "no figure",
            f"{gain:+.3f}",
            judge(gain, 0.02),
        ),
    ]


CAPTION = (
    "Left: frequency and damping ratio of the oscillators, to begin with (line) and learned, "
    "every seed. Right: bits per byte along text four times as long as any trained on."
)


def _figure(found: dict[Any, list[dict[str, Any]]], sizes: Sizes) -> Figure:
    figure = Figure((11, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axhline(0.5, color="0.6", lw=1)
    for entry in found["oscillators"]:
        left.semilogx(entry["omega"], entry["damping_ratio"], "o", ms=4, alpha=0.6)
    left.set(xlabel="ω / rad per token", ylabel="damping ratio ζ")
    left.set_xticks(marks := [0.2, 0.5, 1, 2], [f"{mark:g}" for mark in marks])
    left.set_xticks([], minor=True)
    places = (np.arange(16) + 0.5) * sizes.schedule.block / 4
    for kind in KINDS:
        right.plot(places, np.mean(_column(found, kind, "course"), axis=0), "o-", ms=3, label=kind)
    right.axvline(sizes.schedule.block, color="0.7", ls="--")
    right.set(xlabel="token (trained up to the dashed line)", ylabel="bits per byte")
    right.legend(frameon=False)
    return figure


def _notes(run: Run, sizes: Sizes, content: Text) -> str:
    config, schedule = sizes.config, sizes.schedule
    return f"""\
{config.oscillators} oscillators, {config.layers} layers, {content.vocabulary:,} byte pairs,
{schedule.steps} steps of {schedule.batch} × {schedule.block} tokens (published: 192, 12, 1,024,
40,000 steps of 512 × 1,024 on FineWeb), Muon and AdamW as published. *Positions*: the same model
with a sinusoidal position beside each token's drive, {2 * config.oscillators} numbers less. What a
few hundred steps cannot show: the published bits per byte, and what longer training would make of
the oscillators. `resonance lab serve {run.folder.name}/language.pt` talks with the first seed."""
