"""Room impulse responses from simulated shoebox rooms (pyroomacoustics, image sources)."""

from __future__ import annotations

import numpy as np
import pyroomacoustics
from numpy.typing import NDArray

from resonance.models.data import SAMPLERATE


def room_response(rng: np.random.Generator) -> NDArray[np.float32]:
    """Impulse response of a random room [samples], the direct sound at sample 0 with gain 1."""
    size = rng.uniform([2.5, 2.5, 2.2], [9.0, 7.0, 3.5])
    absorption = rng.uniform(0.15, 0.6)
    room = pyroomacoustics.ShoeBox(
        size, fs=SAMPLERATE, materials=pyroomacoustics.Material(absorption), max_order=10
    )
    source = rng.uniform(0.4, size - 0.4)
    microphone = np.clip(source + rng.normal(0.0, 0.8, 3), 0.3, size - 0.3)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    response = np.asarray(room.rir[0][0], dtype=np.float64)
    direct = int(np.argmax(np.abs(response)))
    response = response[direct : direct + SAMPLERATE // 2] / response[direct]
    fade = np.ones(len(response))
    fade[-len(response) // 4 :] = np.linspace(1.0, 0.0, len(fade[-len(response) // 4 :]))
    return (response * fade).astype(np.float32)


def room_responses(count: int, seed: int) -> list[NDArray[np.float32]]:
    """``count`` random rooms, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [room_response(rng) for _ in range(count)]
