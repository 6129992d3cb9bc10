"""The inner loops that run for every sample: :func:`listen`, :func:`advance` and their kin.

Compiled once, at import, for float32 arrays only (a stray float64 is an error, not a
recompilation inside an audio callback). Those that meet blocks go sample by sample, so that a
sound cut anywhere gives the same bits as the whole; :func:`rewind` works on whole parts of hops.
Their slow twins in float64, for the tests, are in ``tests/dsp/oracle.py``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from resonance.dsp.compiling import compiled

#: Added to every sample: -300 dB, so that a ringing bank never decays into denormal numbers,
#: which would make it 80 times slower in silence.
BIAS = np.float32(1e-15)
#: Larger samples are treated like NaN: replaced by 0 and counted.
LARGEST_SAMPLE = np.float32(1e6)

# Reassociation lets the sum over oscillators use vector instructions; NaN keeps its meaning.
_FASTMATH = {"reassoc", "nsz", "contract"}
OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy"}
_F, _FF = "float32[::1]", "float32[:, ::1]"


@numba.njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
def add_contrast(z_re, z_im, own_re, own_im, next_re, next_im, contrast):  # type: ignore[no-untyped-def]
    """``contrast += |own z - next z of the next one|²``, one each for as many as have weights.

    Parameters
    ----------
    z_re, z_im
        States [oscillators].
    own_re, own_im, next_re, next_im
        Weights [differences] (see ``dsp/contrast.py``).
    contrast
        Sums so far [differences], changed in place.
    """
    for k in range(own_re.shape[0]):
        re = own_re[k] * z_re[k] - own_im[k] * z_im[k]
        im = own_re[k] * z_im[k] + own_im[k] * z_re[k]
        re -= next_re[k] * z_re[k + 1] - next_im[k] * z_im[k + 1]
        im -= next_re[k] * z_im[k + 1] + next_im[k] * z_re[k + 1]
        contrast[k] += re * re + im * im


@numba.njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
def _finite(x):  # type: ignore[no-untyped-def]
    """The sample, or silence in place of what is not finite or absurdly large."""
    return x if abs(x) < LARGEST_SAMPLE else np.float32(0.0)


@numba.njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
def _driven(k, pole_re, pole_im, z_re, z_im, x):  # type: ignore[no-untyped-def]
    """Drive oscillator k by a sample, ``z = λ z + x``; returns its new state (real, imaginary)."""
    re = pole_re[k] * z_re[k] - pole_im[k] * z_im[k] + x
    im = pole_re[k] * z_im[k] + pole_im[k] * z_re[k]
    z_re[k] = re
    z_im[k] = im
    return re, im


@numba.njit(fastmath=_FASTMATH, error_model="numpy", inline="always")
def _run_back(sound, pole_re, pole_im, z_re, z_im):  # type: ignore[no-untyped-def]
    """Drive oscillators that rest with ``sound [samples]``, from its end to its start."""
    z_re[:] = np.float32(0.0)
    z_im[:] = np.float32(0.0)
    for m in range(sound.shape[0]):
        x = _finite(sound[sound.shape[0] - 1 - m]) + BIAS
        for k in range(pole_re.shape[0]):
            _driven(k, pole_re, pole_im, z_re, z_im, x)


@numba.njit(fastmath=_FASTMATH, error_model="numpy")
def guard(block, out, state, hold, release):  # type: ignore[no-untyped-def]
    """Keep ``out [samples]`` within full scale, in place, without delay.

    Where the input was itself beyond full scale, its own peak (falling by the factor
    ``hold`` each sample) is the ceiling. A sample above the ceiling is brought down to it, and
    the gain recovers by ``release`` of the way each sample; as long as nothing is above, every
    sample passes unchanged.

    Parameters
    ----------
    block
        Input [samples].
    out
        Output [samples], changed in place.
    state
        The input's peak and the gain [2], both 1 at rest; changed in place.
    hold, release
        Factor of the peak, and part of the gain's way back, each sample.
    """
    peak, gain = state[0], state[1]
    for n in range(out.shape[0]):
        peak = max(np.float32(1.0), peak * hold)
        size = abs(block[n])
        if size > peak and size < LARGEST_SAMPLE:
            peak = size
        gain += release * (np.float32(1.0) - gain)
        if gain > np.float32(0.998):  # float32 would never quite arrive
            gain = np.float32(1.0)
        if abs(out[n]) * gain > peak:
            gain = peak / abs(out[n])
        out[n] *= gain
    state[0], state[1] = peak, gain


@compiled(f"int64({', '.join([_F] * 11)})", **OPTIONS)
def listen(  # type: ignore[no-untyped-def]
    block, pole_re, pole_im, z_re, z_im, energy, own_re, own_im, next_re, next_im, contrast
):
    """Drive the oscillators with ``block [samples]``; return how many samples were not finite.

    Per sample, for every oscillator: ``z = λ z + x`` and ``energy += |z|²``, and for the first
    of them, as many as there are weights: ``contrast += |own z - next z of the next one|²``.

    Parameters
    ----------
    block
        Input [samples]; what is not finite counts as silence.
    pole_re, pole_im
        λ [oscillators or more].
    z_re, z_im
        States, as many, changed in place.
    energy
        Sums [oscillators], changed in place.
    own_re, own_im, next_re, next_im, contrast
        As in :func:`add_contrast`.

    Returns
    -------
    int
        Samples that were not finite.
    """
    bad = 0
    for n in range(block.shape[0]):
        x = block[n]
        if not abs(x) < LARGEST_SAMPLE:
            x = np.float32(0.0)
            bad += 1
        x += BIAS
        for k in range(energy.shape[0]):
            re, im = _driven(k, pole_re, pole_im, z_re, z_im, x)
            energy[k] += re * re + im * im
        add_contrast(z_re, z_im, own_re, own_im, next_re, next_im, contrast)
    return bad


@compiled(
    f"int64({', '.join([_F] * 15)}, int64, int64, {_F}, {_F}, float32, float32, {_F})", **OPTIONS
)
def advance(  # type: ignore[no-untyped-def]
    block,
    pole_re,
    pole_im,
    z_re,
    z_im,
    energy,
    own_re,
    own_im,
    next_re,
    next_im,
    contrast,
    old_re,
    old_im,
    step_re,
    step_im,
    position,
    ramp,
    rewound,
    guarded,
    hold,
    release,
    out,
):
    """:func:`listen`, and play the oscillators: ``out = Re Σ_k w_k z_k`` per sample [samples].

    The weights go in a straight line from ``old`` to ``old + step`` within ``ramp`` samples
    and stay there. What :func:`rewind` found is added, and :func:`guard` has the last word.

    Parameters
    ----------
    block, pole_re, pole_im, z_re, z_im, energy, own_re, own_im, next_re, next_im, contrast
        As in :func:`listen`, with as many sums as oscillators.
    old_re, old_im, step_re, step_im
        Weights at the beginning of the part, and how far they go [oscillators].
    position
        Samples of this part that came before the block.
    ramp
        Samples that the change of weights takes.
    rewound
        What runs backwards adds to the part [samples]; empty: nothing.
    guarded, hold, release
        As in :func:`guard`; an empty state: no guard.
    out
        Output [samples].

    Returns
    -------
    int
        Samples that were not finite.
    """
    bad = 0
    for n in range(block.shape[0]):
        x = block[n]
        if not abs(x) < LARGEST_SAMPLE:
            x = np.float32(0.0)
            bad += 1
        x += BIAS
        held = np.float32(0.0)
        moved = np.float32(0.0)
        for k in range(pole_re.shape[0]):
            re, im = _driven(k, pole_re, pole_im, z_re, z_im, x)
            energy[k] += re * re + im * im
            held += old_re[k] * re - old_im[k] * im
            moved += step_re[k] * re - step_im[k] * im
        add_contrast(z_re, z_im, own_re, own_im, next_re, next_im, contrast)
        progress = np.float32(min(position + n + 1, ramp)) / np.float32(ramp)
        out[n] = held + progress * moved
        if rewound.shape[0]:
            out[n] += rewound[position + n]
    if guarded.shape[0]:
        guard(block, out, guarded, hold, release)
    return bad


@compiled(
    f"void({_F}, int64[::1], {', '.join([_F] * 4)}, int64[::1], {', '.join([_FF] * 4)}, int64, "
    f"{', '.join([_F] * 4)}, int64, {_F})",
    **OPTIONS,
)
def rewind(  # type: ignore[no-untyped-def]
    ahead,
    edges,
    pole_re,
    pole_im,
    z_re,
    z_im,
    known,
    sum_re,
    sum_im,
    power_re,
    power_im,
    shortest,
    old_re,
    old_im,
    step_re,
    step_im,
    ramp,
    out,
):
    """Oscillators that run backwards in time through ``ahead [samples]``, from rest at its end.

    Its first ``len(out)`` samples are played into ``out``, with the weights of :func:`advance`,
    less the sample itself, which the forward run plays. What lies behind them was summed before:
    z at a part's start is the part's sum and ``λ^length`` times z at its end.

    Parameters
    ----------
    ahead
        Input that is known already [samples].
    edges
        Where in it the part that is played ends, and each one that follows.
    pole_re, pole_im
        λ [oscillators].
    z_re, z_im
        Room to work in [oscillators].
    known
        How many of those that follow are summed up already; changed for the next part [1].
    sum_re, sum_im
        Sums of those that follow [parts, oscillators]; new ones are written. Those that will
        follow the next part are left first.
    power_re, power_im, shortest
        λ to the power of a part's length, the shortest one and one more [2, oscillators].
    old_re, old_im, step_re, step_im, ramp
        As in :func:`advance`.
    out
        Output [samples], as long as the part.
    """
    following = len(edges) - 1
    for part in range(known[0], following):
        _run_back(ahead[edges[part] : edges[part + 1]], pole_re, pole_im, z_re, z_im)
        for k in range(pole_re.shape[0]):
            sum_re[part, k], sum_im[part, k] = z_re[k], z_im[k]
    _run_back(ahead[edges[following] :], pole_re, pole_im, z_re, z_im)
    for m in range(following):
        part = following - 1 - m
        length = edges[part + 1] - edges[part] - shortest
        for k in range(pole_re.shape[0]):
            re = power_re[length, k] * z_re[k] - power_im[length, k] * z_im[k] + sum_re[part, k]
            im = power_re[length, k] * z_im[k] + power_im[length, k] * z_re[k] + sum_im[part, k]
            z_re[k] = re
            z_im[k] = im
    for m in range(out.shape[0]):
        n = out.shape[0] - 1 - m
        x = _finite(ahead[n])
        held = np.float32(0.0)
        moved = np.float32(0.0)
        for k in range(pole_re.shape[0]):
            re, im = _driven(k, pole_re, pole_im, z_re, z_im, x + BIAS)
            re -= x
            held += old_re[k] * re - old_im[k] * im
            moved += step_re[k] * re - step_im[k] * im
        progress = np.float32(min(n + 1, ramp)) / np.float32(ramp)
        out[n] = held + progress * moved
    for part in range(1, following):
        for k in range(pole_re.shape[0]):
            sum_re[part - 1, k], sum_im[part - 1, k] = sum_re[part, k], sum_im[part, k]
    known[0] = max(0, following - 1)  # by then the first has become the part itself
