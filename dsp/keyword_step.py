"""A step of the keyword spotter at work: two frames in, what the last second holds out.

``models/keywords.py`` in one compiled function, with the numbers of the exported step form
(``export/keyword_step.py``): as a graph of 180 operators it takes more than twice as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from resonance.dsp.arrays import Float32Array
from resonance.dsp.keyword_kernels import KERNEL, STRIDE, TAPS, listen
from resonance.dsp.packing import pack
from resonance.dsp.simd import LANES
from resonance.dsp.weights import Weights, count, folded, singles

#: Frames of a step.
FRAMES = 2


def _filled(array: Float32Array, axis: int = -1) -> Float32Array:
    """With zeros along an axis up to a multiple of 16."""
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, -array.shape[axis] % LANES)
    return np.ascontiguousarray(np.pad(array, missing))


def _row(bias: Float32Array) -> Float32Array:
    return _filled(bias.reshape(1, -1))


def _apart(maps: Float32Array, channels: int, bands: int) -> tuple[Float32Array, Float32Array]:
    """What a block's groups do to each channel: [channels, bands, bands out], [channels, bands].

    The step form convolves a few channels at once, their averages last.
    """
    groups, _, outputs = maps.shape
    each = channels // groups
    out = outputs // each - 1
    own = np.arange(each)
    spread = maps[:, :, : each * out].reshape(groups, each, bands, each, out)
    average = maps[:, :, each * out :].reshape(groups, each, bands, each)
    return (
        spread[:, own, :, own].swapaxes(0, 1).reshape(channels, bands, out),
        average[:, own, :, own].swapaxes(0, 1).reshape(channels, bands),
    )


def _block(w: Weights, bands: int) -> tuple[Float32Array, ...]:
    """Of one block, channels last, as ``keyword_kernels.py`` takes them."""
    channels = len(w["mix"])
    maps, averages = _apart(w["over_bands"], channels, bands)
    out = maps.shape[2]
    centres = bands // out * np.arange(out)
    taps = np.zeros((out, TAPS, channels), np.float32)
    for tap in range(TAPS):
        band = centres + tap - 1
        there = (band >= 0) & (band < bands)
        taps[there, tap] = maps[:, band[there], np.flatnonzero(there)].T
    offset = w["offset"][:, 0]
    each = channels // len(offset)
    spread, mean = offset[:, : each * out].reshape(channels, out), offset[:, each * out :]
    time = w["over_time"].reshape(-1, channels, 2, channels)
    own = np.arange(channels)
    change = w["change.weight"].T if "change.weight" in w else np.zeros((0, channels), np.float32)
    return (
        _filled(_filled(change), 0),
        _row(w["change.bias"] if "change.bias" in w else np.zeros(channels, np.float32)),
        _filled(taps),
        _filled(spread.T),
        _filled(averages.T),
        _row(mean),
        _filled(time[:, own, :, own].transpose(1, 2, 0)),
        _filled(w["time_offset"].reshape(2, channels)),
        _filled(_filled(w["mix"]), 0),
    )


def _layer(w: Weights, *, final: bool) -> tuple[Any, ...]:
    """Of one layer, its layer norms' scales and offsets taken in."""
    width, (heads, tokens, _) = len(w["attention.out.bias"]), w["attention.pulls"].shape
    norm = w["attention_norm.weight"], w["attention_norm.bias"]
    maps, bias = folded(*norm, w["attention.maps"].T, 0.0)
    asked, filled = 2 * width, -(-tokens // LANES) * LANES
    each = width // heads
    # The last head's values, too, are read in whole vectors.
    beyond = -(-each // LANES) * LANES - each
    value = _filled(np.pad(maps[:, asked:], ((0, 0), (0, beyond))))
    attention = (
        np.ascontiguousarray(maps[:, :asked].T),
        np.repeat(bias[:asked, None], filled, 1),
        value,
        _row(np.pad(bias[asked:], (0, value.shape[1] - width))),
        _filled(w["attention.pulls"][..., :-1].transpose(0, 2, 1)),
        np.ascontiguousarray(w["attention.least"][:, 0, :-1]),
        np.ascontiguousarray(w["attention.out.weight"].T),
        _row(w["attention.out.bias"]),
    )
    norm = w["feed_norm.weight"], w["feed_norm.bias"]
    inside, inside_bias = folded(*norm, w["inside.0.weight"].T, w["inside.0.bias"])
    last = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32)
    if not final:  # the head has the last one's
        last = np.ascontiguousarray(w["last.weight"].T), _row(w["last.bias"])
    return (
        attention,
        np.ascontiguousarray(inside),
        _row(inside_bias),
        *last,
    )


def _stem(w: Weights, bands: int) -> tuple[Any, ...]:
    """First convolution, blocks, and the map to a token."""
    blocks: list[tuple[Float32Array, ...]] = []
    bands //= STRIDE
    for number in range(count(w, "blocks")):
        blocks.append(_block(_below(w, f"blocks.{number}."), bands))
        bands = len(blocks[-1][3])
    kernel, width = w["inlet.kernel"], len(w["outlet.weight"])
    token = w["outlet.weight"].reshape(width, FRAMES, -1, bands).transpose(1, 3, 2, 0)
    return (
        (_filled(kernel.reshape(len(kernel), -1).T), _row(w["inlet.bias"])),
        tuple(blocks),
        (_filled(token, 2).reshape(-1, width), _row(w["outlet.bias"])),
    )


def _below(w: Weights, prefix: str) -> dict[str, Float32Array]:
    """The weights whose names begin with it, without it."""
    return {n.removeprefix(prefix): a for n, a in w.items() if n.startswith(prefix)}


def _sizes(w: Weights, bands: int) -> dict[str, tuple[int, ...]]:
    """Shapes that all weights must have, by name."""
    (tokens, width), (classes, labels) = w["position"].shape, w["labels"].shape
    channels = len(w["inlet.bias"])
    wanted: dict[str, tuple[int, ...]] = {
        "inlet.kernel": (channels, 1, KERNEL, KERNEL),
        "inlet.bias": (channels,),
    }
    bands //= STRIDE
    for i in range(count(w, "blocks")):
        after, maps = len(w[f"blocks.{i}.mix"]), w[f"blocks.{i}.over_bands"]
        groups = len(maps)
        each = after // groups
        out = maps.shape[2] // each - 1
        frames = len(w[f"blocks.{i}.over_time"]) // after
        block = {
            "over_bands": (groups, each * bands, each * (out + 1)),
            "offset": (groups, 1, each * (out + 1)),
            "over_time": (frames * after, FRAMES * after),
            "time_offset": (FRAMES * after,),
            "mix": (after, after),
        }
        if f"blocks.{i}.change.weight" in w or after != channels:
            block |= {"change.weight": (after, channels), "change.bias": (after, 1)}
        if groups * each != after or out not in (bands, bands // 2) or frames <= FRAMES:
            block["over_bands"] = ()
        wanted |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
        channels, bands = after, out
    inner = len(w["layers.0.inside.0.bias"])
    heads, _, spread = w["layers.0.attention.pulls"].shape
    layer = {
        "attention.maps": (3 * width, width),
        "attention.pulls": (heads, tokens, spread),
        "attention.least": (heads, 1, spread),
        "attention.out.weight": (width, width),
        "attention.out.bias": (width,),
        "attention_norm.weight": (width,),
        "attention_norm.bias": (width,),
        "feed_norm.weight": (width,),
        "feed_norm.bias": (width,),
        "inside.0.weight": (inner, width),
        "inside.0.bias": (inner,),
    }
    between = {"last.weight": (width, inner), "last.bias": (width,)}
    layers = count(w, "layers")
    for i in range(layers):
        parts = layer if i == layers - 1 else {**layer, **between}
        wanted |= {f"layers.{i}.{name}": shape for name, shape in parts.items()}
    return wanted | {
        "outlet.weight": (width, FRAMES * channels * bands),
        "outlet.bias": (width,),
        "head": (classes, width + inner),
        "head_bias": (classes,),
        "labels": (classes, labels),
        "stretches": (len(w["stretches"]), tokens),
    }


def _check_shapes(w: Weights, bands: int) -> None:
    """Raise KeyError or ValueError unless all weights fit: the compiled loop looks at no limits."""
    if not count(w, "blocks"):
        raise ValueError("it has no blocks")
    try:
        wanted = _sizes(w, bands)
    except (ZeroDivisionError, IndexError) as error:
        raise ValueError(f"the sizes make no sense ({error})") from error
    wrong = [name for name, shape in wanted.items() if w[name].shape != shape]
    (width, _), pulls = w["layers.0.attention.out.weight"].shape, w["layers.0.attention.pulls"]
    vectors = width % LANES == 0 and len(w["layers.0.inside.0.bias"]) % LANES == 0
    flat = pulls.shape[2] < 2  # the last dimension is no anchor's
    if wrong or flat or not vectors or width % len(pulls) or bands % STRIDE:
        raise ValueError(f"{wrong[0] if wrong else 'position'} has another shape")


def _room(w: Weights, anchors: tuple[int, ...]) -> dict[str, Float32Array]:
    """What a step fills, by name: the answer, the embedding, and the view as ``_show`` has it."""
    heads, tokens, _ = anchors
    shapes = {
        "logits": w["labels"].shape[1:],
        "embedding": (len(w["stretches"]) * w["position"].shape[1],),
        "settled": anchors,
        "order": (heads, tokens),
        "pull": (heads, tokens),
        "attention": (heads, tokens, tokens),
    }
    return {name: np.zeros((1, *shape), np.float32) for name, shape in shapes.items()}


class KeywordStep:
    """One stream's run through a spotter.

    Parameters
    ----------
    weights
        Of the step form (``export/keyword_step.py``) by name.
    bands
        Of a frame.

    Raises
    ------
    KeyError, ValueError
        If some are missing, or do not fit together.
    """

    def __init__(self, weights: Mapping[str, Any], bands: int) -> None:
        w = singles(weights)
        _check_shapes(w, bands)
        inlet, blocks, outlet = _stem(w, bands)
        last = count(w, "layers") - 1
        layers = tuple(_layer(_below(w, f"layers.{i}."), final=i == last) for i in range(last + 1))
        head = _filled(w["head"].T), _row(w["head_bias"]), w["labels"], w["position"]
        remembered = [(KERNEL - 1 + FRAMES, bands), *(b[6].shape[::2] for b in blocks)]
        shapes = [*remembered, w["position"].shape]
        sizes = [int(np.prod(shape)) for shape in shapes]
        self._memory = np.zeros(sum(sizes), np.float32)
        self._before = np.zeros_like(self._memory)
        parts = np.split(self._memory, np.cumsum(sizes)[:-1])
        #: Frames and averages that the stem remembers, the newest last, and the tokens.
        *pasts, tokens = (p.reshape(shape) for p, shape in zip(parts, shapes, strict=True))
        anchors = np.ascontiguousarray(w[f"layers.{last}.attention.pulls"][..., :-1])
        self._told = _room(w, anchors.shape)
        #: The file's outputs by name; overwritten by every step, but for the anchors.
        self.outputs = {**self._told, "anchors": anchors}
        logits, embedding, *view = (array[0] for array in self._told.values())
        course = embedding.reshape(len(w["stretches"]), -1)
        filled = (logits, course, tuple(view))
        self._packed = pack(
            (inlet, blocks, outlet, layers, (*head, w["stretches"]), tuple(pasts), tokens, filled)
        )

    def run(self, frames: Float32Array) -> None:
        """Take frames [2, bands] in."""
        self._before[:] = self._memory
        listen(frames, self._packed)

    def unchanged(self) -> bool:
        """Whether the last step left every state as it was."""
        return np.array_equal(self._before, self._memory)

    def reset(self) -> None:
        """Back to rest; the outputs too."""
        for array in (self._memory, *self._told.values()):
            array[:] = 0.0
