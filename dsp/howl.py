"""Feedback between loudspeaker and microphone, told from speech by what the bank hears."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: How loud a howl is at least, mean square (-20 dB of full scale: it grows until something clips).
LOUD = 10 ** (-20 / 10)
#: A howl holds this long on the same oscillator …
HOLD_S = 0.4
#: … with this share of what all differences of neighbours hear in it and those beside it …
PURITY = 0.7
BESIDE = 3
#: … while its level moves by less than this factor from hop to hop (3 dB): voices waver more.
STEADY = 2.0


class HowlDetector:
    """Hears a tone that stays where it is, loud and pure: nothing a voice does for long.

    Parameters
    ----------
    hop_s
        Time between two calls of :meth:`update`.
    """

    def __init__(self, hop_s: float) -> None:
        self._needed = max(1, round(HOLD_S / hop_s))
        self.reset()

    def reset(self) -> None:
        """Nothing heard."""
        self._held = 0
        self._place = -1
        self._power = 0.0

    def update(self, contrast: NDArray[np.float32], power: float) -> bool:
        """Whether it howls now.

        Parameters
        ----------
        contrast
            Mean power of each difference of neighbours among the broad oscillators in this hop,
            in order of frequency [oscillators].
        power
            Mean square of the sound in this hop.
        """
        place = int(np.argmax(contrast))
        around = contrast[max(0, place - BESIDE) : place + BESIDE + 1]
        pure = float(around.sum()) > PURITY * float(contrast.sum())
        stays = abs(place - self._place) <= 1
        steady = self._power / STEADY < power < self._power * STEADY
        self._held = self._held + 1 if pure and stays and steady and power > LOUD else 0
        self._place, self._power = place, power
        return self._held >= self._needed
