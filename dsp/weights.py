"""Weights of exported step forms, by name: what compiled loops do to them before they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from resonance.dsp.arrays import Float32Array

Weights = Mapping[str, Float32Array]


def singles(weights: Mapping[str, Any]) -> dict[str, Float32Array]:
    """In single precision, each in one piece; ValueError if one is empty."""
    w = {name: np.ascontiguousarray(a, np.float32) for name, a in weights.items()}
    empty = [name for name, array in w.items() if not array.size]
    if empty:
        raise ValueError(f"{empty[0]} is empty")
    return w


def count(w: Weights, kind: str) -> int:
    """How many layers, or blocks, there are: their weights' names are KIND.NUMBER.NAME."""
    return len({name.split(".")[1] for name in w if name.startswith(f"{kind}.")})


def folded(
    scale: Float32Array, offset: Float32Array, weight: Float32Array, bias: Float32Array | float
) -> tuple[Float32Array, Float32Array]:
    """Weight and bias that take in the scale and offset of the layer norm before them.

    Parameters
    ----------
    scale, offset
        Of the layer norm [inputs].
    weight, bias
        Of the map after it [inputs, outputs], [outputs].

    Returns
    -------
    tuple of ndarray
        Weight and bias.
    """
    return scale[:, None] * weight, bias + offset @ weight
