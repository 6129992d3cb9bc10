"""The loops that run once for every hop: :func:`describe` and :func:`weigh`.

Compiled like those of ``dsp/kernels.py``: as array expressions they would take as long as a
whole hop of oscillators. Each takes one hop or many, with the same bits.
"""

from __future__ import annotations

import numpy as np

from resonance.dsp.compiling import compiled
from resonance.dsp.features import LOG_OFFSET, LOG_SCALE, SILENT_POWER
from resonance.dsp.kernels import OPTIONS

_SILENT = np.float32(SILENT_POWER)
_OFFSET = np.float32(LOG_OFFSET)
_SCALE = np.float32(1.0 / LOG_SCALE)
_HOPS = "float32[:, ::1]"


@compiled(f"void({', '.join([_HOPS] * 6)}, complex64[:, ::1], float32[:, :, ::1])", **OPTIONS)
def describe(power, contrast, re, im, before_re, before_im, turn, out):  # type: ignore[no-untyped-def]
    """Write the features of hops: the compiled form of ``resonance.dsp.features.hop_features``.

    Parameters
    ----------
    power, contrast, re, im, before_re, before_im, turn
        As there [hops, oscillators]; the turn is complex.
    out
        Features [hops, oscillators, 4].
    """
    for h in range(power.shape[0]):
        for k in range(power.shape[1]):
            a, b = before_re[h, k], before_im[h, k]
            cos, sin = turn[h, k].real, turn[h, k].imag
            expected_re = a * cos - b * sin
            expected_im = a * sin + b * cos
            x, y = re[h, k], im[h, k]
            now = x * x + y * y
            before = expected_re * expected_re + expected_im * expected_im
            inverse = np.float32(1.0) / np.sqrt(now * before + _SILENT * _SILENT)
            out[h, k, 0] = (np.log(power[h, k] + _SILENT) - _OFFSET) * _SCALE
            out[h, k, 1] = (np.log(contrast[h, k] + _SILENT) - _OFFSET) * _SCALE
            out[h, k, 2] = (x * expected_re + y * expected_im) * inverse
            out[h, k, 3] = (y * expected_re - x * expected_im) * inverse


@compiled(
    "void(complex64[:, ::1], complex64[::1], complex64[::1], complex64[::1], "
    f"float32[:, :, ::1], float32, {_HOPS}, {_HOPS})",
    **OPTIONS,
)
def weigh(gains, identity, span, onset, probes, wire, w_re, w_im):  # type: ignore[no-untyped-def]
    """Write the weights of all oscillators for complex gains, wings and the tap included.

    The wings do what the model's oscillators do to the top of their band, at most 1. The tap is
    an oscillator without memory, the input itself: what the others answer at once.

    Parameters
    ----------
    gains
        Of the model's oscillators [hops, oscillators].
    identity
        Weights at a gain of 1 [oscillators, wings and tap].
    span
        What a gain of 1 more adds [oscillators].
    onset
        Shares of the input that go with the weights (``identity.onset_shares``) [oscillators].
    probes
        From weights to the response at the top, real and imaginary [responses, 2, oscillators].
    wire
        RMS of these responses at a gain of 1.
    w_re, w_im
        Weights [hops, oscillators, wings and tap].
    """
    count, last = gains.shape[1], identity.shape[0] - 1
    for h in range(gains.shape[0]):
        at_once = np.float32(0.0)
        for k in range(count):
            re, im = gains[h, k].real - np.float32(1.0), gains[h, k].imag
            w_re[h, k] = identity[k].real + span[k].real * re - span[k].imag * im
            w_im[h, k] = identity[k].imag + span[k].real * im + span[k].imag * re
            at_once += onset[k].real * w_re[h, k] - onset[k].imag * w_im[h, k]
        w_re[h, last], w_im[h, last] = at_once, np.float32(0.0)
        if last > count:
            power = np.float32(0.0)
            for p in range(probes.shape[0]):
                response = np.float32(0.0)
                for k in range(count):
                    response += probes[p, 0, k] * w_re[h, k] + probes[p, 1, k] * w_im[h, k]
                power += response * response
            gain = min(np.float32(1.0), np.sqrt(power) / wire)
            for k in range(count, last):
                w_re[h, k] = gain * identity[k].real
                w_im[h, k] = gain * identity[k].imag
