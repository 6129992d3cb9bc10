"""A take of a word as it would sound in another room, in noise, faster and slower.

What a take and its versions have in common is the word; in what they differ, takes differ from
what will be said later, too. Without them a word learnt from few takes is also their room.
"""

from __future__ import annotations

import numpy as np
import soxr

from resonance.dsp.arrays import Float32Array

#: Time in which a room's sound falls by 60 dB, s, and how far below the direct sound it lies.
ROOM_S, ROOM_DB = 0.4, 3.0
#: How far noise lies below the word, and by how much it falls, dB and dB per octave.
NOISE_DB, NOISE_FALL_DB = 17.0, 3.0
#: As many times as fast.
SPEEDS = 1.12, 0.89


def versions(take: Float32Array, samplerate: int) -> list[Float32Array]:
    """Other versions of a take, always the same ones.

    Parameters
    ----------
    take
        Sound of one word [samples].
    samplerate
        Hz.

    Returns
    -------
    list of array
        In a room, in noise, faster and slower [samples].
    """
    rng = np.random.default_rng(0)
    return [
        _in_room(take, samplerate, rng),
        _in_noise(take, samplerate, rng),
        *(soxr.resample(take, samplerate * speed, samplerate) for speed in SPEEDS),
    ]


def _in_room(take: Float32Array, samplerate: int, rng: np.random.Generator) -> Float32Array:
    """Direct sound, and noise that dies away as echoes do (Moorer 1979)."""
    place = np.arange(round(ROOM_S * samplerate))
    echoes = rng.standard_normal(len(place)) * 10 ** (-3 * place / len(place))
    echoes[0] = np.sqrt((echoes[1:] ** 2).sum()) * 10 ** (ROOM_DB / 20)
    size = len(take) + len(echoes)
    heard = np.fft.irfft(np.fft.rfft(take, size) * np.fft.rfft(echoes, size), size)[: len(take)]
    return np.asarray(heard / echoes[0], np.float32)


def _in_noise(take: Float32Array, samplerate: int, rng: np.random.Generator) -> Float32Array:
    hz = np.fft.rfftfreq(len(take), 1 / samplerate).clip(min=50.0)
    spectrum = np.fft.rfft(rng.standard_normal(len(take))) * hz ** (-NOISE_FALL_DB / 6.02)
    noise = np.fft.irfft(spectrum, len(take))
    loud = np.sort(take.astype(np.float64) ** 2)[len(take) // 2 :].mean()  # pauses do not count
    noise *= np.sqrt(loud / (noise**2).mean()) * 10 ** (-NOISE_DB / 20)
    return np.asarray(take + noise, np.float32)
