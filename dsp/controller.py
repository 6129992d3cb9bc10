"""The controller of a denoiser at work: a hop's features in, one gain per oscillator out.

``models/controller.py`` in one compiled function, with the numbers of the exported step form
(``export/denoiser_step.py``): as a graph of 200 operators a hop takes five times as long, and in a
live process, which finds its caches cold after each wait for its devices, eight times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.dsp.arrays import Float32Array
from resonance.dsp.coupled import (
    STATES,
    add_product,
    cached,
    copy,
    couple,
    fill,
    kernel,
    normalise,
    scratch,
    sigmoid,
)
from resonance.dsp.features import FEATURE_NAMES, SILENT_POWER
from resonance.dsp.simd import LANES, load, store

_SILENT = np.float32(SILENT_POWER)
_CONTRAST = FEATURE_NAMES.index("log_contrast")
#: Numbers that an oscillator's looks see: its own features, both neighbours', two averages.
_SEEN = 3 * len(FEATURE_NAMES) + 2


@kernel
def _relative(features, counted, log_rate, keep, per_feature, offset, state, out):  # type: ignore[no-untyped-def]
    """Fill out with the features relative to the running level; returns its logarithm."""
    level = np.float32(0.0)
    for k in range(features.shape[0]):
        for f in range(features.shape[1]):
            level += features[k, f] * counted[k, f]
    state[0] = keep[0] * state[0] + np.exp(level + log_rate[0])
    state[1] = keep[0] * state[1] + np.exp(log_rate[1])
    loud = np.log(state[0] / state[1] + _SILENT)
    for k in range(features.shape[0]):
        for f in range(features.shape[1]):
            out[k, f] = features[k, f] - (loud * per_feature[f] - offset[f])
    return loud


@kernel
def _see(relative, broad, rate, floor, seen):  # type: ignore[no-untyped-def]
    """Renew the slow averages, and fill seen [oscillators, 14]; neighbours are of one kind."""
    count, features = relative.shape
    for k in range(count):
        for a in range(2):
            level = relative[k, _CONTRAST]
            floor[k, a] += rate[k, a] * (level - floor[k, a])
            seen[k, 3 * features + a] = floor[k, a]
        left = k > 0 and k != broad
        right = k + 1 < count and k + 1 != broad
        for f in range(features):
            seen[k, f] = relative[k, f]
            seen[k, features + f] = relative[k - 1, f] if left else np.float32(0.0)
            seen[k, 2 * features + f] = relative[k + 1, f] if right else np.float32(0.0)


@kernel
def _silu(source, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, 16] with x · sigmoid(x) of the first 16 columns of source."""
    for i in range(out.shape[0]):
        x = load(source, (i, 0))
        store(out, (i, 0), x * sigmoid(x))


@kernel
def _guide(looked, guide, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, 16] with silu(outward look + what the tokens say)."""
    for i in range(out.shape[0]):
        x = load(looked, (i, LANES)) + load(guide, (i, 0))
        store(out, (i, 0), x * sigmoid(x))


@kernel
def _say(hidden, weight, bias, said):  # type: ignore[no-untyped-def]
    fill(bias, said)
    add_product(hidden, weight, said)


@kernel
def _equalise(said, kinds, phase_map, phase_share, weight_map, response, angle, out):  # type: ignore[no-untyped-def]
    """Fill out [1, 2 · bands] with gains minus 1 (``models/equaliser.py``)."""
    bands = said.shape[0]
    one = np.float32(1.0)
    for b in range(bands):
        passed = np.float32(2.0) / (one + np.exp(said[b, 0]))
        response[0, b] = passed if kinds == 2 else passed - one
    if kinds == 2:
        logs = np.empty((1, bands), said.dtype)
        for b in range(bands):
            logs[0, b] = np.log(response[0, b] + np.float32(1e-4))
        angle[:] = 0.0
        add_product(logs, phase_map, angle)
        for b in range(bands):
            passed, turn = response[0, b], angle[0, b] * phase_share[b] + said[b, 1]
            response[0, b] = passed * np.cos(turn) - one
            response[0, bands + b] = passed * np.sin(turn)
    out[:] = 0.0
    add_product(response, weight_map, out)


@cached
def respond(features, inlet, layers, outlet, level, floor, states, gains, readings):  # type: ignore[no-untyped-def]
    """All hops, one after the other: fill gains and readings, take the states along.

    Parameters
    ----------
    features
        Of hops [hops, oscillators, 4].
    inlet, layers, outlet
        Weights as :class:`Controller` packs them.
    level, floor, states
        Running level [2], slow averages [oscillators, 2], slow oscillators [layers, 2, T, S].
    gains, readings
        Complex gain for the next hop [hops, oscillators]; voice and noise, dBFS [hops, 2].
    """
    counted, log_rate, keep, per_feature, offset, rate, look_b, code_b, look_n, code_n = inlet[:10]
    own_weight, pooled_weight, code, down = inlet[10:]
    into, bias, turn, mix, out_weight = layers
    guide_b_weight, guide_b_bias, guide_n_weight, guide_n_bias, up = outlet[:5]
    say_b, bias_b, say_n, bias_n, phase_map, phase_share, weight_map = outlet[5:12]
    reading_weight, reading_bias, reading_level = outlet[12:]
    oscillators, broad = features.shape[1], code_b.shape[0]
    narrow, tokens, channels = oscillators - broad, code.shape[0], code.shape[1]
    wide, kinds = own_weight.shape[0], weight_map.shape[0] // broad
    kind = features.dtype
    relative, seen = np.empty(features.shape[1:], kind), np.empty((oscillators, _SEEN), kind)
    looked_b, looked_n = np.empty((broad, 2 * LANES), kind), np.empty((narrow, 2 * LANES), kind)
    hidden_b, hidden_n = np.empty((broad, LANES), kind), np.empty((narrow, LANES), kind)
    said_b, said_n = np.empty((broad, LANES), kind), np.empty((narrow, LANES), kind)
    pooled, spread = np.empty((tokens, LANES), kind), np.empty((narrow, LANES), kind)
    guide_b, guide_n = np.empty((tokens, wide), kind), np.empty((tokens, LANES), kind)
    x, n = np.empty((tokens, channels), kind), np.empty((tokens, channels), kind)
    scale = np.empty(tokens, kind)
    response, angle = np.empty((1, kinds * broad), kind), np.empty((1, broad), kind)
    equalised = np.empty((1, 2 * broad), kind)
    room = scratch(tokens, channels, x)
    for hop in range(features.shape[0]):
        loud = _relative(
            features[hop], counted, log_rate, keep, per_feature, offset, level, relative
        )
        _see(relative, broad, rate, floor, seen)
        copy(code_b, looked_b)
        add_product(seen[:broad], look_b, looked_b)
        copy(code_n, looked_n)
        add_product(seen[broad:], look_n, looked_n)
        _silu(looked_b, hidden_b)
        _silu(looked_n, hidden_n)
        pooled[:] = 0.0
        add_product(down, hidden_n, pooled)
        copy(code, x)
        add_product(hidden_b.reshape(tokens, wide), own_weight, x)
        add_product(pooled, pooled_weight, x)
        for i in range(into.shape[0]):
            weights = into[i], bias[i], turn[i], mix[i], out_weight[i]
            couple(x, *weights, states[i], states[i], room, x)
        normalise(x, n, scale)
        fill(guide_b_bias, guide_b)
        add_product(n, guide_b_weight, guide_b)
        fill(guide_n_bias, guide_n)
        add_product(n, guide_n_weight, guide_n)
        _guide(looked_b, guide_b.reshape(broad, LANES), hidden_b)
        _say(hidden_b, say_b, bias_b, said_b)
        spread[:] = 0.0
        add_product(up, guide_n, spread)
        _guide(looked_n, spread, hidden_n)
        _say(hidden_n, say_n, bias_n, said_n)
        _equalise(said_b, kinds, phase_map, phase_share, weight_map, response, angle, equalised)
        for k in range(broad):
            re = np.float32(1.0) + equalised[0, 2 * k] + said_b[k, kinds]
            gains[hop, k] = complex(re, equalised[0, 2 * k + 1] + said_b[k, kinds + 1])
        for k in range(narrow):
            gains[hop, broad + k] = complex(np.float32(1.0) + said_n[k, 0], said_n[k, 1])
        for r in range(2):
            read = np.float32(0.0)
            for t in range(n.shape[0]):
                for c in range(n.shape[1]):
                    read += n[t, c] * reading_weight[c, r]
            readings[hop, r] = read / tokens + reading_bias[r] + loud * reading_level[r]
        readings[hop, 0] = np.float32(1.0) / (np.float32(1.0) + np.exp(-readings[hop, 0]))


Weights = Mapping[str, Float32Array]


def _lanes(weight: Float32Array, parts: int = 1) -> Float32Array:
    """Columns in ``parts`` equal groups, each filled up with zeros to 16."""
    grouped = weight.reshape(*weight.shape[:-1], parts, -1)
    missing = [(0, 0)] * (grouped.ndim - 1) + [(0, LANES - grouped.shape[-1])]
    filled = np.pad(grouped, missing)
    return np.ascontiguousarray(filled.reshape(*weight.shape[:-1], parts * LANES))


def _rows(weight: Float32Array, parts: int = 1) -> Float32Array:
    """The same for rows."""
    return np.ascontiguousarray(_lanes(weight.T, parts).T)


def _inlet(w: Weights) -> tuple[Any, ...]:
    """Level, slow averages, looks (inward and outward in 16 lanes each), and tokens."""
    group = len(w["inlet.broad_code"]) // len(w["inlet.code"])
    look = w["inlet.broad_code"].shape[1] // 2
    own, pooled = np.split(w["inlet.weight"], [group * look])
    level = [
        w[f"level.{name}"] for name in ("counted", "log_rate", "keep", "per_feature", "offset")
    ]
    looks = [
        _lanes(w[f"inlet.{k}_{n}"], 2) for k in ("broad", "narrow") for n in ("weight", "code")
    ]
    return (
        *level,
        w["inlet.rate"],
        *looks,
        _rows(own, group),
        _rows(pooled),
        w["inlet.code"],
        w["inlet.down"],
    )


def _layers(w: Weights) -> tuple[Float32Array, ...]:
    """Weights of all layers in one array for each kind, as :func:`couple` takes them."""
    count = 0
    while f"layers.{count}.weight" in w:
        count += 1
    each = [_layer({n: w[f"layers.{i}.{n}"] for n in _LAYER}) for i in range(count)]
    return tuple(np.ascontiguousarray(np.stack(kind)) for kind in zip(*each, strict=True))


_LAYER = ("norm.weight", "norm.bias", "weight", "bias", "turning", "mix_re", "mix_im", "out")


def _layer(w: Weights) -> tuple[Float32Array, ...]:
    # The step form names the gain twice: for the real and for the imaginary part.
    once = np.r_[: 3 * STATES, 4 * STATES : 6 * STATES]
    into, bias = _folded(w["norm.weight"], w["norm.bias"], w["weight"], w["bias"])
    turn = [np.diag(w["turning"][:STATES, s : s + STATES]) for s in (0, STATES)]
    mix = np.stack([w["mix_re"], w["mix_im"]])
    return into[:, once], bias[once], np.stack(turn), mix, w["out"]


def _folded(
    scale: Float32Array, offset: Float32Array, weight: Float32Array, bias: Float32Array
) -> tuple[Float32Array, Float32Array]:
    """Weight and bias that take in the layer norm's own scale and offset."""
    return scale[:, None] * weight, bias + offset @ weight


def _outlet(w: Weights) -> tuple[Float32Array, ...]:
    """Guides, what the oscillators say, equaliser and readings."""
    w = {name.removeprefix("outlet."): a for name, a in w.items()}
    norm = w["norm.weight"], w["norm.bias"]
    guide, guide_bias = _folded(*norm, w["guide_weight"], w["guide_bias"])
    look = len(w["say_narrow_weight"])
    group = guide.shape[1] // look - 1
    guides = []
    for part, parts in ((np.s_[: group * look], group), (np.s_[group * look :], 1)):
        guides += [_lanes(guide[:, part], parts), _lanes(guide_bias[part], parts)]
    says = []
    for kind in ("broad", "narrow"):
        says += [_rows(_lanes(w[f"say_{kind}_weight"])), _lanes(w[f"say_{kind}_bias"])]
    none = np.zeros((0, 0), np.float32)
    phases = [w.get("equaliser.phase_map", none), w.get("equaliser.phase_share", none[0:0].ravel())]
    reading, reading_bias = _folded(*norm, w["reading_weight"], w["reading_bias"])
    return (
        *guides,
        w["up"],
        *says,
        *phases,
        w["equaliser.weight_map"],
        np.ascontiguousarray(reading),
        reading_bias,
        w["reading_level"],
    )


def _check_shapes(w: Weights) -> None:
    """Raise KeyError or ValueError unless all weights fit: the compiled loop looks at no limits."""
    (broad, looks), (narrow, _) = w["inlet.broad_code"].shape, w["inlet.narrow_code"].shape
    tokens, channels = w["inlet.code"].shape
    look, features = looks // 2, len(FEATURE_NAMES)
    oscillators, group = broad + narrow, broad // tokens
    kinds = len(w["outlet.equaliser.weight_map"]) // broad
    wanted: dict[str, tuple[int, ...]] = {
        "level.counted": (oscillators, features),
        "level.log_rate": (2,),
        "level.keep": (1,),
        "level.per_feature": (features,),
        "level.offset": (features,),
        "inlet.rate": (oscillators, 2),
        "inlet.broad_weight": (_SEEN, 2 * look),
        "inlet.narrow_weight": (_SEEN, 2 * look),
        "inlet.broad_code": (tokens * group, 2 * look),
        "inlet.narrow_code": (narrow, 2 * look),
        "inlet.weight": ((group + 1) * look, channels),
        "inlet.down": (tokens, narrow),
        "outlet.norm.weight": (channels,),
        "outlet.norm.bias": (channels,),
        "outlet.guide_weight": (channels, (group + 1) * look),
        "outlet.guide_bias": ((group + 1) * look,),
        "outlet.up": (narrow, tokens),
        "outlet.say_broad_weight": (look, kinds + 2),
        "outlet.say_broad_bias": (kinds + 2,),
        "outlet.say_narrow_weight": (look, 2),
        "outlet.say_narrow_bias": (2,),
        "outlet.equaliser.weight_map": (kinds * broad, 2 * broad),
        "outlet.reading_weight": (channels, 2),
        "outlet.reading_bias": (2,),
        "outlet.reading_level": (2,),
    }
    if kinds == 2:
        wanted |= {
            "outlet.equaliser.phase_map": (broad, broad),
            "outlet.equaliser.phase_share": (broad,),
        }
    layer = {
        "norm.weight": (channels,),
        "norm.bias": (channels,),
        "weight": (channels, 6 * STATES),
        "bias": (6 * STATES,),
        "turning": (2 * STATES, 2 * STATES),
        "mix_re": (tokens, tokens),
        "mix_im": (tokens, tokens),
        "out": (2 * STATES, channels),
    }
    count = len({name.split(".")[1] for name in w if name.startswith("layers.")})
    wanted |= {f"layers.{i}.{name}": shape for i in range(count) for name, shape in layer.items()}
    wrong = [name for name, shape in wanted.items() if w[name].shape != shape]
    if wrong or kinds not in (1, 2) or channels % LANES or not 0 < look <= LANES or not count:
        raise ValueError(f"{wrong[0] if wrong else 'inlet.code'} has another shape")


class Controller:
    """One channel's run through a controller.

    Parameters
    ----------
    weights
        Of the step form (``export/denoiser_step.py``) by name.

    Raises
    ------
    KeyError, ValueError
        If some are missing, or do not fit together.
    """

    def __init__(self, weights: Mapping[str, Any]) -> None:
        w = {name: np.ascontiguousarray(a, np.float32) for name, a in weights.items()}
        _check_shapes(w)
        self._inlet, self._layers, self._outlet = _inlet(w), _layers(w), _outlet(w)
        self.oscillators, tokens = len(w["level.counted"]), len(w["inlet.code"])
        self._level = np.zeros(2, np.float32)
        self._floor = np.zeros((self.oscillators, 2), np.float32)
        count = len(self._layers[0])
        self._states = np.zeros((count, 2, tokens, STATES), np.float32)
        self.reset()

    def reset(self) -> None:
        """Back to rest."""
        for state in (self._level, self._floor, self._states):
            state[:] = 0.0

    def respond(
        self, features: Float32Array, gains: NDArray[np.complex64], readings: Float32Array
    ) -> None:
        """Take hops in.

        Parameters
        ----------
        features
            Of each hop [hops, oscillators, 4].
        gains
            Filled with the gains for the hop after each [hops, oscillators].
        readings
            Filled with voice (0 … 1) and noise level, dBFS [hops, 2].
        """
        weights = self._inlet, self._layers, self._outlet
        states = self._level, self._floor, self._states
        respond(features, *weights, *states, gains, readings)
