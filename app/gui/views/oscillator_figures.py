"""What is written about one oscillator: its equation and its figures."""

from __future__ import annotations

import math

import numpy as np

from resonance.app.gui.views.view import figure
from resonance.app.live.one_oscillator import SWEEP, TONE, Drive, OneOscillator
from resonance.dsp.oscillator import Oscillator


def equation(oscillator: Oscillator) -> str:
    """Its differential equation with its numbers, in rich text."""
    omega = 2 * math.pi * oscillator.f0_hz
    return f"<b>x″ + {_number(2 * oscillator.decay_per_s)} x′ + {_number(omega)}² x = F(t)</b>"


def figures(drive: Drive, one: OneOscillator | None) -> str:
    """Quality, ring time, damping and width, and how it answers a tone, in rich text.

    Parameters
    ----------
    drive
        The oscillator, and what drives it.
    one
        While it runs: for the present frequency of the tone, and complaints.

    Returns
    -------
    str
        One line or two.
    """
    oscillator = drive.oscillator
    text = (
        f"<b>Q {_number(oscillator.quality)}</b> · rings "
        f"<b>{_seconds(oscillator.ring_time_s)}</b> (−60 dB) · "
        f"γ {_number(oscillator.decay_per_s)} /s · {hz_text(oscillator.width_hz)} wide · "
        f"rings at {hz_text(oscillator.damped_hz)}"
    )
    if one and drive.kind in (TONE, SWEEP):
        answer = complex(oscillator.response(np.array([one.tone_hz]))[0])
        text += (
            f"<br>driven at {hz_text(one.tone_hz)}: {figure(decibels(abs(answer)), 1, plus=True)} "
            f"dB, {figure(-math.degrees(np.angle(answer)))}° behind"
        )
    elif one and one.complaint:
        text += f"<br>{one.complaint}"
    return text


def decibels(ratio: float) -> float:
    """Of an amplitude, against 1."""
    return 20 * math.log10(max(ratio, 1e-9))


def hz_text(hz: float) -> str:
    """A frequency to three digits, or to one Hz."""
    return f"{_number(hz)} Hz"


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", " ")


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.3g} ms"
