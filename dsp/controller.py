"""The controller of a denoiser at work: features in, one gain per oscillator out.

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
    couple,
    kernel,
    normalise,
    once,
    scratch,
    set_product,
    sigmoid,
)
from resonance.dsp.features import FEATURE_NAMES, SILENT_POWER
from resonance.dsp.packing import pack
from resonance.dsp.simd import LANES, load, store
from resonance.dsp.weights import Weights, count, folded, singles

_SILENT = np.float32(SILENT_POWER)
_CONTRAST = FEATURE_NAMES.index("log_contrast")
#: Numbers that an oscillator's looks see: its own features and both neighbours'; two averages.
_AROUND = 3 * len(FEATURE_NAMES)
_SEEN = _AROUND + 2


@once
def _level(features, counted, log_rate, keep, state):  # type: ignore[no-untyped-def]
    """Renew the running level: its power, the start's share, and the logarithm [3]."""
    level = np.float32(0.0)
    for k in range(features.shape[0]):
        for f in range(features.shape[1]):
            level += features[k, f] * counted[k, f]
    state[0] = keep[0] * state[0] + np.exp(level + log_rate[0])
    state[1] = keep[0] * state[1] + np.exp(log_rate[1])
    state[2] = np.log(state[0] / state[1] + _SILENT)


@kernel
def _relative(features, loud, per_feature, offset, out):  # type: ignore[no-untyped-def]
    """Fill out [oscillators, 4] with the features relative to a level."""
    for k in range(features.shape[0]):
        for f in range(features.shape[1]):
            out[k, f] = features[k, f] - (loud * per_feature[f] - offset[f])


@once
def _average(relative, rate, floor):  # type: ignore[no-untyped-def]
    """Renew the slow averages [oscillators, 2]."""
    for k in range(floor.shape[0]):
        for a in range(2):
            floor[k, a] += rate[k, a] * (relative[k, _CONTRAST] - floor[k, a])


@kernel
def _see(relative, broad, seen):  # type: ignore[no-untyped-def]
    """Fill the first columns of seen [oscillators, 12 or more]; neighbours are of one kind."""
    count, features = relative.shape
    for k in range(count):
        left = k > 0 and k != broad
        right = k + 1 < count and k + 1 != broad
        for f in range(features):
            seen[k, f] = relative[k, f]
            seen[k, features + f] = relative[k - 1, f] if left else np.float32(0.0)
            seen[k, 2 * features + f] = relative[k + 1, f] if right else np.float32(0.0)


@kernel
def _silu(source, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, 16] with x · sigmoid(x) of source."""
    for i in range(out.shape[0]):
        x = load(source, (i, 0))
        store(out, (i, 0), x * sigmoid(x))


@kernel
def _guide(looked, guide, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, 16] with silu(outward look + what the tokens say)."""
    for i in range(out.shape[0]):
        x = load(looked, (i, 0)) + load(guide, (i, 0))
        store(out, (i, 0), x * sigmoid(x))


@kernel
def _say(hidden, weight, bias, said):  # type: ignore[no-untyped-def]
    set_product(bias.reshape(1, len(bias)), hidden, weight, said)


@once
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


@once
def _hear(seen, inlet, layers, states, n):  # type: ignore[no-untyped-def]
    """Take an update in: looks inward, then all layers; fill n with the tokens, normalised."""
    look_b, code_b, look_n, code_n, own_weight, pooled_weight, code, down = inlet[6:]
    into, bias, turn, mix, out_weight = layers
    broad, (tokens, channels), kind = code_b.shape[0], code.shape, seen.dtype
    looked_b, looked_n = np.empty(code_b.shape, kind), np.empty(code_n.shape, kind)
    x, pooled = np.empty((tokens, channels), kind), np.zeros((tokens, LANES), kind)
    set_product(code_b, seen[:broad], look_b, looked_b)
    set_product(code_n, seen[broad:], look_n, looked_n)
    _silu(looked_b, looked_b)
    _silu(looked_n, looked_n)
    add_product(down, looked_n, pooled)
    set_product(code, looked_b.reshape(tokens, own_weight.shape[0]), own_weight, x)
    add_product(pooled, pooled_weight, x)
    room = scratch(tokens, channels, x)
    for i in range(into.shape[0]):
        couple(x, into[i], bias[i], turn[i], mix[i], out_weight[i], states[i], states[i], room, x)
    normalise(x, n, np.empty(tokens, kind))


@once
def _tell(n, loud, outlet, guide_b, guide_n, reading):  # type: ignore[no-untyped-def]
    """Fill guides [broad, 16] and [narrow, 16] and the reading [2] from the tokens."""
    guide_b_weight, guide_b_bias, guide_n_weight, guide_n_bias, up = outlet[:5]
    reading_weight, reading_bias, reading_level = outlet[12:15]
    (tokens, channels), kind = n.shape, n.dtype
    said_b = guide_b.reshape(tokens, guide_b_weight.shape[1])
    set_product(guide_b_bias.reshape(1, len(guide_b_bias)), n, guide_b_weight, said_b)
    said_n = np.empty((tokens, LANES), kind)
    set_product(guide_n_bias.reshape(1, len(guide_n_bias)), n, guide_n_weight, said_n)
    guide_n[:] = 0.0
    add_product(up, said_n, guide_n)
    for r in range(2):
        read = np.float32(0.0)
        for t in range(tokens):
            for c in range(channels):
                read += n[t, c] * reading_weight[c, r]
        reading[r] = read / tokens + reading_bias[r] + loud * reading_level[r]
    reading[0] = np.float32(1.0) / (np.float32(1.0) + np.exp(-reading[0]))


@once
def _move(seen, part, outlet, guide, gains):  # type: ignore[no-untyped-def]
    """Fill the gains of the broad oscillators, the first, from what they see and are told."""
    say, say_bias, phase_map, phase_share, weight_map = (
        outlet[5],
        outlet[6],
        outlet[9],
        outlet[10],
        outlet[11],
    )
    look, code, part_look = outlet[15], outlet[16], outlet[19]
    broad, kind = len(code), seen.dtype
    kinds = weight_map.shape[0] // broad
    looked, said = np.empty((broad, LANES), kind), np.empty((broad, LANES), kind)
    response, angle = np.empty((1, kinds * broad), kind), np.empty((1, broad), kind)
    equalised = np.empty((1, 2 * broad), kind)
    set_product(code, seen, look, looked)
    add_product(part, part_look, looked)
    _guide(looked, guide, looked)
    _say(looked, say, say_bias, said)
    _equalise(said, kinds, phase_map, phase_share, weight_map, response, angle, equalised)
    for k in range(broad):
        re = np.float32(1.0) + equalised[0, 2 * k] + said[k, kinds]
        gains[k] = complex(re, equalised[0, 2 * k + 1] + said[k, kinds + 1])


@once
def _keep(seen, outlet, guide, kept):  # type: ignore[no-untyped-def]
    """Fill the gains of the narrow oscillators."""
    say, say_bias, look, code = outlet[7], outlet[8], outlet[17], outlet[18]
    looked, said = np.empty(code.shape, seen.dtype), np.empty(code.shape, seen.dtype)
    set_product(code, seen, look, looked)
    _guide(looked, guide, looked)
    _say(looked, say, say_bias, said)
    for k in range(len(kept)):
        kept[k] = complex(np.float32(1.0) + said[k, 0], said[k, 1])


@cached
def respond(features, ended, controller, gains, readings):  # type: ignore[no-untyped-def]
    """All parts of hops, one after the other: fill gains, take the states along.

    Parameters
    ----------
    features
        Of the time of a hop up to the end of each part, and of the part [parts, 2, oscillators, 4];
        of the narrow oscillators only where an update ends.
    ended
        Which parts end an update [parts].
    controller
        Weights and states, packed by :class:`Controller`.
    gains
        Complex gain for the next part [parts, oscillators]; 1 until the first update.
    readings
        Voice and noise level by the last update, after each part [parts, 2].
    """
    inlet, layers, outlet, level, floor, states, guide_b, kept_n, reading = controller.content[:9]
    counted, log_rate, keep, per_feature, offset, rate = inlet[:6]
    oscillators, broad, kind = features.shape[2], guide_b.shape[0], features.dtype
    relative = np.empty(features.shape[2:], kind)
    seen, part = np.empty((oscillators, _SEEN), kind), np.empty((broad, _AROUND), kind)
    n, guide_n = np.empty(inlet[12].shape, kind), np.empty((oscillators - broad, LANES), kind)
    for step in range(features.shape[0]):
        if ended[step]:
            _level(features[step, 0], counted, log_rate, keep, level)
        elif level[1] == 0.0:
            for k in range(oscillators):
                gains[step, k] = np.complex64(1.0)
            readings[step] = reading
            continue
        count = oscillators if ended[step] else broad
        _relative(features[step, 0, :count], level[2], per_feature, offset, relative)
        _see(relative[:count], broad, seen)
        if ended[step]:
            _average(relative, rate, floor)
        for k in range(count):
            for a in range(2):
                seen[k, _AROUND + a] = floor[k, a]
        if ended[step]:
            _hear(seen, inlet, layers, states, n)
            _tell(n, level[2], outlet, guide_b, guide_n, reading)
            _keep(seen[broad:], outlet, guide_n, kept_n)
        readings[step] = reading
        _relative(features[step, 1, :broad], level[2], per_feature, offset, relative)
        _see(relative[:broad], broad, part)
        _move(seen[:broad], part, outlet, guide_b, gains[step])
        for k in range(broad, oscillators):
            gains[step, k] = kept_n[k - broad]


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
    """Level, slow averages, looks inward (in 16 lanes), and tokens."""
    group = len(w["inlet.broad_code"]) // len(w["inlet.code"])
    look = w["inlet.broad_code"].shape[1]
    own, pooled = np.split(w["inlet.weight"], [group * look])
    level = [
        w[f"level.{name}"] for name in ("counted", "log_rate", "keep", "per_feature", "offset")
    ]
    looks = (_lanes(w[f"inlet.{k}_{n}"]) for k in _KINDS for n in ("weight", "code"))
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
    each = [_layer({n: w[f"layers.{i}.{n}"] for n in _LAYER}) for i in range(count(w, "layers"))]
    return tuple(np.ascontiguousarray(np.stack(kind)) for kind in zip(*each, strict=True))


_KINDS = ("broad", "narrow")
_LAYER = ("norm.weight", "norm.bias", "weight", "bias", "turning", "mix_re", "mix_im", "out")


def _layer(w: Weights) -> tuple[Float32Array, ...]:
    # The step form names the gain twice: for the real and for the imaginary part.
    once = np.r_[: 3 * STATES, 4 * STATES : 6 * STATES]
    into, bias = folded(w["norm.weight"], w["norm.bias"], w["weight"], w["bias"])
    turn = [np.diag(w["turning"][:STATES, s : s + STATES]) for s in (0, STATES)]
    mix = np.stack([w["mix_re"], w["mix_im"]])
    return into[:, once], bias[once], np.stack(turn), mix, w["out"]


def _outlet(w: Weights) -> tuple[Float32Array, ...]:
    """Guides, what the oscillators say, equaliser, readings, and looks outward."""
    w = {name.removeprefix("outlet."): a for name, a in w.items()}
    norm = w["norm.weight"], w["norm.bias"]
    look = len(w["say_narrow_weight"])
    guides = []
    for kind in _KINDS:
        guide, bias = folded(*norm, w[f"guide_{kind}_weight"], w[f"guide_{kind}_bias"])
        parts = len(bias) // look
        guides += [_lanes(guide, parts), _lanes(bias, parts)]
    says = []
    for kind in _KINDS:
        says += [_rows(_lanes(w[f"say_{kind}_weight"])), _lanes(w[f"say_{kind}_bias"])]
    none = np.zeros((0, 0), np.float32)
    phases = [w.get("equaliser.phase_map", none), w.get("equaliser.phase_share", none[0:0].ravel())]
    reading, reading_bias = folded(*norm, w["reading_weight"], w["reading_bias"])
    looks = [_lanes(w[f"{k}_{n}"]) for k in _KINDS for n in ("weight", "code")]
    return (
        *guides,
        w["up"],
        *says,
        *phases,
        w["equaliser.weight_map"],
        np.ascontiguousarray(reading),
        reading_bias,
        w["reading_level"],
        *looks,
        _lanes(w["part"]),
    )


def _check_shapes(w: Weights) -> None:
    """Raise KeyError or ValueError unless all weights fit: the compiled loop looks at no limits."""
    (broad, look), (narrow, _) = w["inlet.broad_code"].shape, w["inlet.narrow_code"].shape
    (tokens, channels), features = w["inlet.code"].shape, len(FEATURE_NAMES)
    oscillators, group = broad + narrow, broad // tokens
    kinds = len(w["outlet.equaliser.weight_map"]) // broad
    wanted: dict[str, tuple[int, ...]] = {
        "level.counted": (oscillators, features),
        "level.log_rate": (2,),
        "level.keep": (1,),
        "level.per_feature": (features,),
        "level.offset": (features,),
        "inlet.rate": (oscillators, 2),
        "inlet.broad_weight": (_SEEN, look),
        "inlet.narrow_weight": (_SEEN, look),
        "inlet.broad_code": (tokens * group, look),
        "inlet.narrow_code": (narrow, look),
        "inlet.weight": ((group + 1) * look, channels),
        "inlet.down": (tokens, narrow),
        "outlet.broad_weight": (_SEEN, look),
        "outlet.narrow_weight": (_SEEN, look),
        "outlet.part": (_AROUND, look),
        "outlet.broad_code": (broad, look),
        "outlet.narrow_code": (narrow, look),
        "outlet.norm.weight": (channels,),
        "outlet.norm.bias": (channels,),
        "outlet.guide_broad_weight": (channels, group * look),
        "outlet.guide_broad_bias": (group * look,),
        "outlet.guide_narrow_weight": (channels, look),
        "outlet.guide_narrow_bias": (look,),
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
    layers = count(w, "layers")
    wanted |= {f"layers.{i}.{name}": shape for i in range(layers) for name, shape in layer.items()}
    wrong = [name for name, shape in wanted.items() if w[name].shape != shape]
    # Rows that the equaliser writes in vectors: of bands, or of gains, real and imaginary.
    vectors = channels % LANES == 0 and (broad if kinds == 2 else 2 * broad) % LANES == 0
    if wrong or kinds not in (1, 2) or not vectors or not 0 < look <= LANES or not layers:
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
        w = singles(weights)
        _check_shapes(w)
        layers = _layers(w)
        self.oscillators, tokens = len(w["level.counted"]), len(w["inlet.code"])
        self.broad = len(w["inlet.broad_code"])
        level, floor = np.zeros(3, np.float32), np.zeros((self.oscillators, 2), np.float32)
        states = np.zeros((len(layers[0]), 2, tokens, STATES), np.float32)
        narrow = np.zeros(self.oscillators - self.broad, np.complex64)
        guide = np.zeros((self.broad, LANES), np.float32)
        #: Voice (0 … 1) and noise level, dBFS, around the last update [2]; zeros before the first.
        self.reading = np.zeros(2, np.float32)
        #: Running level [3], slow averages [oscillators, 2], slow oscillators [layers, 2, T, S];
        #: what the last update said: guide of the broad oscillators [broad, 16] and gains of the
        #: narrow ones [narrow].
        self._states = level, floor, states, guide, narrow
        #: For the part after the last one [oscillators].
        self.gains = np.ones(self.oscillators, np.complex64)
        #: All of it for compiled functions.
        self.packed = pack(
            (_inlet(w), layers, _outlet(w), *self._states, self.reading, self.gains[None])
        )

    def reset(self) -> None:
        """Back to rest."""
        for state in (*self._states, self.reading):
            state[:] = 0.0
        self.gains[:] = 1.0

    def respond(
        self, features: Float32Array, ended: NDArray[np.bool_], gains: NDArray[np.complex64]
    ) -> Float32Array:
        """Take parts of hops in.

        Parameters
        ----------
        features
            Of the time of a hop up to the end of each part, and of the part
            [parts, 2, oscillators, 4].
        ended
            Which parts end an update [parts].
        gains
            Filled with the gains for the part after each [parts, oscillators].

        Returns
        -------
        ndarray
            :attr:`reading` after each [parts, 2].
        """
        readings = np.empty((len(features), 2), np.float32)
        respond(features, ended, self.packed, gains, readings)
        if len(gains):
            self.gains[:] = gains[-1]
        return readings
