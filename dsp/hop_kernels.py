"""The loops that run once for every part of a hop: :func:`describe`, :func:`lead` and their kin.

Compiled like those of ``dsp/kernels.py``: as array expressions they would take as long as a
whole hop of oscillators. Each takes one part or many, with the same bits.
"""

from __future__ import annotations

import numpy as np

from resonance.dsp.compiling import compiled
from resonance.dsp.features import LOG_OFFSET, LOG_SCALE, SILENT_POWER
from resonance.dsp.kernels import OPTIONS

#: How much of the highest awake oscillators' power counts for one that rests, and how their
#: contrast falls from there, dB per ERB and at most: as for sound of a narrow band.
STAND_IN_POWER = np.float32(0.3)
STAND_IN_FALL_DB, STAND_IN_MOST_DB = 3.0, 23.0
_SILENT = np.float32(SILENT_POWER)
_OFFSET = np.float32(LOG_OFFSET)
_SCALE = np.float32(1.0 / LOG_SCALE)
_HOPS = "float32[:, ::1]"


@compiled(
    f"void({_HOPS}, {_HOPS}, int64[::1], {_HOPS}, {_HOPS}, float32[::1], int64[::1], int64[::1], "
    "float32[::1], complex64[:, :, ::1], boolean[::1], int64, float32[:, :, :, ::1])",
    nogil=True,
    error_model="numpy",  # without fast sums: one order, however many parts come at once
)
def describe(  # type: ignore[no-untyped-def]
    energy, contrast, lengths, end_re, end_im, drive, pairs, highest, fall, turn, ended, moving, out
):
    """Write the features of parts of hops: ``resonance.dsp.features.hop_features``, compiled.

    A hop of p parts makes windows of p parts. Of each part two rows are written: of the window
    that ends with it, and of the part alone; of the oscillators that do not move within a hop
    only where an update ends, of the window.

    Parameters
    ----------
    energy, contrast
        Sums over each part; the first window is the first p of them [p - 1 + parts, oscillators].
    lengths
        Samples of these parts.
    end_re, end_im
        z before the first of them, and after each [p + parts, oscillators].
    drive
        Scale of z that gives a peak of 1 [oscillators]; 0 for those that rest.
    pairs
        Whose contrast each oscillator reads [oscillators].
    highest
        The highest that are awake: those that rest read what would come from there.
    fall
        Share of their contrast that counts for each that rests [oscillators].
    turn
        exp(iω_d t) of the window's time, and of the part's [parts, 2, oscillators].
    ended
        Which parts end an update [parts].
    moving
        How many, from the first, move with every part.
    out
        Features [parts, 2, oscillators, 4].
    """
    parts, oscillators = len(out), len(drive)
    hop = len(energy) + 1 - parts
    for s in range(parts):
        for row in range(2):
            last = s + hop - 1
            first = last if row else s
            count = oscillators if ended[s] and not row else moving
            length = np.float32(lengths[first : last + 1].sum())
            top_power, top_contrast = np.float32(0.0), np.float32(0.0)
            for k in highest:
                for part in range(first, last + 1):
                    top_power += energy[part, k] * drive[k] * drive[k]
                    top_contrast += contrast[part, pairs[k]]
            for k in range(count):
                power, between = np.float32(0.0), np.float32(0.0)
                if drive[k] == 0.0:
                    power = STAND_IN_POWER * top_power / np.float32(len(highest))
                    between = fall[k] * top_contrast / np.float32(len(highest))
                else:
                    for part in range(first, last + 1):
                        power += energy[part, k]
                        between += contrast[part, pairs[k]]
                    power *= drive[k] * drive[k]
                a, b = end_re[first, k] * drive[k], end_im[first, k] * drive[k]
                cos, sin = turn[s, row, k].real, turn[s, row, k].imag
                expected_re = a * cos - b * sin
                expected_im = a * sin + b * cos
                x, y = end_re[last + 1, k] * drive[k], end_im[last + 1, k] * drive[k]
                now = x * x + y * y
                before = expected_re * expected_re + expected_im * expected_im
                inverse = np.float32(1.0) / np.sqrt(now * before + _SILENT * _SILENT)
                out[s, row, k, 0] = (np.log(power / length + _SILENT) - _OFFSET) * _SCALE
                out[s, row, k, 1] = (np.log(between / length + _SILENT) - _OFFSET) * _SCALE
                out[s, row, k, 2] = (x * expected_re + y * expected_im) * inverse
                out[s, row, k, 3] = (y * expected_re - x * expected_im) * inverse


@compiled(f"void({_HOPS}, {_HOPS}, {_HOPS}, {_HOPS}, float32[::1], float32[::1])", **OPTIONS)
def pass_on(energy, contrast, end_re, end_im, z_re, z_im):  # type: ignore[no-untyped-def]
    """Forget the oldest part of a hop, and begin another.

    Parameters
    ----------
    energy, contrast
        Sums over the last parts [parts, oscillators].
    end_re, end_im
        z before the first of them, and after each [parts + 1, oscillators].
    z_re, z_im
        z now [oscillators or more].
    """
    for k in range(end_re.shape[1]):
        end_re[-1, k], end_im[-1, k] = z_re[k], z_im[k]
    for rows in (end_re, end_im, energy, contrast):
        for part in range(len(rows) - 1):
            for k in range(rows.shape[1]):
                rows[part, k] = rows[part + 1, k]
    for sums in (energy, contrast):
        sums[-1] = np.float32(0.0)


@compiled("void(complex64[::1], float32, complex64[::1])", nogil=True, error_model="numpy")
def limit(gains, kept, out):  # type: ignore[no-untyped-def]
    """Keep a share of the sound, whatever the gains: ``out = gains + kept (1 - gains)``.

    Parameters
    ----------
    gains
        Complex [any].
    kept
        The share, 0 to 1.
    out
        As many; filled.
    """
    for k in range(gains.shape[0]):
        re, im = gains[k].real, gains[k].imag
        out[k] = complex(re + kept * (np.float32(1.0) - re), im - kept * im)


@compiled(f"void({_HOPS}, float32[::1], float32[::1])", **OPTIONS)
def _translate(translation, re, im):  # type: ignore[no-untyped-def]
    """Replace the first of re and im [oscillators] by translation times both."""
    count = translation.shape[0] // 2
    given = np.concatenate((re[:count], im[:count]))
    for k in range(count):
        real, imaginary = np.float32(0.0), np.float32(0.0)
        for j in range(2 * count):
            real += translation[k, j] * given[j]
            imaginary += translation[count + k, j] * given[j]
        re[k], im[k] = real, imaginary


@compiled(
    f"void(complex64[::1], {_HOPS}, complex64[::1], complex64[::1], complex64[::1], "
    f"float32[:, :, ::1], float32, {', '.join(['float32[::1]'] * 4)})",
    **OPTIONS,
)
def lead(  # type: ignore[no-untyped-def]
    gains, translation, identity, span, onset, probes, wire, old_re, old_im, step_re, step_im
):
    """Go on from where the weights were going, to those for complex gains, wings and tap included.

    The wings do what the model's oscillators do to the top of their band, at most 1. The tap is
    an oscillator without memory, the input itself: what the others answer at once.

    Parameters
    ----------
    gains
        Of the model's oscillators [oscillators].
    translation
        What makes of the first gains, less 1, those that answer alike at this samplerate
        (``identity.translation``) [2 · carriers, 2 · carriers], or nothing [0, 0].
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
    old_re, old_im
        Weights at the beginning of a part [oscillators, wings and tap].
    step_re, step_im
        How far they go in it; filled with how far they go in the next.
    """
    count, last = gains.shape[0], identity.shape[0] - 1
    w_re, w_im = np.empty(last + 1, np.float32), np.empty(last + 1, np.float32)
    delta_re, delta_im = np.empty(count, np.float32), np.empty(count, np.float32)
    for k in range(count):
        delta_re[k], delta_im[k] = gains[k].real - np.float32(1.0), gains[k].imag
    if translation.shape[0]:
        _translate(translation, delta_re, delta_im)
    at_once = np.float32(0.0)
    for k in range(count):
        re, im = delta_re[k], delta_im[k]
        w_re[k] = identity[k].real + span[k].real * re - span[k].imag * im
        w_im[k] = identity[k].imag + span[k].real * im + span[k].imag * re
        at_once += onset[k].real * w_re[k] - onset[k].imag * w_im[k]
    w_re[last], w_im[last] = at_once, np.float32(0.0)
    if last > count:
        power = np.float32(0.0)
        for p in range(probes.shape[0]):
            response = np.float32(0.0)
            for k in range(count):
                response += probes[p, 0, k] * w_re[k] + probes[p, 1, k] * w_im[k]
            power += response * response
        gain = min(np.float32(1.0), np.sqrt(power) / wire)
        for k in range(count, last):
            w_re[k] = gain * identity[k].real
            w_im[k] = gain * identity[k].imag
    for k in range(last + 1):
        old_re[k] += step_re[k]
        old_im[k] += step_im[k]
        step_re[k] = w_re[k] - old_re[k]
        step_im[k] = w_im[k] - old_im[k]
