"""The two inner loops that run for every sample: :func:`listen` and :func:`advance`.

Compiled once, at import, for float32 arrays only (a stray float64 is an error, not a
recompilation inside an audio callback). Both go sample by sample, so that a sound cut into
blocks anywhere gives the same bits as the whole. Slow float64 twins stand in ``dsp/oracle.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

#: Added to every sample: -300 dB, so that a ringing bank never decays into denormal numbers,
#: which would make it 80 times slower in silence.
BIAS = np.float32(1e-15)
#: Larger samples are treated like NaN: replaced by 0 and counted.
LARGEST_SAMPLE = np.float32(1e6)

# Reassociation lets the sum over oscillators use vector instructions; NaN keeps its meaning.
_FASTMATH = {"reassoc", "nsz", "contract"}
_F = "float32[::1]"


def _compiled(signature: str) -> Callable[[Any], Any]:
    """Compile for exactly this signature, cached on disk where a place for that can be written."""

    def compile_kernel(function: Any) -> Any:
        options: dict[str, Any] = {"nogil": True, "fastmath": _FASTMATH, "error_model": "numpy"}
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:  # read-only installation and no home folder
            return numba.njit(signature, **options)(function)

    return compile_kernel


@_compiled(f"int64({', '.join([_F] * 6)})")
def listen(block, pole_re, pole_im, z_re, z_im, energy):  # type: ignore[no-untyped-def]
    """Drive the oscillators with ``block [samples]``; return how many samples were not finite.

    Per sample, for every oscillator: ``z = λ z + x`` and ``energy += |z|²``.
    ``z_re, z_im, energy [oscillators]`` are changed in place.
    """
    bad = 0
    for n in range(block.shape[0]):
        x = block[n]
        if not abs(x) < LARGEST_SAMPLE:
            x = np.float32(0.0)
            bad += 1
        x += BIAS
        for k in range(pole_re.shape[0]):
            re = pole_re[k] * z_re[k] - pole_im[k] * z_im[k] + x
            im = pole_re[k] * z_im[k] + pole_im[k] * z_re[k]
            z_re[k] = re
            z_im[k] = im
            energy[k] += re * re + im * im
    return bad


@_compiled(f"int64({', '.join([_F] * 10)}, int64, int64, {_F})")
def advance(  # type: ignore[no-untyped-def]
    block,
    pole_re,
    pole_im,
    z_re,
    z_im,
    energy,
    old_re,
    old_im,
    step_re,
    step_im,
    position,
    ramp,
    out,
):
    """:func:`listen`, and play the oscillators: ``out = Re Σ_k w_k z_k`` per sample [samples].

    The weights go in a straight line from ``old`` to ``old + step`` within ``ramp`` samples
    and stay there; ``position`` is how many samples of this hop have been heard before.
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
            re = pole_re[k] * z_re[k] - pole_im[k] * z_im[k] + x
            im = pole_re[k] * z_im[k] + pole_im[k] * z_re[k]
            z_re[k] = re
            z_im[k] = im
            energy[k] += re * re + im * im
            held += old_re[k] * re - old_im[k] * im
            moved += step_re[k] * re - step_im[k] * im
        progress = np.float32(min(position + n + 1, ramp)) / np.float32(ramp)
        out[n] = held + progress * moved
    return bad
