"""The controller: from the features of every update to one complex gain per oscillator.

It is shaped like the bank. A token covers two neighbouring broad oscillators and the narrow
ones around them; every weight is shared along the bank, except a learned code for each place and
the matrices that couple the tokens. Levels count relative to how loud the last seconds were, so
that the same sound 50 dB quieter gets the same gains.

The tokens speak with every update, once a hop or more often. What they say steers a look outward
of each oscillator; that of the broad ones, which answer within a few milliseconds, is renewed with
every part of a hop, and so are their gains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.dsp.bank import FloatArray, OscillatorBank, hz_to_erb
from resonance.dsp.coupled import STATES
from resonance.dsp.features import FEATURE_NAMES, LOG_OFFSET, LOG_SCALE, SILENT_POWER
from resonance.models.bank import scan
from resonance.models.coupled import coupled
from resonance.models.equaliser import Equaliser

#: Where the differences of neighbours are among the features.
CONTRAST = FEATURE_NAMES.index("log_contrast")
#: Numbers that a look sees of features: an oscillator's own, and both neighbours' levels.
_AROUND = len(FEATURE_NAMES) + 2 * 2
#: One unit of a feature's level in dB.
DB_PER_UNIT = LOG_SCALE * 10.0 / math.log(10.0)


@dataclass(frozen=True)
class ControllerConfig:
    """Sizes of a controller."""

    group: int = 2  #: broad oscillators per token
    channels: int = 32  #: numbers per token
    layers: int = 12
    look: int = 12  #: numbers per oscillator, each way


class RunningLevel(nn.Module):
    """How loud the last seconds were: what the levels are compared with.

    The mean over the broad oscillators of ``log_contrast``, as a power, averaged over ``time_s``
    with the start's bias taken out (as in Adam): the first update is its own reference. Rises at
    once, falls by 4.3 dB per ``time_s``.
    """

    def __init__(self, update_s: float, time_s: float = 1.0) -> None:
        super().__init__()
        self.rate = update_s / time_s

    def forward(self, contrast: Tensor) -> Tensor:
        """Contrast [batch, updates, broad] → level in its units [batch, updates, 1]."""
        power, share = self._driven(contrast)
        still = torch.zeros_like(power)
        keep = torch.full_like(power, 1.0 - self.rate)
        return self._level(*(scan(keep, still, x, still)[0] for x in (power, share)))

    def _driven(self, contrast: Tensor) -> tuple[Tensor, Tensor]:
        power = torch.exp(contrast.mean(-1, keepdim=True) * LOG_SCALE + LOG_OFFSET)
        return self.rate * power, torch.full_like(power, self.rate)

    def _level(self, power: Tensor, share: Tensor) -> Tensor:
        return (torch.log(power / share + SILENT_POWER) - LOG_OFFSET) * (1.0 / LOG_SCALE)


class SlowLevels(nn.Module):
    """Averages of each oscillator's level over about 60 ms and 0.6 s: what is voice, what stays.

    ``h[t] = h[t-1] + rate (level - h[t-1])``, the rates learned.
    """

    def __init__(self, oscillators: int, update_s: float) -> None:
        super().__init__()
        rates = torch.tensor([update_s / 0.06, update_s / 0.6])
        self.rate = nn.Parameter(torch.logit(rates)[:, None].repeat(1, oscillators))

    def forward(self, levels: Tensor) -> Tensor:
        """Levels of all updates [batch, updates, oscillators] → averages, twice as many."""
        keep, drive = self._driven(levels)
        nothing = torch.zeros_like(keep)
        return scan(keep, nothing, drive, nothing)[0]

    def _driven(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        rate = torch.sigmoid(self.rate).flatten()
        drive = rate * torch.cat([levels, levels], -1)
        return (1.0 - rate).expand_as(drive), drive


class CoupledLayer(nn.Module):
    """Slow oscillators of each token over updates, mixed across the bank, read through a gate."""

    def __init__(self, channels: int, tokens: int, update_s: float, top_hz: float = 15.0) -> None:
        super().__init__()
        self.tokens, self.fused = tokens, False
        self.norm = nn.LayerNorm(channels)
        self.into = nn.Linear(channels, 5 * STATES)
        self.out = nn.Linear(2 * STATES, channels, bias=False)
        decay = update_s / torch.logspace(-2.3, math.log10(2.0), STATES)
        with torch.no_grad():
            self.out.weight.zero_()  # a new layer changes nothing
            self.into.bias.zero_()
            self.into.weight[2 * STATES : 3 * STATES].mul_(0.3)
            self.into.bias[2 * STATES : 3 * STATES].copy_(torch.log(torch.expm1(decay)))
        hz = torch.linspace(0.0, top_hz, STATES)[torch.randperm(STATES)]
        self.turn = nn.Parameter(2 * math.pi * update_s * hz)
        self.mix = nn.Parameter(
            torch.eye(tokens) + torch.randn(2, tokens, tokens) * 0.5 / math.sqrt(tokens)
        )

    def forward(self, x: Tensor) -> Tensor:
        """All updates at once [batch, updates, tokens, channels] → the same shape, from rest."""
        return coupled(
            x,
            self.norm.weight,
            self.norm.bias,
            self.into.weight,
            self.into.bias,
            self.turn,
            self.mix,
            self.out.weight,
            fused=self.fused,
        )


class Looks(nn.Module):
    """What each oscillator of a kind sees of itself and its neighbours, on the way in and out.

    Both looks are small networks shared by all oscillators, plus a learned code for each.
    """

    def __init__(self, oscillators: int, look: int) -> None:
        super().__init__()
        self.inward, self.outward = (nn.Linear(_AROUND + 2, look) for _ in range(2))
        self.code_inward, self.code_outward = (
            nn.Parameter(torch.zeros(oscillators, look)) for _ in range(2)
        )

    def look_in(self, features: Tensor, averages: Tensor) -> Tensor:
        """Look inward [..., oscillators, look].

        Parameters
        ----------
        features
            Of each oscillator [..., oscillators, 4].
        averages
            Fast and slow average of the level [..., oscillators, 2].

        Returns
        -------
        Tensor
            [..., oscillators, look].
        """
        return self.inward(torch.cat([_around(features), averages], -1)) + self.code_inward

    def look_out(self, features: Tensor, averages: Tensor) -> Tensor:
        """Look outward, from the same, of the same shape."""
        return self.outward(torch.cat([_around(features), averages], -1)) + self.code_outward


class Controller(nn.Module):
    """Features of every update in, gains (minus 1) and readings out.

    Parameters
    ----------
    config
        Sizes.
    bank
        The oscillators, the broad ones first.
    broad
        How many are broad.
    identity
        Identity weights of the broad ones [broad].
    update_s
        Time between updates, s.
    parts
        From one update to the next, after each of which gains are renewed.
    two_sided
        Whether the oscillators also run backwards in time.
    """

    up: Tensor
    down: Tensor

    def __init__(
        self,
        config: ControllerConfig,
        bank: OscillatorBank,
        broad: int,
        identity: NDArray[np.complex128],
        update_s: float,
        parts: int,
        *,
        two_sided: bool,
    ) -> None:
        super().__init__()
        self.broad, self.narrow, self.parts = broad, len(bank) - broad, parts
        self.tokens = broad // config.group
        look, channels = config.look, config.channels
        up, down = _between(bank, broad, self.tokens)
        self.register_buffer("up", torch.tensor(up, dtype=torch.float32), persistent=False)
        self.register_buffer("down", torch.tensor(down, dtype=torch.float32), persistent=False)
        self.level = RunningLevel(update_s)
        self.floor = SlowLevels(len(bank), update_s)
        self.broad_looks, self.narrow_looks = Looks(broad, look), Looks(self.narrow, look)
        self.part_look = nn.Linear(_AROUND, look, bias=False)
        nn.init.zeros_(self.part_look.weight)
        self.inlet = nn.Linear(look * config.group + look, channels)
        self.code = nn.Parameter(torch.randn(self.tokens, channels) * 0.3)
        self.layers = nn.ModuleList(
            CoupledLayer(channels, self.tokens, update_s) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(channels)
        self.guide_broad = nn.Linear(channels, config.group * look)
        self.guide_narrow = nn.Linear(channels, look)
        carriers = OscillatorBank(bank.f0_hz[:broad], bank.damping_ratio[:broad])
        self.equaliser = Equaliser(carriers, identity, two_sided=two_sided)
        self.say_broad = nn.Linear(look, self.equaliser.kinds + 2)
        self.say_narrow = nn.Linear(look, 2)
        for layer in (self.say_broad, self.say_narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.reading = nn.Linear(channels, 2)

    def forward(self, updates: Tensor, windows: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """Gains minus 1 for the part of a hop that follows, and readings of each update.

        Parameters
        ----------
        updates
            Features of the time of a hop up to each update [batch, updates, oscillators, 4].
        windows
            Features of the broad oscillators in the time of a hop up to the end of each part, from
            the first update on [batch, steps, broad, 4].
        parts
            Of that part alone, likewise.

        Returns
        -------
        tuple of Tensor
            Real and imaginary part [batch, steps, oscillators, 2], and readings
            [batch, updates, 2]: voice (logit) and noise level (dBFS).
        """
        level = self.level(updates[..., : self.broad, CONTRAST])
        updates = _relative(updates, level)
        averages = self.floor(updates[..., CONTRAST]).unflatten(-1, (2, -1)).transpose(-1, -2)
        x = self._tokens(updates, averages)
        for layer in self.layers:
            x = layer(x)
        return self._out(x, level, updates, averages, windows, parts)

    def fuse(self) -> None:
        """Compile what goes number by number: a training step takes a tenth less time.

        Needs a C++ compiler (on a GPU: Triton), and a minute the first time.
        """
        for layer in self.layers:
            layer.fused = True  # type: ignore[assignment]
        self._tokens = torch.compile(self._tokens, dynamic=False)  # type: ignore[method-assign]
        self._out = torch.compile(self._out, dynamic=False)  # type: ignore[method-assign]

    def _tokens(self, features: Tensor, averages: Tensor) -> Tensor:
        """Tokens [batch, updates, tokens, channels]."""
        n = self.broad
        broad = self.broad_looks.look_in(features[..., :n, :], averages[..., :n, :])
        narrow = self.narrow_looks.look_in(features[..., n:, :], averages[..., n:, :])
        seen_broad = F.silu(broad).reshape(*features.shape[:-2], self.tokens, -1)
        seen_narrow = _spread(self.down, F.silu(narrow))
        tokens: Tensor = self.inlet(torch.cat([seen_broad, seen_narrow], -1)) + self.code
        return tokens

    def _out(
        self,
        x: Tensor,
        level: Tensor,
        updates: Tensor,
        averages: Tensor,
        windows: Tensor,
        parts: Tensor,
    ) -> tuple[Tensor, Tensor]:
        x = self.norm(x)
        n, kinds = self.broad, self.equaliser.kinds
        levels = self._kept(level, windows)
        windows, parts = _relative(windows, levels), _relative(parts, levels)
        seen = self.broad_looks.look_out(windows, self._kept(averages[..., :n, :], windows))
        seen = seen + self.part_look(_around(parts))
        guide = self.guide_broad(x).unflatten(-1, (-1, seen.shape[-1])).flatten(2, 3)
        said = self.say_broad(F.silu(seen + self._kept(guide, windows)))
        wanted = said[..., :kinds].transpose(-1, -2).flatten(-2)
        broad = self.equaliser(wanted) + said[..., kinds:]
        seen = self.narrow_looks.look_out(updates[..., n:, :], averages[..., n:, :])
        narrow = self.say_narrow(F.silu(seen + _spread(self.up, self.guide_narrow(x))))
        voice, noise = self.reading(x.mean(-2)).split(1, -1)
        noise_dbfs = 20.0 * noise + DB_PER_UNIT * level
        gains = torch.cat([broad, self._kept(narrow, windows)], -2)
        return gains, torch.cat([voice, noise_dbfs], -1)

    def _kept(self, x: Tensor, like: Tensor) -> Tensor:
        """What each update said [batch, updates, ...], for all steps until the next one."""
        return x.repeat_interleave(self.parts, 1)[:, : like.shape[1]]


def _around(features: Tensor) -> Tensor:
    """Features [..., oscillators, 4], then both neighbours' levels [..., oscillators, 8]."""
    around = F.pad(features[..., :2], (0, 0, 1, 1))
    return torch.cat([features, around[..., :-2, :], around[..., 2:, :]], -1)


def _relative(features: Tensor, level: Tensor) -> Tensor:
    """Features whose levels are relative to the running level [..., 1]."""
    powers, phases = features.split([2, 2], -1)
    return torch.cat([powers - level[..., None], phases], -1)


def _between(bank: OscillatorBank, broad: int, tokens: int) -> tuple[FloatArray, FloatArray]:
    """Matrices from tokens to narrow oscillators [narrow, tokens], and back [tokens, narrow]."""
    erb = hz_to_erb(bank.f0_hz)
    at = erb[:broad].reshape(tokens, -1).mean(1)
    up = np.stack([np.interp(erb[broad:], at, row) for row in np.eye(tokens)], axis=1)
    return up, up.T / np.maximum(up.sum(0), 0.5)[:, None]


def _spread(matrix: Tensor, x: Tensor) -> Tensor:
    """Matrix [to, from] times x [batch, updates, from, k] → [batch, updates, to, k]."""
    batch, updates, count, k = x.shape
    y = matrix @ x.permute(2, 0, 1, 3).reshape(count, -1)
    return y.view(-1, batch, updates, k).permute(1, 2, 0, 3)
