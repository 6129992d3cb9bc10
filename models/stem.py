"""The spotter's ear: small convolutions over bands and time that never look ahead.

Broadcasted residual blocks (Kim et al. 2021, BC-ResNet), made causal: what a block knows of the
past is a few frames of its band average, so it can run two frames at a time for ever.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.models import stem_passes
from resonance.models.resonant import ResonantLayer

#: Sub-bands that are normalised on their own (Chang et al. 2021).
SUB_BANDS = 5
KERNEL = 3


def compiled_training(part: nn.Module, x: Tensor) -> bool:
    """Whether compiled passes, twice as fast, can do it: in training, on the CPU, in 32 bits."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32
    return part.training and plain and not torch.is_autocast_enabled("cpu")


class SubBandNorm(nn.Module):
    """Batch normalisation of each channel in each of SUB_BANDS parts of the frequency axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * SUB_BANDS)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, bands, frames] → the same shape; bands a multiple of SUB_BANDS."""
        batch, channels, bands, frames = x.shape
        parts = x.reshape(batch, channels * SUB_BANDS, bands // SUB_BANDS, frames)
        return self.norm(parts).reshape(batch, channels, bands, frames)  # type: ignore[no-any-return]


class Inlet(nn.Module):
    """First convolution, over 5 bands and 5 frames, halving the bands.

    Its kernels sum to zero: a louder or softer sound of the same shape looks exactly alike.
    """

    past_frames = 4

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(channels, 1, 5, 5))
        nn.init.kaiming_normal_(self.kernel, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, 1, bands, frames], past [batch, 1, bands, 4] → half the bands; new past."""
        x = torch.cat([past, x], -1)
        kernel = self.kernel - self.kernel.mean((2, 3), keepdim=True)
        padded = F.pad(x, (0, 0, 2, 2), mode="replicate")
        if compiled_training(self, x):
            windows = padded[:, 0].unfold(1, 5, 2).unfold(2, 5, 1).permute(0, 3, 4, 1, 2)
            y = stem_passes.mix_channels(windows.flatten(1, 2), kernel.flatten(1))
            y, _ = stem_passes.normalise(y, self.norm, rectify=True)
        else:
            y = F.relu(self.norm(F.conv2d(padded, kernel, stride=(2, 1))))
        return y, x[..., -self.past_frames :]


class BroadcastBlock(nn.Module):
    """Depthwise convolution over bands, then one over time on the bands' average, added to all.

    Parameters
    ----------
    before, after
        Channels in and out; equal: the input is added to the output.
    stride
        Of the bands.
    dilation
        Frames between the taps over time.
    """

    def __init__(self, before: int, after: int, stride: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.residual = before == after and stride == 1
        self.past_frames = (KERNEL - 1) * dilation
        self.change = (
            nn.Identity()
            if self.residual
            else nn.Sequential(
                nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
        )
        self.over_bands = nn.Conv2d(
            after,
            after,
            (KERNEL, 1),
            stride=(stride, 1),
            padding=(KERNEL // 2, 0),
            groups=after,
            bias=False,
        )
        self.norm = SubBandNorm(after)
        self.over_time = nn.Conv1d(
            after, after, KERNEL, dilation=dilation, groups=after, bias=False
        )
        self.time_norm = nn.BatchNorm1d(after)
        self.mix = nn.Conv1d(after, after, 1, bias=False)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, before, bands, frames], past [batch, after, past_frames] → y; new past."""
        spread, mean = self._spread(x)
        average = torch.cat([past, mean], -1)
        return self.joined(x, spread, average), average[..., -self.past_frames :]

    def _spread(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the bands say [batch, after, bands / stride, frames], and its mean over them."""
        if not compiled_training(self, x):
            spread = self.norm(self.over_bands(self.change(x)))
            return spread, spread.mean(2)
        if not self.residual:
            conv, norm, _ = cast(Any, self.change)
            x = stem_passes.mix_channels(x, conv.weight.flatten(1))
            x, _ = stem_passes.normalise(x, norm, rectify=True)
        x = stem_passes.convolve(x, self.over_bands.weight, self.over_bands.stride[0])
        return stem_passes.normalise(x, self.norm.norm, SUB_BANDS)

    def joined(self, x: Tensor, spread: Tensor, average: Tensor) -> Tensor:
        """The input, what the bands say, and what the band average says over time, added up.

        ``average`` [batch, after, frames + past_frames] gives as many frames as ``spread`` has.

        Parameters
        ----------
        x
            Input [batch, channels, bands, frames].
        spread
            From the bands, shaped like the output.
        average
            Mean over bands [batch, after, frames + past_frames].

        Returns
        -------
        Tensor
            Their sum.
        """
        timed = self.dropout(self.mix(F.silu(self.time_norm(self.over_time(average)))))
        if compiled_training(self, x):
            return stem_passes.join(spread, timed, x if self.residual else None)
        y = spread + timed[:, :, None]
        return F.relu(y + x if self.residual else y)


class CausalStem(nn.Module):
    """Frames of band levels in, one token for every two frames out.

    Parameters
    ----------
    bands
        Of a frame, a multiple of 8 · SUB_BANDS.
    channels
        Of the three stages.
    width
        Of the tokens.
    """

    def __init__(
        self, bands: int, channels: tuple[int, int, int], width: int, dropout: float
    ) -> None:
        super().__init__()
        if bands % (8 * SUB_BANDS):
            raise ValueError(f"{bands} bands are no multiple of {8 * SUB_BANDS}")
        self.bands = bands
        a, b, c = channels
        self.inlet = Inlet(a)
        self.blocks = nn.ModuleList(
            [
                BroadcastBlock(a, a, 1, 1, dropout),
                BroadcastBlock(a, a, 1, 1, dropout),
                BroadcastBlock(a, b, 2, 2, dropout),
                BroadcastBlock(b, b, 1, 2, dropout),
                BroadcastBlock(b, c, 2, 4, dropout),
                BroadcastBlock(c, c, 1, 4, dropout),
            ]
        )
        self.outlet = nn.Linear(2 * c * bands // 8, width)

    def first_past(self, batch: int = 1) -> list[Tensor]:
        """What is remembered at the start: nothing."""
        past = [torch.zeros(batch, 1, self.bands, self.inlet.past_frames)]
        for block in self.blocks:
            channels = block.over_time.in_channels  # type: ignore[union-attr]
            past.append(torch.zeros(batch, int(channels), int(block.past_frames)))  # type: ignore[arg-type]
        return past

    def forward(self, frames: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[batch, frames (even), bands] → tokens [batch, frames / 2, width]; new past."""
        x, after = self.inlet(frames.transpose(1, 2)[:, None], past[0])
        new = [after]
        for block, before in zip(self.blocks, past[1:], strict=True):
            x, after = block(x, before)
            new.append(after)
        pairs = x.permute(0, 3, 1, 2).reshape(len(x), frames.shape[1] // 2, -1)
        return self.outlet(pairs), new


class ResonantStem(nn.Module):
    """The same first convolution, and slow oscillators over frames as the only memory after it.

    Parameters
    ----------
    bands
        Of a frame, even.
    channels
        Of the first convolution.
    inner
        Features and slow oscillators of each layer.
    width
        Of the tokens.
    frame_s
        Time between frames, s.
    """

    def __init__(self, bands: int, channels: int, inner: int, width: int, frame_s: float) -> None:
        super().__init__()
        self.bands, self.inner = bands, inner
        self.inlet = Inlet(channels)
        self.spread = nn.Linear(channels * bands // 2, inner)
        self.layers = nn.ModuleList(ResonantLayer(inner, inner, frame_s) for _ in range(2))
        self.outlet = nn.Linear(2 * inner, width)

    def first_past(self, batch: int = 1) -> list[Tensor]:
        """What is remembered at the start: nothing."""
        rest = [torch.zeros(batch, self.inner) for _ in range(2 * len(self.layers))]
        return [torch.zeros(batch, 1, self.bands, self.inlet.past_frames), *rest]

    def forward(self, frames: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[batch, frames (even), bands] → tokens [batch, frames / 2, width]; new past."""
        x, after = self.inlet(frames.transpose(1, 2)[:, None], past[0])
        x = self.spread(x.permute(0, 3, 1, 2).flatten(2))
        new = [after]
        for number, layer in enumerate(self.layers):
            state = past[1 + 2 * number], past[2 + 2 * number]
            outputs = []
            for frame in x.unbind(1):
                out, state = layer.step(frame, state)  # type: ignore[operator]
                outputs.append(out)
            x = torch.stack(outputs, 1)
            new += state
        return self.outlet(x.reshape(len(x), frames.shape[1] // 2, -1)), new
