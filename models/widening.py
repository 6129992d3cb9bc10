"""A spotter with a wider stem that computes the same as a narrower one, to go on training from.

Every channel is there several times; what reads it takes a random share from each copy, so that
the copies learn different things from then on (Chen et al. 2016, Net2Net).
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from resonance.models.keywords import KeywordSpotter, SpotterConfig
from resonance.models.stem import SUB_BANDS, BroadcastBlock, CausalStem, SubBandNorm


@torch.no_grad()
def widened(model: KeywordSpotter, config: SpotterConfig) -> KeywordSpotter:
    """A spotter of ``config`` with the scores of ``model``.

    Parameters
    ----------
    model
        Of any kind if ``config`` is its own, else with a convolutional stem.
    config
        As the model's, but for dropout, and for channels of the stem: as many or more.

    Returns
    -------
    KeywordSpotter
        Not yet trained any further.

    Raises
    ------
    ValueError
        If the two differ in anything else, or a stage has fewer channels.
    """
    wide = KeywordSpotter(config)
    if replace(model.config, dropout=config.dropout) == config:
        wide.load_state_dict(model.state_dict())
        return wide
    _check_sizes(model.config, config)
    for name, part in wide.named_children():
        if name != "inlet":
            part.load_state_dict(getattr(model, name).state_dict())
    wide.position.copy_(model.position)
    narrow_stem, wide_stem = model.inlet, wide.inlet
    assert isinstance(narrow_stem, CausalStem)
    assert isinstance(wide_stem, CausalStem)
    _widen_stem(narrow_stem, wide_stem)
    return wide


def _check_sizes(model: SpotterConfig, config: SpotterConfig) -> None:
    names = [f.name for f in fields(config) if f.name not in ("channels", "dropout")]
    for name in names:
        was, wanted = getattr(model, name), getattr(config, name)
        if was != wanted:
            raise ValueError(f"it has {name} = {was!r}, not {wanted!r}; only channels may differ")
    before, after = model.channels, config.channels
    wider = before and after and all(a >= b for a, b in zip(after, before, strict=True))
    if not wider or config.stem != "convolution":
        raise ValueError(f"a stem of {before} channels cannot become one of {after}: ask for more")


def _widen_stem(narrow: CausalStem, wide: CausalStem) -> None:
    copies = _copies(narrow.inlet.kernel, wide.inlet.kernel)
    wide.inlet.kernel.copy_(narrow.inlet.kernel[copies])
    _copy_norm(narrow.inlet.norm, wide.inlet.norm, copies)
    for old, new in zip(narrow.blocks, wide.blocks, strict=True):
        assert isinstance(old, BroadcastBlock)
        assert isinstance(new, BroadcastBlock)
        copies = _widen_block(old, new, copies)
    channels = narrow.blocks[-1].mix.out_channels  # type: ignore[union-attr]
    outlet = narrow.outlet.weight.unflatten(1, (2, channels, -1))  # type: ignore[arg-type]
    shares = _shares(len(outlet), copies)
    wide.outlet.weight.copy_((outlet[:, :, copies] * shares[:, None, :, None]).flatten(1))
    wide.outlet.bias.copy_(narrow.outlet.bias)


def _widen_block(old: BroadcastBlock, new: BroadcastBlock, before: Tensor) -> Tensor:
    """Widen a block whose input channels are ``before``; returns those of its output."""
    after = _copies(old.mix.weight, new.mix.weight)
    if not old.residual:
        (old_conv, old_norm, _), (new_conv, new_norm, _) = cast(Any, (old.change, new.change))
        weight = old_conv.weight[after][:, before]
        new_conv.weight.copy_(weight * _shares(len(after), before)[..., None, None])
        _copy_norm(old_norm, new_norm, after)
    for name in ("over_bands", "over_time"):
        getattr(new, name).weight.copy_(getattr(old, name).weight[after])
    _copy_norm(old.norm, new.norm, after)
    _copy_norm(old.time_norm, new.time_norm, after)
    new.mix.weight.copy_(old.mix.weight[after][:, after] * _shares(len(after), after)[..., None])
    return after


def _copies(old: Tensor, new: Tensor) -> Tensor:
    """Which old channel each new one is a copy of [new channels]."""
    return torch.arange(len(new)) % len(old)


def _shares(readers: int, copies: Tensor) -> Tensor:
    """What each reader takes from each channel [readers, channels]; those of one channel make 1."""
    drawn = 0.5 + torch.rand(readers, len(copies))
    sums = torch.zeros_like(drawn).index_add_(1, copies, drawn)
    return drawn / sums[:, copies]


def _copy_norm(old: nn.Module, new: nn.Module, copies: Tensor) -> None:
    """Normalisation of each channel, in sub-bands or not."""
    if isinstance(old, SubBandNorm) and isinstance(new, SubBandNorm):
        old, new = old.norm, new.norm
        copies = (copies[:, None] * SUB_BANDS + torch.arange(SUB_BANDS)).flatten()
    kept = old.state_dict()
    new.load_state_dict({k: v[copies] if v.ndim else v for k, v in kept.items()})
