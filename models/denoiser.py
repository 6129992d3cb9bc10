"""The denoiser: features of the bank in, one complex gain per oscillator out.

Gains found at the end of a part of a hop act on the next one, so the sound itself is never
delayed; with ``lookahead_s`` the oscillators that play hear it that much later than those that
listen, and run backwards in time, too (``resonance.models.bank.rewind``). A new denoiser gives
gains of 1: it is a wire.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resonance.dsp.bank import OscillatorBank, broad_bank, narrow_bank
from resonance.dsp.contrast import neighbour_weights, pair_of
from resonance.dsp.coupled import STATES
from resonance.dsp.features import hop_edges, hop_features
from resonance.dsp.identity import TRAINING_SAMPLERATE, identity_and_span
from resonance.models.bank import listen, play, poles_from, rewind
from resonance.models.controller import Controller, ControllerConfig
from resonance.models.hopwise import layout
from resonance.models.training import load_checkpoint


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of a denoiser; times in seconds, frequencies in Hz."""

    broad: int = 64
    narrow: int = 96
    narrow_top_hz: float = 4000.0
    narrow_width_hz: float = 35.0
    hop_s: float = 0.008
    ramp_s: float = 0.001
    lookahead_s: float = 0.0
    #: Of a hop: with each, gains are renewed and backward oscillators start anew, with what is new.
    parts: int = 4
    #: Of a hop: with each, the tokens speak; divides ``parts``.
    updates: int = 1
    controller: ControllerConfig = field(default_factory=ControllerConfig)

    def __post_init__(self) -> None:
        if self.parts % self.updates:
            raise ValueError(f"{self.parts} parts are no multiple of {self.updates} updates")

    @property
    def update_parts(self) -> int:
        """Parts from one update to the next."""
        return self.parts // self.updates

    def carriers(self) -> NDArray[np.bool_]:
        """Which oscillators carry the unchanged sound: the broad ones [oscillators]."""
        return np.arange(self.broad + self.narrow) < self.broad

    def first_bank(self) -> OscillatorBank:
        """The bank before any learning: broad oscillators first, then narrow ones."""
        broad = broad_bank(self.broad)
        if not self.narrow:
            return broad
        return broad.joined(
            narrow_bank(self.narrow, high_hz=self.narrow_top_hz, width_hz=self.narrow_width_hz)
        )


class LearnedBank(nn.Module):
    """The bank with the narrow oscillators' f0 and damping ratio as parameters.

    Bounded so that order and stability are kept: each f0 may move by at most ``reach`` of the
    way to its neighbour, each damping ratio by a factor of 2 either way. The broad oscillators
    carry the sound and feed the keyword spotter; they stay where they are.
    """

    f0_start: Tensor
    damping_start: Tensor

    def __init__(self, config: DenoiserConfig, reach: float = 0.45) -> None:
        super().__init__()
        bank = config.first_bank()
        narrow_hz = bank.f0_hz[config.broad :]
        gap = np.diff(narrow_hz).min() if len(narrow_hz) > 1 else 0.0
        self.f0_reach_hz = min(reach * float(gap), 0.5 * bank.f0_hz[-config.narrow])
        self.register_buffer("f0_start", torch.tensor(bank.f0_hz))
        self.register_buffer("damping_start", torch.tensor(bank.damping_ratio))
        self.f0_shift = nn.Parameter(torch.zeros(config.narrow, dtype=torch.float64))
        self.damping_shift = nn.Parameter(torch.zeros(config.narrow, dtype=torch.float64))

    def forward(self) -> tuple[Tensor, Tensor]:
        """f0 [Hz] and damping ratio, each [oscillators], float64."""
        fixed = len(self.f0_start) - len(self.f0_shift)
        moved = nn.functional.pad(torch.tanh(self.f0_shift), (fixed, 0))
        damped = nn.functional.pad(torch.tanh(self.damping_shift), (fixed, 0))
        f0_hz = self.f0_start + self.f0_reach_hz * moved
        return f0_hz, self.damping_start * torch.exp(math.log(2.0) * damped)

    def frozen(self) -> OscillatorBank:
        """The bank as it is now."""
        with torch.no_grad():
            f0_hz, damping_ratio = self()
        return OscillatorBank(f0_hz.cpu().numpy(), damping_ratio.cpu().numpy())


class Denoiser(nn.Module):
    """Bank, controller and additive synthesis at 16 kHz, as trained."""

    carriers: Tensor
    identity: Tensor
    pairs: Tensor
    unchanged: Tensor

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        self._neighbours: tuple[Any, tuple[Tensor, Tensor]] | None = None
        self.bank = LearnedBank(config)
        self.oscillators = config.broad + config.narrow
        carriers = config.carriers()
        first = config.first_bank()
        identity, _ = identity_and_span(first, carriers, TRAINING_SAMPLERATE)
        self.register_buffer("unchanged", torch.tensor([1.0, 0.0]), persistent=False)
        self.register_buffer("carriers", torch.from_numpy(carriers), persistent=False)
        pairs = pair_of(carriers, first.awake(TRAINING_SAMPLERATE))
        self.register_buffer("pairs", torch.from_numpy(pairs), persistent=False)
        self.register_buffer("identity", torch.tensor(identity), persistent=False)
        self.controller = Controller(
            config.controller,
            first,
            config.broad,
            identity[: config.broad].astype(np.complex128),
            config.hop_s / config.updates,
            config.update_parts,
            two_sided=config.lookahead_s > 0,
        )

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Clean sound [batch, samples] from noisy sound [batch, samples], both 16 kHz.

        Also what was read with every update [batch, updates, 2]: voice (logit) and noise level
        (dBFS).
        """
        config, samples = self.config, sound.shape[-1]
        part_s = config.hop_s / config.parts
        update = config.update_parts * part_s * TRAINING_SAMPLERATE
        late = round(config.lookahead_s * TRAINING_SAMPLERATE)
        parts = max(math.ceil((samples + late) / update) * config.update_parts, config.parts)
        edges = torch.from_numpy(hop_edges(parts, part_s, TRAINING_SAMPLERATE))
        sound = nn.functional.pad(sound, (0, int(edges[-1]) - samples))
        f0_hz, damping_ratio = self.bank()
        pole_re, pole_im = poles_from(f0_hz, damping_ratio, TRAINING_SAMPLERATE)
        poles = pole_re.to(sound.dtype), pole_im.to(sound.dtype)
        gains, readings = self.gains(*self.features(sound, edges, *poles))
        weights = self.weights(gains, *poles)
        ramp = max(1, round(config.ramp_s * TRAINING_SAMPLERATE))
        delayed = nn.functional.pad(sound, (late, 0))
        played = play(delayed, edges, ramp, *poles, *weights)
        if late:
            played = played + rewind(delayed, edges, ramp, late, *poles, *weights)
        return played[:, late : late + samples], readings[:, : math.ceil(samples / update)]

    def features(
        self, sound: Tensor, edges: Tensor, pole_re: Tensor, pole_im: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features at each update, and of the broad oscillators at the end of each part of a hop.

        Parameters
        ----------
        sound
            At the model's samplerate [batch, samples].
        edges
            First sample of each part, and the end [parts + 1].
        pole_re, pole_im
            λ [oscillators].

        Returns
        -------
        tuple of Tensor
            Of the time of a hop up to each update [batch, updates, oscillators, 4]; up to the end
            of each part from the first update on, and of the part alone [batch, steps, broad, 4].
        """
        hop, update, broad = self.config.parts, self.config.update_parts, self.config.broad
        energy, between, re, im = listen(sound, edges, pole_re, pole_im, self.neighbours())
        between = between[..., self.pairs]
        lengths = layout(edges, sound.device).lengths.to(sound)[None, :, None]
        before = hop - update  # parts of silence before the sound
        energy, between = (nn.functional.pad(x, (0, 0, before, 0)) for x in (energy, between))
        lengths = torch.cat([lengths[:, :before].flip(1), lengths], 1)
        angle, peak = torch.atan2(pole_im, pole_re).double(), 1.0 - torch.hypot(pole_re, pole_im)

        def described(count: int, every: int, among: slice) -> Tensor:
            """Of so many parts at a time, up to the first update or ``every`` parts later."""
            first, last = hop - count, energy.shape[1] - count + 1
            power, contrast, samples = (
                torch.stack([x[:, first + p : last + p : every, among] for p in range(count)]).sum(
                    0
                )
                for x in (energy, between, lengths)
            )
            re_now, im_now = (s[:, update - 1 :: every, among] * peak[among] for s in (re, im))
            begin = (nn.functional.pad(s, (0, 0, before + 1, 0)) for s in (re, im))
            re_before, im_before = (s[:, first:last:every, among] * peak[among] for s in begin)
            turned = angle[among] * samples.double()
            features: Tensor = hop_features(
                power * peak[among] ** 2 / samples,
                contrast / samples,
                re_now,
                im_now,
                re_before,
                im_before,
                torch.cos(turned).to(sound),
                torch.sin(turned).to(sound),
                xp=cast(Any, torch),
            )
            return features

        moving = slice(None, broad)
        return (
            described(hop, update, slice(None)),
            described(hop, 1, moving),
            described(1, 1, moving),
        )

    def gains(self, hops: Tensor, windows: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
        """Gains for the part after each, and readings, as :class:`Controller` gives them.

        Parameters
        ----------
        hops, windows, parts
            From :meth:`features`.

        Returns
        -------
        tuple of Tensor
            Real and imaginary part [batch, steps, oscillators, 2], and readings
            [batch, updates, 2].
        """
        delta, readings = self.controller(hops, windows, parts)
        return delta + self.unchanged, readings

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Weights of neighbouring oscillators for ``resonance.models.bank.listen``.

        They are kept until the bank's parameters change.
        """
        device = self.carriers.device
        state = device, *((p.data_ptr(), p._version) for p in self.bank.parameters())
        if self._neighbours is None or self._neighbours[0] != state:
            carriers = self.carriers.cpu().numpy()
            weights = neighbour_weights(self.bank.frozen(), carriers, TRAINING_SAMPLERATE)
            own, following = (torch.tensor(w, dtype=torch.complex64).to(device) for w in weights)
            self._neighbours = state, (own, following)
        return self._neighbours[1]

    def weights(self, gains: Tensor, pole_re: Tensor, pole_im: Tensor) -> tuple[Tensor, Tensor]:
        """Weights at every edge of a part [batch, parts + 1, oscillators].

        As in ``resonance.dsp.identity.identity_and_span``; the narrow oscillators' span
        follows their poles. All passes unchanged until the first update.

        Parameters
        ----------
        gains
            Complex, found at the end of each part from the first update on
            [batch, steps, oscillators, 2].
        pole_re, pole_im
            λ [oscillators].

        Returns
        -------
        tuple of Tensor
            Real and imaginary part [batch, parts + 1, oscillators].
        """
        identity = self.identity
        peak = 1.0 - torch.sqrt(pole_re**2 + pole_im**2)
        span_re = torch.where(self.carriers, identity.real, peak)
        delta_re, delta_im = gains[:, :-1, :, 0] - 1.0, gains[:, :-1, :, 1]
        w_re = identity.real + span_re * delta_re - identity.imag * delta_im
        w_im = identity.imag + span_re * delta_im + identity.imag * delta_re
        start = identity.expand(len(gains), self.config.update_parts + 1, -1)
        return torch.cat([start.real, w_re], 1), torch.cat([start.imag, w_im], 1)


def at_pace(weights: dict[str, Tensor], times: float) -> dict[str, Tensor]:
    """Weights of a denoiser that updates so many times as often, its averages as slow as before.

    Parameters
    ----------
    weights
        By name.
    times
        Updates then, for each now; below 1 for fewer.

    Returns
    -------
    dict
        The same, but for what is counted by update: turns, and the shares that are let in.
    """

    def share(logit: Tensor) -> Tensor:
        kept = torch.sigmoid(-logit.double())
        return torch.logit(1.0 - kept ** (1.0 / times)).to(logit)

    paced = dict(weights)
    for name, value in weights.items():
        if name.endswith(".turn"):
            paced[name] = value / times
        elif name.endswith("floor.rate"):
            paced[name] = share(value)
        elif name.endswith(".into.bias"):
            gain = slice(2 * STATES, 3 * STATES)
            paced[name] = value.clone()
            paced[name][gain] = share(value[gain])
    return paced


def config_from(saved: dict[str, Any]) -> DenoiserConfig:
    """A configuration as it was saved with a model."""
    return DenoiserConfig(**{**saved, "controller": ControllerConfig(**saved["controller"])})


def load(path: Path) -> tuple[Denoiser, dict[str, Any]]:
    """A saved denoiser, ready to use, and what was saved along with it."""
    saved = load_checkpoint(path)
    try:
        model = Denoiser(config_from(saved.pop("config")))
        model.load_state_dict(saved.pop("weights"))
    except (KeyError, TypeError, RuntimeError) as error:
        raise click.ClickException(
            f"{path} is no denoiser of this version ({error}); train it again, with --start-from"
        ) from error
    return model.eval(), saved
