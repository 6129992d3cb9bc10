"""The keyword spotter: band levels of the bank in, words out, two frames at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from resonance.models.attention import OscillatorAttention, SoftmaxAttention, Synchronisation
from resonance.models.stem import CausalStem, ResonantStem
from resonance.models.training import load_checkpoint

CORE_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "_unknown_", "_silence_"
LABELS = (*CORE_WORDS, UNKNOWN, SILENCE)
#: What training distinguishes besides the core words; all but the last count as unknown.
OTHERS = (
    "bed",
    "bird",
    "cat",
    "dog",
    "eight",
    "five",
    "follow",
    "four",
    "happy",
    "house",
    "learn",
    "nine",
    "one",
    "sheila",
    "six",
    "three",
    "tree",
    "two",
    "wow",
    UNKNOWN,
    SILENCE,
)
CLASSES = (*CORE_WORDS, *OTHERS)
#: Never trained on: words to learn from a few recordings, to measure that with.
CUSTOM_WORDS = ("backward", "forward", "marvin", "seven", "visual", "zero")
#: The same, and those of wake-word recordings.
NEVER_TRAINED = frozenset((*CUSTOM_WORDS, "alexa", "computer", "jarvis", "snowboy", "smart_mirror"))
#: Frames that go in at once; they make one token.
STEP_FRAMES = 2
#: Features and oscillators of a resonant stem: about the weights of the convolutional one.
RESONANT_WIDTH = 32
#: Stretches of the second that the embedding keeps apart.
SEGMENTS = 4


@dataclass(frozen=True)
class SpotterConfig:
    """Sizes of a spotter."""

    classes: tuple[str, ...] = CLASSES
    bands: int = 40
    frame_s: float = 0.016
    tokens: int = 31  #: attended to: of two frames each, one second
    channels: tuple[int, int, int] | None = (24, 36, 48)  #: of the stem; None: linear
    stem: Literal["convolution", "resonance"] = "convolution"
    width: int = 80
    heads: int = 4
    layers: int = 2
    expansion: int = 2  #: of the feed-forward part
    attention: Literal["oscillator", "softmax"] = "oscillator"
    d_osc: int = 2
    exponent: int = 2
    coupling: Literal["relu", "softplus"] = "relu"
    normalise_anchors: bool = True
    position: Literal["none", "sinusoidal", "learned"] = "sinusoidal"
    dropout: float = 0.1


#: The published one-layer model (14,446 parameters; 14,250 with softmax attention).
PUBLISHED = SpotterConfig(
    classes=CORE_WORDS,
    frame_s=0.02,
    tokens=49,
    channels=None,
    width=32,
    heads=2,
    layers=1,
    expansion=4,
    exponent=1,
    coupling="softplus",
    normalise_anchors=False,
    position="none",
)


class SpotterOutput(NamedTuple):
    """What the spotter makes of the last second."""

    scores: Tensor  #: of each class [batch, classes]
    embedding: Tensor  #: course of the second, for custom words [batch, SEGMENTS · width]
    view: Synchronisation | None  #: how the last layer settled; None with softmax


class LinearInlet(nn.Module):
    """Every frame a token of its own, as published."""

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(bands, width)

    def first_past(self, batch: int = 1) -> list[Tensor]:
        """Nothing to remember."""
        return []

    def forward(self, frames: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[batch, frames, bands] → [batch, frames, width]."""
        return self.map(frames), past


class Layer(nn.Module):
    """Attention and feed-forward part, each normalised before and added after."""

    def __init__(self, config: SpotterConfig) -> None:
        super().__init__()
        width = config.width
        self.attention_norm = nn.LayerNorm(width)
        self.attention: OscillatorAttention | SoftmaxAttention
        if config.attention == "oscillator":
            self.attention = OscillatorAttention(
                width,
                config.heads,
                config.tokens,
                d_osc=config.d_osc,
                exponent=config.exponent,
                coupling=config.coupling,
                normalise_anchors=config.normalise_anchors,
            )
        else:
            self.attention = SoftmaxAttention(width, config.heads)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, config.expansion * width),
            nn.GELU(),
            nn.Linear(config.expansion * width, width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Synchronisation | None]:
        """[batch, tokens, width] → the same shape, and how the oscillators settled."""
        view = None
        if isinstance(self.attention, OscillatorAttention):
            attended, view = self.attention.synchronise(self.attention_norm(x))
        else:
            attended = self.attention(self.attention_norm(x))
        x = x + self.dropout(attended)
        return x + self.dropout(self.feed(self.feed_norm(x))), view


class KeywordSpotter(nn.Module):
    """Which keyword the last second of band levels holds.

    The stem turns frames into tokens as they come; the last ``tokens`` of them attend to each
    other. The state is what the stem remembers, and the tokens.
    """

    position: Tensor

    def __init__(self, config: SpotterConfig) -> None:
        super().__init__()
        self.config = config
        self.inlet = _inlet(config)
        self.dropout = nn.Dropout(config.dropout)
        code = torch.zeros(config.tokens, config.width)
        if config.position == "sinusoidal":
            code = sinusoids(config.tokens, config.width)
        if config.position == "learned":
            self.position = nn.Parameter(0.1 * torch.randn_like(code))
        else:
            self.register_buffer("position", code, persistent=False)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.head = nn.Linear(config.width, len(config.classes))

    def forward(self, frames: Tensor) -> Tensor:
        """Normalised log levels [batch, frames, bands] → scores of the classes at the end."""
        return self.listen(frames, self.first_state(len(frames)))[0].scores

    def listen(self, frames: Tensor, state: list[Tensor]) -> tuple[SpotterOutput, list[Tensor]]:
        """Outputs for the last second after more frames [batch, frames, bands], and the state."""
        *past, tokens = state
        new, past = self.inlet(frames, past)
        tokens = torch.cat([tokens, new], 1)[:, -self.config.tokens :]
        scores, view = self.attend(tokens)
        return SpotterOutput(scores, course(tokens), view), [*past, tokens]

    def seconds(self, frames: Tensor) -> Tensor:
        """Tokens of the second before every step of one sound [steps, tokens, width].

        Of frames [1, frames, bands], from a fresh start.
        """
        tokens, _ = self.inlet(frames, self.inlet.first_past())
        size = self.config.tokens
        padded = nn.functional.pad(tokens[0], (0, 0, size - 1, 0))
        return padded.unfold(0, size, 1).transpose(1, 2)

    def attend(self, tokens: Tensor) -> tuple[Tensor, Synchronisation | None]:
        """Tokens of a second [batch, tokens, width] → scores and the view."""
        x, view = self.dropout(tokens) + self.position, None
        for layer in self.layers:
            x, view = layer(x)
        return self.head(x.mean(1)), view

    def first_state(self, batch: int = 1) -> list[Tensor]:
        """At rest."""
        tokens = torch.zeros(batch, self.config.tokens, self.config.width)
        return [*self.inlet.first_past(batch), tokens]


def _inlet(config: SpotterConfig) -> CausalStem | ResonantStem | LinearInlet:
    if config.channels is None:
        return LinearInlet(config.bands, config.width)
    if config.stem == "resonance":
        return ResonantStem(
            config.bands, config.channels[0], RESONANT_WIDTH, config.width, config.frame_s
        )
    return CausalStem(config.bands, config.channels, config.width, config.dropout)


def course(tokens: Tensor) -> Tensor:
    """Means of SEGMENTS equal stretches of the tokens [batch, SEGMENTS · width], oldest first.

    Taken before the attention, which knows only the trained words.
    """
    return torch.cat([part.mean(1) for part in tokens.tensor_split(SEGMENTS, 1)], -1)


def label_scores(scores: Tensor) -> Tensor:
    """Scores of CLASSES [..., classes] → of LABELS: all that is neither word nor silence as one."""
    words = len(CORE_WORDS)
    unknown = scores[..., words:-1].logsumexp(-1, keepdim=True)
    return torch.cat([scores[..., :words], unknown, scores[..., -1:]], -1)


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
