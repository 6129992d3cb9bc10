"""The keyword spotter: pooled bank energies over one second in, words out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from models.attention import OscillatorAttention, SoftmaxAttention, Synchronisation
from models.training import load_checkpoint

CORE_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
#: Frames between evaluations of the window while streaming.
STRIDE = 3
UNKNOWN, SILENCE = "_unknown_", "_silence_"
LABELS = (*CORE_WORDS, UNKNOWN, SILENCE)


@dataclass(frozen=True)
class SpotterConfig:
    """Sizes of a spotter."""

    labels: tuple[str, ...] = LABELS
    bands: int = 40
    frames: int = 62  #: of 16 ms: one second
    frame_s: float = 0.016
    stem: int = 3  #: convolutional blocks before the attention; 0: none, frames go in as they are
    width: int = 96
    heads: int = 4
    layers: int = 2
    expansion: int = 2  #: of the feed-forward part
    attention: Literal["oscillator", "softmax"] = "oscillator"
    d_osc: int = 2
    exponent: int = 2
    coupling: Literal["relu", "softplus"] = "relu"
    normalise_anchors: bool = True
    position: Literal["none", "sinusoidal"] = "sinusoidal"
    level_free: bool = True  #: subtract the window's mean level
    dropout: float = 0.1


#: The published one-layer model (14,446 parameters; 14,250 with softmax attention).
PUBLISHED = SpotterConfig(
    labels=CORE_WORDS, frames=49, frame_s=0.02, stem=0, width=32, heads=2, layers=1, expansion=4,
    exponent=1, coupling="softplus", normalise_anchors=False, position="none", level_free=False,
)  # fmt: skip


class TimeBlock(nn.Module):
    """Depthwise convolution over time and a mix across channels, added to the input."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=width, bias=False
        )
        self.pointwise = nn.Conv1d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, width, frames] → the same shape."""
        return x + nn.functional.silu(self.norm(self.pointwise(self.depthwise(x))))


class Stem(nn.Module):
    """Convolutions over time; halves the frames."""

    def __init__(self, config: SpotterConfig) -> None:
        super().__init__()
        self.inlet = nn.Conv1d(config.bands, config.width, 5, padding=2, bias=False)
        self.norm = nn.BatchNorm1d(config.width)
        self.blocks = nn.Sequential(
            *(TimeBlock(config.width, 9 + 2 * i) for i in range(config.stem))
        )
        self.outlet = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frames, bands] → [batch, ceil(frames / 2), width]."""
        x = nn.functional.silu(self.norm(self.inlet(x.transpose(1, 2))))
        return self.outlet(self.blocks(x)).transpose(1, 2)  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention and feed-forward part, each normalised before and added after."""

    def __init__(self, config: SpotterConfig, frames: int) -> None:
        super().__init__()
        width = config.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention: OscillatorAttention | SoftmaxAttention
        if config.attention == "oscillator":
            self.attention = OscillatorAttention(
                width, config.heads, frames, d_osc=config.d_osc, exponent=config.exponent,
                coupling=config.coupling, normalise_anchors=config.normalise_anchors,
            )  # fmt: skip
        else:
            self.attention = SoftmaxAttention(width, config.heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, config.expansion * width), nn.GELU(),
            nn.Linear(config.expansion * width, width),
        )  # fmt: skip
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frames, width] → the same shape."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed(self.feed_norm(x)))  # type: ignore[no-any-return]

    def synchronise(self, x: Tensor) -> tuple[Tensor, Synchronisation]:
        """:meth:`forward` (without dropout), and how the oscillators settled."""
        if not isinstance(self.attention, OscillatorAttention):
            raise TypeError("only oscillator attention synchronises; this layer has softmax")
        attended, view = self.attention.synchronise(self.attention_norm(x))
        x = x + attended
        return x + self.feed(self.feed_norm(x)), view


class KeywordSpotter(nn.Module):
    """Which keyword a window of pooled bank energies holds."""

    position: Tensor

    def __init__(self, config: SpotterConfig) -> None:
        super().__init__()
        self.config = config
        frames = (config.frames + 1) // 2 if config.stem else config.frames
        self.inlet = Stem(config) if config.stem else nn.Linear(config.bands, config.width)
        self.dropout = nn.Dropout(config.dropout)
        if config.position == "sinusoidal":
            self.register_buffer("position", sinusoids(frames, config.width), persistent=False)
        self.layers = nn.ModuleList(Layer(config, frames) for _ in range(config.layers))
        self.head = nn.Linear(config.width, len(config.labels))

    def forward(self, window: Tensor) -> Tensor:
        """Normalised log powers [batch, frames, bands] → logits [batch, labels]."""
        x = self._enter(window)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))  # type: ignore[no-any-return]

    def explain(self, window: Tensor) -> tuple[Tensor, Tensor, Synchronisation]:
        """Logits [batch, labels], embedding [batch, width], the last layer's synchronisation."""
        x = self._enter(window)
        for layer in self.layers:
            x, view = cast("Layer", layer).synchronise(x)
        embedding = x.mean(1)
        return self.head(embedding), embedding, view

    def _enter(self, window: Tensor) -> Tensor:
        if self.config.level_free:
            window = window - window.mean((1, 2), keepdim=True)
        x = self.dropout(self.inlet(window))
        return x + self.position if self.config.position == "sinusoidal" else x


def sinusoids(frames: int, width: int) -> Tensor:
    """Fixed positional code [frames, width] (Vaswani et al. 2017)."""
    angle = torch.arange(frames)[:, None] * torch.exp(
        torch.arange(0, width, 2) * (-math.log(10000.0) / width)
    )
    return torch.stack([torch.sin(angle), torch.cos(angle)], -1).flatten(-2)


def load(path: Path) -> tuple[KeywordSpotter, dict[str, Any]]:
    """A saved spotter, ready to use, and what was saved along with it."""
    saved = load_checkpoint(path)
    model = KeywordSpotter(SpotterConfig(**saved.pop("config")))
    model.load_state_dict(saved.pop("weights"))
    return model.eval(), saved
