"""The step form of a denoiser: one part of a hop in as few operators as it takes.

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
    """One part of a hop: features and states in, gain, reading and new states out.

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

    def forward(self, features: Tensor, ended: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Features [batch, 2, oscillators, 4], whether an update ended, and states → what follows.

        Parameters
        ----------
        features
            Of the time of a hop, and of its last part alone.
        ended
            1 where the part ends an update, else 0: then only the looks outward are new
            [batch, 1, 1].
        states
            As :meth:`first_states` has them.

        Returns
        -------
        tuple of Tensor
            Complex gain [batch, oscillators, 2]; reading: voice (0 … 1) and noise (dBFS)
            [batch, 2]; new states.
        """
        level, floor, guide, narrow, reading, *layers = states
        whole = ended > 0.5
        relative, part, new_level = self.level(features, whole, level)
        x, seen, new_floor = self.inlet(relative, whole, floor)
        new = []
        for layer, state in zip(self.layers, layers, strict=True):
            x, after = layer(x, state)
            new.append(torch.where(whole, after, state))
        kept = guide, narrow, reading
        told = zip(self.outlet.tell(x, new_level, seen), kept, strict=True)
        guide, narrow, reading = (torch.where(whole, now, before) for now, before in told)
        gain = torch.cat([self.outlet(seen, part, guide), narrow], -2) + self.outlet.wire
        # Until the first update nothing is known.
        gain = torch.where(new_level[..., 1:2] > 0, gain, self.outlet.wire)
        return gain, reading.flatten(1), new_level, new_floor, guide, narrow, reading, *new

    def first_states(self) -> dict[str, Tensor]:
        """States at rest by name: running level, slow levels, what was said, then each layer's."""
        tokens = self.inlet.code.shape[0]
        layers = {
            f"state_layer_{i}": torch.zeros(1, tokens, 2 * STATES) for i in range(len(self.layers))
        }
        oscillators = self.inlet.rate.shape[0]
        first = {
            "state_level": torch.zeros(1, 1, 2),
            "state_floor": torch.zeros(1, oscillators, 2),
            "state_guide": torch.zeros(1, tokens, self.outlet.guide_broad_bias.shape[0]),
            "state_narrow": torch.zeros(1, self.outlet.narrow, 2),
            "state_reading": torch.zeros(1, 1, 2),
        }
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

    def forward(self, features: Tensor, whole: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """Relative features of hop and part [batch, oscillators, 4], and the new state.

        Parameters
        ----------
        features
            Of both [batch, 2, oscillators, 4].
        whole
            Whether an update ended [batch, 1, 1].
        state
            Power and share of the start [batch, 1, 2].

        Returns
        -------
        tuple of Tensor
            Three.
        """
        # A sum, no product of matrices: those round otherwise for many hops than for one.
        level = (features[:, 0] * self.counted).sum((1, 2), keepdim=True)
        driven = torch.exp(level * self.own + self.log_rate)
        new = torch.where(whole, self.keep * state + driven, state)
        moved = loudness(new) * self.per_feature - self.offset
        hop, part = (features - moved[:, None]).unbind(1)
        return hop, part, new


class InletStep(nn.Module):
    """Slow levels, looks inward, and the tokens (``SlowLevels``, ``Looks``)."""

    rate: Tensor
    keep: Tensor
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
        rate = torch.sigmoid(controller.floor.rate.detach()).T
        self.register_buffer("rate", rate.contiguous())
        self.register_buffer("keep", 1.0 - rate)
        self.neighbours = Neighbours(self.broad, oscillators)
        for name in ("broad", "narrow"):
            looks: Looks = getattr(controller, f"{name}_looks")
            self.register_buffer(f"{name}_weight", _rows(looks.inward.weight))
            code = looks.code_inward + looks.inward.bias
            self.register_buffer(f"{name}_code", code.detach())
        self.register_buffer("weight", controller.inlet.weight.detach().T.contiguous())
        self.register_buffer("code", (controller.code + controller.inlet.bias).detach())
        self.register_buffer("down", controller.down)

    def forward(self, relative: Tensor, whole: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """Tokens, what every oscillator sees [batch, oscillators, 14], and the new averages.

        Parameters
        ----------
        relative
            Features [batch, oscillators, 4].
        whole
            Whether an update ended [batch, 1, 1].
        state
            Averages [batch, oscillators, 2].

        Returns
        -------
        tuple of Tensor
            Three.
        """
        contrast = relative[..., CONTRAST : CONTRAST + 1]
        new = torch.where(whole, self.keep * state + self.rate * contrast, state)
        seen = torch.cat([self.neighbours(relative), new], -1)
        broad, narrow = seen.split([self.broad, self.narrow], 1)
        broad_in = broad @ self.broad_weight + self.broad_code
        narrow_in = narrow @ self.narrow_weight + self.narrow_code
        own = F.silu(broad_in).reshape(len(relative), len(self.code), -1)
        x = torch.cat([own, self.down @ F.silu(narrow_in)], -1) @ self.weight + self.code
        return x, seen, new


class Neighbours(nn.Module):
    """Features of every oscillator and of both its neighbours of the same kind."""

    around: Tensor

    def __init__(self, broad: int, oscillators: int) -> None:
        super().__init__()
        own = torch.arange(1, oscillators + 1)  # row 0 is empty
        left, right = own - 1, own + 1
        left[broad:][:1] = 0
        right[broad - 1] = 0
        right[-1] = 0
        self.register_buffer("around", torch.stack([own, left, right], 1).flatten())

    def forward(self, features: Tensor) -> Tensor:
        """Features [batch, oscillators, 4] → [batch, oscillators, 12]."""
        rows = F.pad(features, (0, 0, 1, 0)).index_select(1, self.around)
        return rows.reshape(*features.shape[:-1], -1)


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
    """What the tokens tell, looks outward, and gains."""

    broad_code: Tensor
    narrow_code: Tensor
    broad_weight: Tensor
    narrow_weight: Tensor
    part: Tensor
    guide_broad_weight: Tensor
    guide_broad_bias: Tensor
    guide_narrow_weight: Tensor
    guide_narrow_bias: Tensor
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
        self.broad, self.narrow = controller.broad, controller.narrow
        self.neighbours = Neighbours(self.broad, self.broad)
        for kind in ("broad", "narrow"):
            looks: Looks = getattr(controller, f"{kind}_looks")
            self.register_buffer(f"{kind}_weight", _rows(looks.outward.weight))
            code = looks.code_outward + looks.outward.bias
            self.register_buffer(f"{kind}_code", code.detach())
            for name in (f"say_{kind}", f"guide_{kind}"):
                layer = getattr(controller, name)
                self.register_buffer(f"{name}_weight", layer.weight.detach().T.contiguous())
                self.register_buffer(f"{name}_bias", layer.bias.detach())
        self.register_buffer("part", _rows(controller.part_look.weight))
        self.register_buffer("up", controller.up)
        unit, level = torch.tensor([1.0, 20.0]), torch.tensor([0.0, DB_PER_UNIT / LOG_SCALE])
        weight, bias = (getattr(controller.reading, x).detach() for x in ("weight", "bias"))
        self.register_buffer("reading_weight", (weight.T * unit).contiguous())
        self.register_buffer("reading_bias", bias * unit - level * LOG_OFFSET)
        self.register_buffer("reading_level", level)
        self.register_buffer("wire", torch.tensor([1.0, 0.0]))

    def tell(self, x: Tensor, level: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is said at the end of an update.

        Parameters
        ----------
        x
            Tokens [batch, tokens, channels].
        level
            Running level [batch, 1, 2].
        seen
            By each oscillator [batch, oscillators, 14].

        Returns
        -------
        tuple of Tensor
            Guide of the broad oscillators [batch, tokens, guides], gains minus 1 of the narrow
            ones [batch, narrow, 2], and voice (0 … 1) and noise (dBFS) [batch, 1, 2].
        """
        x = self.norm(x)
        reading = x.mean(-2, keepdim=True) @ self.reading_weight + self.reading_bias
        voice, noise = (reading + loudness(level) * self.reading_level).split(1, -1)
        guide = self.up @ (x @ self.guide_narrow_weight + self.guide_narrow_bias)
        seen = seen.split([self.broad, self.narrow], 1)[1]
        hidden = F.silu(seen @ self.narrow_weight + self.narrow_code + guide)
        narrow = hidden @ self.say_narrow_weight + self.say_narrow_bias
        guide = x @ self.guide_broad_weight + self.guide_broad_bias
        return guide, narrow, torch.cat([torch.sigmoid(voice), noise], -1)

    def forward(self, seen: Tensor, part: Tensor, guide: Tensor) -> Tensor:
        """Gain minus 1 of the broad oscillators [batch, broad, 2].

        Parameters
        ----------
        seen
            By each oscillator in the time of a hop [batch, oscillators, 14].
        part
            Relative features of its last part [batch, oscillators, 4].
        guide
            From :meth:`tell`.

        Returns
        -------
        Tensor
            Real and imaginary part.
        """
        seen, part = (x.split([self.broad, self.narrow], 1)[0] for x in (seen, part))
        looked = seen @ self.broad_weight + self.neighbours(part) @ self.part + self.broad_code
        hidden = F.silu(looked + guide.reshape(looked.shape))
        said = hidden @ self.say_broad_weight + self.say_broad_bias
        kinds = self.equaliser.kinds
        wanted, free = said.split([kinds, 2], -1)
        if kinds > 1:
            wanted = wanted.transpose(-1, -2)
        gain: Tensor = self.equaliser(wanted.flatten(1)) + free
        return gain


def loudness(level: Tensor) -> Tensor:
    """Logarithm of the running level [batch, 1, 2] → [batch, 1, 1]."""
    power, share = level.split(1, -1)
    return torch.log(power / share.clamp(min=1e-30) + SILENT_POWER)


def _rows(weight: Tensor) -> Tensor:
    """A look's weight [look, 8 or 10] for all features of both neighbours [12 or 14, look].

    Neighbours show two of their four.
    """
    own, left, right, levels = weight.detach().T.tensor_split([4, 6, 8])
    unseen = torch.zeros_like(left)
    return torch.cat([own, left, unseen, right, unseen, levels]).contiguous()
