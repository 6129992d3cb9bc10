"""Recordings of a word: when it is over, and the word alone out of the sound around it."""

from __future__ import annotations

import numpy as np

from resonance.app.errors import UserError
from resonance.dsp.arrays import Float32Array

#: How long a word is waited for at most, s; silence that ends a take, s.
TAKE_S, AFTER_S = 4.0, 0.4
#: Around the word, s; how far below its loudest moment it begins and ends, dB.
AROUND_S, BELOW_DB = 0.12, 26.0
#: A take's loudest moment must exceed its quietest by this, dB.
LEAST_CONTRAST_DB = 10.0
_FRAME_S = 0.02


def trimmed(sound: Float32Array, samplerate: float) -> Float32Array:
    """The word alone, out of a longer take [samples].

    Raises
    ------
    UserError
        If nothing stands out, or it fills the whole take.
    """
    frame = round(_FRAME_S * samplerate)
    frames = sound[: len(sound) // frame * frame].reshape(-1, frame)
    db = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    loudest, quietest = float(db.max()), float(np.percentile(db, 10))
    if loudest < -60 or loudest - quietest < LEAST_CONTRAST_DB:
        raise UserError("No word stood out. Speak nearer to the microphone, or where it is calmer.")
    loud = np.flatnonzero(db > max(loudest - BELOW_DB, quietest + 0.35 * (loudest - quietest)))
    around = round(AROUND_S * samplerate)
    start, stop = loud[0] * frame - around, (loud[-1] + 1) * frame + around
    if loud[-1] >= len(frames) - 1:
        raise UserError("The word was cut off at the end. Begin right after pressing Record.")
    return sound[max(0, start) : min(len(sound), stop)]


def has_ended(sound: Float32Array, samplerate: float) -> bool:
    """Whether a word was said in ``sound [samples]`` and is over."""
    after = round(AFTER_S * samplerate)
    if len(sound) <= 2 * after:
        return False
    try:
        word = trimmed(sound, samplerate)
    except UserError:
        return False
    loudest = float(np.abs(word).max())
    return bool(np.abs(sound[-after:]).max() < loudest * 10 ** (-BELOW_DB / 20))
