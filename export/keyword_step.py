"""The spotter's step written for speed: the same trained maps, multiplied out.

``dsp/keyword_step.py`` runs its weights as one compiled loop; the file as it is serves quantised
weights and other programs. There, what costs time is many small products, and moving numbers about.
So two frames are the rows of every product, channels are convolved over bands in a few groups
instead of one by one, what time does is one map, and queries, keys and values are made lying down,
so that heads need no transposing. ``prove`` in ``export/keywords.py`` compares both with the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import click
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.dsp.keyword_kernels import LEAST_COUPLING, SOFTENING
from resonance.dsp.simd import LANES
from resonance.models.attention import OscillatorAttention, Synchronisation
from resonance.models.keywords import CORE_WORDS, SEGMENTS, STEP_FRAMES, KeywordSpotter, Layer
from resonance.models.stem import BroadcastBlock, CausalStem, Inlet

#: Channels are convolved over bands in groups that have at most so many bands together.
GROUPED = 40


def affine_map(f: Callable[[Tensor], Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Matrices [channels, size, outputs] and offsets [channels, 1, outputs] of an affine ``f``.

    ``f`` maps [batch, size], the same for all channels, to [batch, channels, outputs].
    """
    answers = f(torch.cat([torch.zeros(1, size), torch.eye(size)])).transpose(0, 1)
    offset = answers[:, :1]
    return answers[:, 1:] - offset, offset


def scale_and_offset(norm: Any) -> tuple[Tensor, Tensor]:
    """What batch normalisation does once trained, each [channels]."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - scale * norm.running_mean


class InletStep(nn.Module):
    """:class:`resonance.models.stem.Inlet` on [1, frames, bands], normalisation folded in."""

    def __init__(self, inlet: Inlet) -> None:
        super().__init__()
        scale, offset = scale_and_offset(inlet.norm)
        kernel = inlet.kernel - inlet.kernel.mean((2, 3), keepdim=True)
        self.kernel = nn.Parameter((kernel * scale[:, None, None, None]).transpose(2, 3))
        self.bias = nn.Parameter(offset)

    def forward(self, frames: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[1, 2, bands], past [1, 4, bands] → [2, channels, bands / 2]; new past."""
        x = torch.cat([past, frames], 1)
        padded = F.pad(x, (2, 2), mode="replicate")[None]
        y = F.relu(F.conv2d(padded, self.kernel, self.bias, stride=(1, 2)))
        return y[0].transpose(0, 1), x[:, STEP_FRAMES:]


class BlockStep(nn.Module):
    """:class:`resonance.models.stem.BroadcastBlock` on [2, channels, bands]; its past lies flat."""

    def __init__(self, block: BroadcastBlock, bands: int) -> None:
        super().__init__()
        self.change = None if block.residual else FoldedChange(block)
        self.channels = block.over_time.in_channels
        self.past = block.past_frames * self.channels

        def over_bands(rows: Tensor) -> Tensor:
            x = rows[:, None, :, None].expand(-1, self.channels, -1, -1)
            spread = block.norm(block.over_bands(x))[..., 0]
            average = spread.mean(2, keepdim=True)
            return torch.cat([spread + x[..., 0] if block.residual else spread, average], 2)

        def over_time(rows: Tensor) -> Tensor:
            averages = rows[:, None].expand(-1, self.channels, -1)
            return block.time_norm(block.over_time(averages))  # type: ignore[no-any-return]

        each = math.gcd(self.channels, max(1, GROUPED // bands))
        maps, offsets = (m.unflatten(0, (-1, each)) for m in affine_map(over_bands, bands))
        self.over_bands = nn.Parameter(torch.stack([_side_by_side(group) for group in maps]))
        self.spread = each * (maps.shape[-1] - 1)
        spread, average = offsets[..., :-1].flatten(1), offsets[..., -1].flatten(1)
        self.offset = nn.Parameter(torch.cat([spread, average], 1)[:, None])
        time, offset = affine_map(over_time, block.past_frames + STEP_FRAMES)
        dense = torch.diag_embed(time.permute(2, 1, 0))  # [2, frames, channels, channels]
        self.over_time = nn.Parameter(dense.permute(1, 2, 0, 3).flatten(2).flatten(0, 1))
        self.time_offset = nn.Parameter(offset[:, 0].T.reshape(-1))
        self.mix = nn.Parameter(block.mix.weight[..., 0].T)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[2, before, bands], past [1, past_frames · channels] → y; new past."""
        if self.change is not None:
            x = self.change(x)
        groups, size, _ = self.over_bands.shape
        y = x.reshape(STEP_FRAMES, groups, 1, size) @ self.over_bands + self.offset
        spread, average = y.split([self.spread, y.shape[-1] - self.spread], -1)
        averages = torch.cat([past, average.reshape(1, -1)], 1)
        timed = F.silu(torch.addmm(self.time_offset, averages, self.over_time))
        timed = timed.reshape(STEP_FRAMES, -1) @ self.mix
        spread = spread.reshape(STEP_FRAMES, self.channels, -1)
        return F.relu(spread + timed[..., None]), averages[:, -self.past :]


class FoldedChange(nn.Module):
    """The change of channels before a block, normalisation folded in."""

    def __init__(self, block: BroadcastBlock) -> None:
        super().__init__()
        conv, norm, _ = (cast(Any, part) for part in cast(nn.Sequential, block.change))
        scale, offset = scale_and_offset(norm)
        self.weight = nn.Parameter(conv.weight[..., 0, 0] * scale[:, None])
        self.bias = nn.Parameter(offset[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """[2, before, bands] → [2, after, bands]."""
        return F.relu(self.weight @ x + self.bias)


def _side_by_side(maps: Tensor) -> Tensor:
    """Maps [channels, bands, outputs + 1] → one of all, the last output of each at the end."""
    spread, average = (torch.block_diag(*part) for part in (maps[..., :-1], maps[..., -1:]))
    return torch.cat([spread, average], 1)


class AttentionStep(nn.Module):
    """:class:`resonance.models.attention.OscillatorAttention` on tokens [tokens, width].

    Drives carry the softening as one more dimension. Nearness is left undivided by the length of
    the drive, which the attention's own normalisation takes out again.
    """

    def __init__(self, attention: OscillatorAttention) -> None:
        super().__init__()
        self.heads, self.out, self.exponent = attention.heads, attention.out, attention.exponent
        relu = attention.coupling == "relu"
        self.couple: Callable[[Tensor], Tensor] = F.relu if relu else F.softplus
        self.rest = LEAST_COUPLING if relu else 0.0
        query = attention.query.weight / math.sqrt(self.out.in_features // self.heads)
        self.maps = nn.Parameter(torch.cat([query, attention.key.weight, attention.value.weight]))
        self.free = not attention.normalise_anchors
        anchors: Tensor = attention.anchors
        if not self.free:
            anchors = F.normalize(anchors, dim=-1)
        self.anchors = nn.Parameter(anchors)
        self.pulls = nn.Parameter(F.pad(anchors, (0, 1)))
        self.toward = nn.Parameter(self.pulls.transpose(1, 2))
        least = F.pad(self.rest * anchors.sum(1, keepdim=True), (0, 1), value=SOFTENING)
        self.least = nn.Parameter(least)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """[tokens, width] → the same shape, and drive, its length, coupling, weights."""
        lying = (self.maps @ x.T).reshape(3 * self.heads, -1, len(x))
        q, k, v = torch.split(lying, self.heads)
        coupling = self.couple(q.transpose(1, 2) @ k)
        drive = coupling @ self.pulls + self.least
        length = drive.norm(dim=-1, keepdim=True)
        nearness = length + drive @ self.toward
        if self.free:
            nearness = F.relu(nearness)  # free anchors may be longer than 1
        nearness = nearness * nearness if self.exponent == 2 else nearness**self.exponent
        weights = nearness / nearness.sum(-1, keepdim=True)
        joined = (v @ weights.transpose(1, 2)).reshape(-1, len(x))
        return self.out(joined.T), (drive, length, coupling, weights)

    def view(
        self, drive: Tensor, length: Tensor, coupling: Tensor, weights: Tensor
    ) -> Synchronisation:
        """What the window draws, with the batch it is used to.

        Parameters
        ----------
        drive, length, coupling, weights
            The second result of :meth:`forward`.

        Returns
        -------
        Synchronisation
            With a batch of 1.
        """
        free = drive[None, ..., :-1]
        pull = free.norm(dim=-1)
        order = pull / (coupling.sum(-1) + self.rest * coupling.shape[-1])
        return Synchronisation(free / length, self.anchors, order, pull, weights[None])


class LayerStep(nn.Module):
    """:class:`resonance.models.keywords.Layer` on tokens [tokens, width], but for its last map."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if not isinstance(layer.attention, OscillatorAttention):
            raise click.ClickException(
                "only oscillator attention can be exported: softmax has nothing to show"
            )
        self.attention = AttentionStep(layer.attention)
        self.attention_norm, self.feed_norm = layer.attention_norm, layer.feed_norm
        self.inside, self.last = layer.feed[:2], layer.feed[2]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """[tokens, width] → with attention added, inside of the feed-forward part, the view."""
        attended, seen = self.attention(self.attention_norm(x))
        x = x + attended
        return x, self.inside(self.feed_norm(x)), seen


class SpotterStep(nn.Module):
    """Two frames a call, with what the view shows."""

    blocks: Sequence[BlockStep]
    layers: Sequence[LayerStep]

    @torch.no_grad()
    def __init__(self, model: KeywordSpotter) -> None:
        super().__init__()
        stem, self.config = model.inlet, model.config
        if not isinstance(stem, CausalStem):
            raise click.ClickException("only spotters with the convolutional stem can be exported")
        self.inlet = InletStep(stem.inlet)
        bands, blocks = stem.bands // 2, []
        for block in stem.blocks:
            assert isinstance(block, BroadcastBlock)
            blocks.append(BlockStep(block, bands))
            bands //= block.over_bands.stride[0]
        self.blocks = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.outlet = stem.outlet
        self.position = nn.Parameter(model.position)
        layers = [LayerStep(cast(Layer, layer)) for layer in model.layers]
        self.layers = nn.ModuleList(layers)  # type: ignore[assignment]
        self._prepare_head(model)

    def _prepare_head(self, model: KeywordSpotter) -> None:
        """The last map of the last layer, and the head: both after the mean of the tokens."""
        tokens, head = self.config.tokens, model.head
        last = cast(nn.Linear, self.layers[-1].last)
        self.head = nn.Parameter(torch.cat([head.weight, head.weight @ last.weight], 1))
        self.head_bias = nn.Parameter(head.bias + head.weight @ last.bias)
        self.layers[-1].last = nn.Identity()
        self.mean = nn.Parameter(torch.full((1, tokens), 1 / tokens))
        parts = torch.eye(tokens).tensor_split(SEGMENTS)
        self.stretches = nn.Parameter(torch.stack([part.mean(0) for part in parts]))
        classes, words = len(self.config.classes), len(CORE_WORDS)
        label = torch.tensor([*range(words), *[words] * (classes - words - 1), words + 1])
        self.labels = nn.Parameter(F.one_hot(label).float())

    @property
    def shown(self) -> bool:
        """Whether the compiled loop can run its weights: it knows what ships, no variants."""
        config = self.config
        usual = config.coupling == "relu" and config.exponent == 2 and config.normalise_anchors
        return usual and config.width % LANES == 0

    def first_state(self) -> list[Tensor]:
        """At rest."""
        past = [torch.zeros(1, block.past) for block in self.blocks]  # type: ignore[arg-type]
        inlet = torch.zeros(1, Inlet.past_frames, self.config.bands)
        return [inlet, *past, torch.zeros(self.config.tokens, self.config.width)]

    def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Frames [1, 2, bands] and the state → logits, embedding, view, and the new state."""
        x, after = self.inlet(frames, state[0])
        new = [after]
        for block, past in zip(self.blocks, state[1:], strict=False):
            x, after = block(x, past)
            new.append(after)
        tokens = torch.cat([state[-1][1:], self.outlet(x.reshape(1, -1))])
        y = tokens + self.position
        for layer in self.layers[:-1]:
            y, inside, _ = layer(y)
            y = y + layer.last(inside)
        y, inside, seen = self.layers[-1](y)
        means = torch.cat([self.mean @ y, self.mean @ inside], 1)
        scores = F.linear(means, self.head, self.head_bias)
        logits = torch.log(scores.softmax(-1) @ self.labels)
        embedding = (self.stretches @ tokens).reshape(1, -1)
        settled, anchors, order, pull, weights = self.layers[-1].attention.view(*seen)
        return logits, embedding, settled, anchors + 0.0, order, pull, weights, *new, tokens
