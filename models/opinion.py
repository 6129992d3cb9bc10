"""DNSMOS P.835 with a gradient: a published network's opinion of speech as a teacher.

Reddy et al. 2022. The weights are read from its file ``sig_bak_ovr.onnx``, which is not part of
this project.
"""

from __future__ import annotations

from pathlib import Path

import click
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils import skip_init

from resonance.models.losses import Loss
from resonance.models.perception import SILENT
from resonance.models.training import HAS_BFLOAT16

_LISTENING_RMS = 0.05  # of the target, -26 dBFS: the network's opinion depends on levels
_QUIET = 0.01  # power of a bin below which it steers less
_HOP = 160  # samples at 16 kHz; frames are two long
_POOLED = (3, 4, 5)  # convolutions followed by the maximum of 2 x 2
_EVERY = 4  # one mixture in so many is judged
_OVERALL = 2  # of speech, background and overall
_FIT = (-0.06766283, 1.11546468, 0.04602535)  # from its output to the published scale


class Opinion(nn.Module):
    """The network, ready to judge; its weights stay as they are.

    Raises
    ------
    click.ClickException
        If the file is no such network.
    """

    spectrum: Tensor  #: learned transform of a frame [samples, 2 x bins]

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            tensors = onnx.load(path).graph.initializer
            weights = {t.name: torch.tensor(numpy_helper.to_array(t)) for t in tensors}
            self._build(weights)
        except Exception as error:  # onnx and protobuf have no common base for their errors
            raise click.ClickException(f"{path} is not a DNSMOS model: {error!r}") from error
        self.requires_grad_(False)

    def _build(self, weights: dict[str, Tensor]) -> None:
        real, imaginary = (weights[f"time2freq/stft-{p}/kernel:0"] for p in ("real", "imag"))
        self.register_buffer("spectrum", torch.cat([real, imaginary])[..., 0].T)
        looks: list[nn.Module] = []
        for i in range(7):
            name = "conv2d" if i == 0 else f"conv2d_{i}"
            kernel = weights[f"{name}/kernel:0"]
            look = skip_init(nn.Conv2d, kernel.shape[1], kernel.shape[0], 3, padding=1)
            look.load_state_dict({"weight": kernel, "bias": weights[f"{name}/bias:0"]})
            looks += [look, nn.ReLU()] + [nn.MaxPool2d(2)] * (i in _POOLED)
        self.looks = nn.Sequential(*looks)
        judges: list[nn.Module] = []
        for name in ("dense", "dense_1", "dense_3"):
            layer = f"mos_estimator_logpow/{name}/{{}}/ReadVariableOp/resource:0"
            matrix = weights[layer.format("MatMul")].T
            judge = skip_init(nn.Linear, matrix.shape[1], matrix.shape[0])
            judge.load_state_dict({"weight": matrix, "bias": weights[layer.format("BiasAdd")]})
            judges += [judge, nn.ReLU()]
        self.judges = nn.Sequential(*judges[:-1])

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Overall opinion of each sound at 16 kHz [batch], 1 to 5, played as loud as its target.

        Parameters
        ----------
        estimate, target
            Cleaned and clean sound [batch, samples].

        Returns
        -------
        Tensor
            Opinion [batch].
        """
        level = target.square().mean(-1, keepdim=True).sqrt() + 1e-5
        frames = (estimate / level * _LISTENING_RMS).unfold(-1, 2 * _HOP, _HOP)
        real, imaginary = (frames @ self.spectrum).chunk(2, -1)
        power = (real.square() + imaginary.square())[:, None]
        # A logarithm is steepest where next to nothing is left: its slope is that of louder sound.
        bounded = torch.log10(power + _QUIET)
        x = bounded + (torch.log10(power.clamp(min=1e-12)) - bounded).detach()
        quick = x.is_cuda or HAS_BFLOAT16  # a third of the time
        with torch.autocast(x.device.type, torch.bfloat16, enabled=quick):
            x = self.looks(x)
        raw = self.judges(x.amax((2, 3)).float())[:, _OVERALL]
        return _FIT[0] * raw.square() + _FIT[1] * raw + _FIT[2]


def taught(loss: Loss, opinion: Opinion, weight: float) -> Loss:
    """A loss that also falls as the opinion rises.

    Parameters
    ----------
    loss
        Of cleaned, clean and noisy sound [batch, samples].
    opinion
        The teacher; it judges one mixture in four, as it costs as much time as a denoiser.
    weight
        Of a point of its opinion.

    Returns
    -------
    Callable
        The loss of both.
    """

    def both(estimate: Tensor, target: Tensor, noisy: Tensor) -> Tensor:
        judged, clean = estimate[::_EVERY], target[::_EVERY]
        spoken = clean.square().mean(-1) > SILENT
        points = (opinion(judged, clean) * spoken).sum() / spoken.sum().clamp(min=1)
        return loss(estimate, target, noisy) - weight * points

    both.__name__ = f"{loss.__name__}_opinion_{weight:g}"
    return both
