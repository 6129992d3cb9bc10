"""The step form of a denoiser: one hop in as few operators as it takes.

Each operator costs as much as its arithmetic when caches are cold, as they are in a live process
that waits for its devices. So everything known beforehand is multiplied out here: a bias joins
its code, both looks of an oscillator are one product, turning all slow oscillators of a layer is
one, too. The numbers are those of ``models/controller.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resonance.dsp.coupled import STATES
from resonance.dsp.features import LOG_OFFSET, LOG_SCALE, SILENT_POWER
from resonance.models.controller import CONTRAST, DB_PER_UNIT, Controller, CoupledLayer, Looks
from resonance.models.denoiser import Denoiser


class DenoiserStep(nn.Module):
    """One hop: features and states in, gain, reading and new states out.

    Parameters
    ----------
    model
        Trained.
    """

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        controller = model.controller
        self.level = LevelStep(controller, model.oscillators)
        self.inlet = InletStep(controller, model.oscillators)
        self.layers = nn.ModuleList(
            CoupledStep(layer) for layer in controller.layers if isinstance(layer, CoupledLayer)
        )
        self.outlet = OutletStep(controller)

    def forward(self, features: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Features [batch, oscillators, 4] and states → gain, reading, new states.

        The gain is complex [batch, oscillators, 2], the reading voice (0 … 1) and noise (dBFS).
        """
        relative, level_db, new_level = self.level(features, states[0])
        x, *looks, new_floor = self.inlet(relative, states[1])
        new = [new_level, new_floor]
        for layer, state in zip(self.layers, states[2:], strict=True):
            x, after = layer(x, state)
            new.append(after)
        return (*self.outlet(x, level_db, *looks), *new)

    def first_states(self) -> dict[str, Tensor]:
        """States at rest by name: running level, slow levels, then each layer's."""
        tokens = self.inlet.code.shape[0]
        layers = {
            f"state_layer_{i}": torch.zeros(1, tokens, 2 * STATES) for i in range(len(self.layers))
        }
        oscillators = self.inlet.rate.shape[0]
        first = {"state_level": torch.zeros(1, 1, 2), "state_floor": torch.zeros(1, oscillators, 2)}
        return first | layers


class LevelStep(nn.Module):
    """Features relative to the running level (``RunningLevel``)."""

    counted: Tensor
    keep: Tensor
    own: Tensor
    log_rate: Tensor
    per_feature: Tensor
    offset: Tensor

    def __init__(self, controller: Controller, oscillators: int) -> None:
        super().__init__()
        rate = controller.level.rate
        self.register_buffer("keep", torch.tensor([1.0 - rate]))
        counted = torch.zeros(oscillators, 4)
        counted[: controller.broad, CONTRAST] = LOG_SCALE / controller.broad
        self.register_buffer("counted", counted)
        self.register_buffer("own", torch.tensor([1.0, 0.0]))
        start = torch.tensor([LOG_OFFSET + math.log(rate), math.log(rate)])
        self.register_buffer("log_rate", start)
        powers = torch.tensor([1.0, 1.0, 0.0, 0.0])
        self.register_buffer("per_feature", powers / LOG_SCALE)
        self.register_buffer("offset", powers * (LOG_OFFSET / LOG_SCALE))

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [batch, oscillators, 4], state [batch, 1, 2] → relative, level, new state."""
        # A sum, no product of matrices: those round otherwise for many hops than for one.
        level = (features * self.counted).sum((1, 2), keepdim=True)
        driven = torch.exp(level * self.own + self.log_rate)
        new = self.keep * state + driven
        power, share = new.split(1, -1)
        loud = torch.log(power / share + SILENT_POWER)
        return features - (loud * self.per_feature - self.offset), loud, new


class InletStep(nn.Module):
    """Slow levels, looks of every oscillator, and the tokens (``SlowLevels``, ``Looks``)."""

    rate: Tensor
    keep: Tensor
    around: Tensor
    broad_code: Tensor
    narrow_code: Tensor
    broad_weight: Tensor
    narrow_weight: Tensor
    weight: Tensor
    code: Tensor
    down: Tensor

    def __init__(self, controller: Controller, oscillators: int) -> None:
        super().__init__()
        self.broad, self.narrow = controller.broad, controller.narrow
        self.look = controller.say_narrow.in_features
        rate = torch.sigmoid(controller.floor.rate.detach()).T
        self.register_buffer("rate", rate.contiguous())
        self.register_buffer("keep", 1.0 - rate)
        self.register_buffer("around", _around(self.broad, oscillators))
        for name in ("broad", "narrow"):
            looks = getattr(controller, f"{name}_looks")
            weight, code = _joined(looks)
            self.register_buffer(f"{name}_weight", weight)
            self.register_buffer(f"{name}_code", code)
        self.register_buffer("weight", controller.inlet.weight.detach().T.contiguous())
        self.register_buffer("code", (controller.code + controller.inlet.bias).detach())
        self.register_buffer("down", controller.down)

    def forward(self, relative: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """Relative features, averages [batch, oscillators, 2] → tokens, outward looks, averages."""
        contrast = relative[..., CONTRAST : CONTRAST + 1]
        new = self.keep * state + self.rate * contrast
        neighbours = F.pad(relative, (0, 0, 1, 0)).index_select(1, self.around)
        seen = torch.cat([neighbours.reshape(*relative.shape[:-1], -1), new], -1)
        broad, narrow = seen.split([self.broad, self.narrow], 1)
        broad_in, broad_out = (broad @ self.broad_weight + self.broad_code).split(self.look, -1)
        narrow_in, narrow_out = (narrow @ self.narrow_weight + self.narrow_code).split(
            self.look, -1
        )
        own = F.silu(broad_in).reshape(len(relative), len(self.code), -1)
        x = torch.cat([own, self.down @ F.silu(narrow_in)], -1) @ self.weight + self.code
        return x, broad_out, narrow_out, new


class CoupledStep(nn.Module):
    """A layer of coupled slow oscillators (``CoupledLayer``).

    State [batch, tokens, 2 · STATES]: real parts, then imaginary parts. With the gain g and the
    drive u, ``(1 - g) e^{iθ} h + g u`` is ``t + g (u - t)`` of the turned state t.
    """

    weight: Tensor
    bias: Tensor
    turning: Tensor
    mix_re: Tensor
    mix_im: Tensor
    out: Tensor

    def __init__(self, layer: CoupledLayer) -> None:
        super().__init__()
        self.norm = layer.norm
        into = layer.into.weight.detach(), layer.into.bias.detach()
        weight, bias = (
            torch.cat([x[: 3 * STATES], x[2 * STATES : 3 * STATES], x[3 * STATES :]]) for x in into
        )
        self.register_buffer("weight", weight.T.contiguous())
        self.register_buffer("bias", bias)
        cos, sin = (torch.diag(f(layer.turn.detach())) for f in (torch.cos, torch.sin))
        turning = torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])
        self.register_buffer("turning", turning)
        for name, mix in zip(("mix_re", "mix_im"), layer.mix.detach(), strict=True):
            self.register_buffer(name, mix.contiguous())
        self.register_buffer("out", layer.out.weight.detach().T.contiguous())

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [batch, tokens, channels] and state → tokens, new state."""
        drive, gain, gate = (self.norm(x) @ self.weight + self.bias).split(2 * STATES, -1)
        turned = state @ self.turning
        new = turned + torch.sigmoid(gain) * (drive - turned)
        re, im = new.split(STATES, -1)
        mixed = torch.cat([self.mix_re @ re, self.mix_im @ im], -1)
        return x + (F.silu(gate) * mixed) @ self.out, new


class OutletStep(nn.Module):
    """Gains and readings from the tokens."""

    guide_weight: Tensor
    guide_bias: Tensor
    say_broad_weight: Tensor
    say_broad_bias: Tensor
    say_narrow_weight: Tensor
    say_narrow_bias: Tensor
    up: Tensor
    reading_weight: Tensor
    reading_bias: Tensor
    reading_level: Tensor
    wire: Tensor

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.norm, self.equaliser = controller.norm, controller.equaliser
        for name in ("say_broad", "say_narrow"):
            say = getattr(controller, name)
            self.register_buffer(f"{name}_weight", say.weight.detach().T.contiguous())
            self.register_buffer(f"{name}_bias", say.bias.detach())
        self.look = controller.say_narrow.in_features
        guides = controller.guide_broad, controller.guide_narrow
        weight, bias = (torch.cat([getattr(g, x).detach() for g in guides]) for x in _LINEAR)
        self.register_buffer("guide_weight", weight.T.contiguous())
        self.register_buffer("guide_bias", bias)
        self.register_buffer("up", controller.up)
        unit, level = torch.tensor([1.0, 20.0]), torch.tensor([0.0, DB_PER_UNIT / LOG_SCALE])
        weight, bias = (getattr(controller.reading, x).detach() for x in _LINEAR)
        self.register_buffer("reading_weight", (weight.T * unit).contiguous())
        self.register_buffer("reading_bias", bias * unit - level * LOG_OFFSET)
        self.register_buffer("reading_level", level)
        self.register_buffer("wire", torch.tensor([1.0, 0.0]))

    def forward(
        self, x: Tensor, loud: Tensor, broad_out: Tensor, narrow_out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens, running level [batch, 1, 1] and outward looks → gain, reading [batch, 2].

        Parameters
        ----------
        x
            Tokens [batch, tokens, channels].
        loud
            Logarithm of the running level [batch, 1, 1].
        broad_out, narrow_out
            Outward looks [batch, oscillators, look].

        Returns
        -------
        tuple of Tensor
            Gain [batch, oscillators, 2], and reading: voice (0 … 1) and noise (dBFS) [batch, 2].
        """
        x = self.norm(x)
        guide = x @ self.guide_weight + self.guide_bias
        broad_guide, narrow_guide = guide.split([guide.shape[-1] - self.look, self.look], -1)
        hidden = F.silu(broad_out + broad_guide.reshape(broad_out.shape))
        said = hidden @ self.say_broad_weight + self.say_broad_bias
        kinds = self.equaliser.kinds
        wanted, free = said.split([kinds, 2], -1)
        if kinds > 1:
            wanted = wanted.transpose(-1, -2)
        broad = self.equaliser(wanted.flatten(1)) + free
        hidden = F.silu(narrow_out + self.up @ narrow_guide)
        narrow = hidden @ self.say_narrow_weight + self.say_narrow_bias
        reading = x.mean(-2, keepdim=True) @ self.reading_weight + self.reading_bias
        voice, noise = (reading + loud * self.reading_level).flatten(1).split(1, -1)
        gain = torch.cat([broad, narrow], -2) + self.wire
        return gain, torch.cat([torch.sigmoid(voice), noise], -1)


_LINEAR = ("weight", "bias")


def _around(broad: int, oscillators: int) -> Tensor:
    """Rows of an oscillator, its left and its right neighbour of the same kind; row 0 is empty."""
    own = torch.arange(1, oscillators + 1)
    left, right = own - 1, own + 1
    left[broad:][:1] = 0
    right[broad - 1] = 0
    right[-1] = 0
    return torch.stack([own, left, right], 1).flatten()


def _joined(looks: Looks) -> tuple[Tensor, Tensor]:
    """Both looks as one product: weight [3 · 4 + 2, 2 · look] and code [oscillators, 2 · look].

    Neighbours show two of their four features.
    """
    weight = torch.cat([looks.inward.weight, looks.outward.weight]).detach().T
    own, left, right, levels = weight.split([4, 2, 2, 2])
    unseen = torch.zeros_like(left)
    rows = torch.cat([own, left, unseen, right, unseen, levels])
    bias = torch.cat([looks.inward.bias, looks.outward.bias])
    code = torch.cat([looks.code_inward, looks.code_outward], -1) + bias
    return rows.contiguous(), code.detach()
