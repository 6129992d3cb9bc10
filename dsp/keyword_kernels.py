"""Compiled inner loops of the keyword spotter: stem, oscillator attention, answer.

Channels lie beside each other, so that 16 of them are one vector; :mod:`resonance.dsp.keyword_step`
arranges the weights.
"""

from __future__ import annotations

import numpy as np

from resonance.dsp.coupled import (
    add_product,
    cached,
    kernel,
    normalise,
    once,
    set_product,
    sigmoid,
)
from resonance.dsp.simd import LANES, exp, larger, load, store, total, transpose

#: Coupling that is left where ReLU leaves none.
LEAST_COUPLING = 1e-3
#: Keeps gradients of undecided tokens (‖h‖ near 0) finite.
SOFTENING = 1e-3
#: Frames and bands that the first convolution sees, and its stride over bands.
KERNEL, STRIDE = 5, 2
#: Taps of the others over bands.
TAPS = 3
#: Of the error function, half of each.
_ERF_RATE = 0.3275911 * np.sqrt(0.5)
_ERF = (0.5307027145, -0.7265760135, 0.7107068705, -0.142248368, 0.127414796)


@kernel
def _rectify(x):  # type: ignore[no-untyped-def]
    """Replace what lies below 0 in x [rows, 16 n] by 0."""
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            x[i, c] = max(x[i, c], np.float32(0.0))


@kernel
def _shift(past, count):  # type: ignore[no-untyped-def]
    """Move the rows of past up, the first ``count`` fall out."""
    for i in range(past.shape[0] - count):
        for c in range(past.shape[1]):
            past[i, c] = past[i + count, c]


@once
def _first(frames, inlet, past, x):  # type: ignore[no-untyped-def]
    """First convolution: fill x [2 · bands / 2, channels] from frames [2, bands]."""
    weight, bias = inlet
    count, bands = frames.shape
    _shift(past, count)
    for f in range(count):
        for b in range(bands):
            past[past.shape[0] - count + f, b] = frames[f, b]
    half = bands // STRIDE
    windows = np.empty((count * half, KERNEL * KERNEL), x.dtype)
    for f in range(count):
        for o in range(half):
            for t in range(KERNEL):
                for j in range(KERNEL):
                    band = min(max(STRIDE * o + j - KERNEL // 2, 0), bands - 1)
                    windows[f * half + o, KERNEL * t + j] = past[f + t, band]
    set_product(bias, windows, weight, x)
    _rectify(x)


@kernel
def _spread(x, taps, offset, y):  # type: ignore[no-untyped-def]
    """Convolve each channel over bands: x [bands, channels] → y [bands out, channels]."""
    bands, channels = x.shape
    stride = bands // y.shape[0]
    for o in range(y.shape[0]):
        for c in range(0, channels, LANES):
            summed = load(offset, (o, c))
            for j in range(TAPS):
                band = stride * o + j - 1
                if 0 <= band < bands:
                    summed += load(taps, (o, j, c)) * load(x, (band, c))
            store(y, (o, c), summed)


@kernel
def _average(x, share, offset, y):  # type: ignore[no-untyped-def]
    """Fill y [channels] with weighted means of x [bands, channels]."""
    for c in range(0, x.shape[1], LANES):
        summed = load(offset, (0, c))
        for b in range(x.shape[0]):
            summed += load(share, (b, c)) * load(x, (b, c))
        store(y, (c,), summed)


@kernel
def _over_time(averages, taps, offset, y):  # type: ignore[no-untyped-def]
    """Fill y [2, channels] with silu of the averages [frames, channels] convolved over time."""
    for f in range(y.shape[0]):
        for c in range(0, y.shape[1], LANES):
            summed = load(offset, (f, c))
            for k in range(averages.shape[0]):
                summed += load(taps, (k, f, c)) * load(averages, (k, c))
            store(y, (f, c), summed * sigmoid(summed))


@kernel
def _block(x, block, averages):  # type: ignore[no-untyped-def]
    """One block of the stem: x [2 · bands, channels] → [2 · bands out, channels out]."""
    change, change_bias, taps, offset, share, mean_offset, over_time, time_offset, mix = block
    kind, channels = x.dtype, mix.shape[0]
    if change.shape[0]:
        changed = np.empty((x.shape[0], channels), kind)
        set_product(change_bias, x, change, changed)
        _rectify(changed)
        x = changed
    bands, out = x.shape[0] // 2, offset.shape[0]
    y, timed = np.empty((2 * out, channels), kind), np.empty((2, channels), kind)
    mixed = np.zeros((2, channels), kind)
    _shift(averages, 2)
    for f in range(2):
        frame = x[f * bands : (f + 1) * bands]
        _spread(frame, taps, offset, y[f * out : (f + 1) * out])
        _average(frame, share, mean_offset, averages[averages.shape[0] - 2 + f])
    _over_time(averages, over_time, time_offset, timed)
    add_product(timed, mix, mixed)
    for f in range(2):
        for o in range(out):
            for c in range(channels):
                i = f * out + o
                y[i, c] = max(y[i, c] + mixed[f, c], np.float32(0.0))
    return y


@once
def _token(frames, inlet, blocks, outlet, pasts, tokens):  # type: ignore[no-untyped-def]
    """The stem: two frames become the newest of the tokens [tokens, width]."""
    weight, bias = outlet
    x = np.empty((frames.size // STRIDE, inlet[1].shape[1]), frames.dtype)
    _first(frames, inlet, pasts[0], x)
    for i in range(len(blocks)):
        x = _block(x, blocks[i], pasts[i + 1])
    _shift(tokens, 1)
    set_product(bias, x.reshape(1, x.size), weight, tokens[tokens.shape[0] - 1 :])


@kernel
def _synchronise(coupling, pulls, least, drives, weights):  # type: ignore[no-untyped-def]
    """What drives the oscillators of a head, and how much of each token they take.

    Parameters
    ----------
    coupling
        Between tokens [T, T filled up to 16].
    pulls
        Anchors, filled up with zeros [d_osc, T filled up].
    least
        What drives every oscillator anyway [d_osc].
    drives
        Filled [T, d_osc].
    weights
        Filled with rows that sum to 1, nothing beyond T [T, T filled up].
    """
    tokens, size = coupling.shape
    for i in range(tokens):
        squared = np.float32(SOFTENING * SOFTENING)
        for d in range(pulls.shape[0]):
            along = load(coupling, (i, 0)) * load(pulls, (d, 0))
            for j in range(LANES, size, LANES):
                along += load(coupling, (i, j)) * load(pulls, (d, j))
            drives[i, d] = total(along) + least[d]
            squared += drives[i, d] * drives[i, d]
        length = np.sqrt(squared)
        for j in range(0, size, LANES):
            near = load(pulls, (0, j)) * drives[i, 0] + length
            for d in range(1, pulls.shape[0]):
                near += load(pulls, (d, j)) * drives[i, d]
            store(weights, (i, j), near * near)
        for j in range(tokens, size):
            weights[i, j] = np.float32(0.0)
        added = load(weights, (i, 0))
        for j in range(LANES, size, LANES):
            added += load(weights, (i, j))
        share = np.float32(1.0) / total(added)
        for j in range(0, size, LANES):
            store(weights, (i, j), load(weights, (i, j)) * share)


@kernel
def _show(head, coupling, drives, weights, view):  # type: ignore[no-untyped-def]
    """Fill a head's part of the view: settled, order, pull, attention."""
    settled, order, pull, attention = view
    tokens, spread = drives.shape
    for i in range(tokens):
        free, coupled = np.float32(0.0), np.float32(LEAST_COUPLING * tokens)
        for d in range(spread):
            free += drives[i, d] * drives[i, d]
        length = np.sqrt(free + np.float32(SOFTENING * SOFTENING))
        for d in range(spread):
            settled[head, i, d] = drives[i, d] / length
        for j in range(tokens):
            coupled += coupling[i, j]
            attention[head, i, j] = weights[i, j]
        pull[head, i] = np.sqrt(free)
        order[head, i] = pull[head, i] / coupled


@kernel
def _attend(y, n, lying, attention, shown, view):  # type: ignore[no-untyped-def]
    """Add to the tokens y what they attend to.

    Parameters
    ----------
    y
        Tokens [T, width].
    n, lying
        The same, normalised, below each other and beside each other [T, width], [width, T filled
        up].
    attention
        Weights.
    shown
        Whether to fill the view.
    view
        As :func:`_show` fills it.
    """
    maps, maps_bias, value, value_bias, pulls, least, out, out_bias = attention
    (tokens, width), heads, kind, size = y.shape, pulls.shape[0], y.dtype, lying.shape[1]
    each = width // heads
    asked = np.empty((2 * width, size), kind)
    set_product(maps_bias, maps, lying, asked)
    values = np.empty((tokens, value.shape[1]), kind)
    set_product(value_bias, n, value, values)
    coupling, weights = np.empty((tokens, size), kind), np.empty((tokens, size), kind)
    nothing, vectors = np.zeros((1, size), kind), -(-each // LANES) * LANES
    taken, drives = np.empty((tokens, vectors), kind), np.empty((tokens, pulls.shape[1]), kind)
    joined = np.empty((tokens, width), kind)
    for h in range(heads):
        query = asked[h * each : (h + 1) * each, :tokens].T
        set_product(nothing, query, asked[width + h * each : width + (h + 1) * each], coupling)
        _rectify(coupling)
        _synchronise(coupling, pulls[h], least[h], drives, weights)
        if shown:
            _show(h, coupling, drives, weights, view)
        mine = values[:, h * each : h * each + vectors]
        set_product(nothing, weights[:, :tokens], mine, taken)
        for i in range(tokens):
            for c in range(each):
                joined[i, h * each + c] = taken[i, c]
    attended = np.empty((tokens, width), kind)
    set_product(out_bias, joined, out, attended)
    for i in range(tokens):
        for c in range(width):
            y[i, c] += attended[i, c]


@kernel
def _gelu(x):  # type: ignore[no-untyped-def]
    """Replace x [rows, 16 n] by x · Φ(x), Φ within 1e-7 (Abramowitz and Stegun 1964, 7.1.26)."""
    for i in range(x.shape[0]):
        for c in range(0, x.shape[1], LANES):
            a = load(x, (i, c))
            size = larger(a, 0.0 - a)
            t = 1.0 / (1.0 + _ERF_RATE * size)
            tail = _ERF[0] * t
            tail = (tail + _ERF[1]) * t
            tail = (tail + _ERF[2]) * t
            tail = (tail + _ERF[3]) * t
            tail = (tail + _ERF[4]) * t * exp(-0.5 * size * size)
            store(x, (i, c), larger(a, 0.0 * a) - size * tail)


@kernel
def _means(x, out):  # type: ignore[no-untyped-def]
    """Fill out [16 n] with the mean of x's rows."""
    share = np.float32(1.0 / x.shape[0])
    for c in range(0, x.shape[1], LANES):
        summed = load(x, (0, c))
        for i in range(1, x.shape[0]):
            summed += load(x, (i, c))
        store(out, (c,), summed * share)


@once
def _layers(y, layers, inside, view):  # type: ignore[no-untyped-def]
    """All layers on the tokens y, but for the last map of the last: inside goes into it."""
    tokens, width = y.shape
    kind, filled = y.dtype, -(-tokens // LANES) * LANES
    n, scale = np.zeros((filled, width), kind), np.empty(tokens, kind)
    lying, fed = np.empty((width, filled), kind), np.empty((tokens, width), kind)
    for number in range(len(layers)):
        attending, weight, bias, last, last_bias = layers[number]
        final = number == len(layers) - 1
        normalise(y, n[:tokens], scale)
        for i in range(0, filled, LANES):
            for c in range(0, width, LANES):
                transpose(n, (i, c), lying, (c, i))
        _attend(y, n[:tokens], lying, attending, final, view)
        normalise(y, n[:tokens], scale)
        set_product(bias, n[:tokens], weight, inside)
        _gelu(inside)
        if not final:
            set_product(last_bias, inside, last, fed)
            for i in range(tokens):
                for c in range(width):
                    y[i, c] += fed[i, c]


@once
def _answer(y, inside, head, logits):  # type: ignore[no-untyped-def]
    """Fill logits [labels] from the last layer's tokens, and what would be added to them."""
    weight, bias, labels = head
    width, kind = y.shape[1], y.dtype
    means, scores = np.empty((1, weight.shape[0]), kind), np.empty((1, weight.shape[1]), kind)
    _means(y, means[0, :width])
    _means(inside, means[0, width:])
    set_product(bias, means, weight, scores)
    highest, summed = scores[0, : labels.shape[0]].max(), np.float32(0.0)
    logits[:] = 0.0
    for k in range(labels.shape[0]):
        share = np.exp(scores[0, k] - highest)
        summed += share
        for i in range(labels.shape[1]):
            logits[i] += share * labels[k, i]
    for i in range(labels.shape[1]):
        logits[i] = np.log(logits[i] / summed)


@cached
def listen(frames, spotter):  # type: ignore[no-untyped-def]
    """Take two frames in: fill the outputs, take the states along.

    Parameters
    ----------
    frames
        Normalised log levels [2, bands].
    spotter
        Weights, states and outputs, packed by :class:`resonance.dsp.keyword_step.KeywordStep`.
    """
    inlet, blocks, outlet, layers, head, pasts, tokens, outputs = spotter.content
    position, stretches, kinds = head[3], head[4], tokens.dtype
    logits, embedding, view = outputs
    _token(frames, inlet, blocks, outlet, pasts, tokens)
    y, inside = np.empty(tokens.shape, kinds), np.empty((len(tokens), layers[0][1].shape[1]), kinds)
    for i in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[i, c] = tokens[i, c] + position[i, c]
    _layers(y, layers, inside, view)
    _answer(y, inside, head[:3], logits)
    embedding[:] = 0.0
    add_product(stretches, tokens, embedding)
