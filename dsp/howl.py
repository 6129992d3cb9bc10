"""Feedback between loudspeaker and microphone, distinguished from other tones by probing the loop.

A tone alone says nothing: whistles, organs and test tones are as loud, pure and steady as a howl.
A howl differs in that it lives on the output. So a suspicious tone is probed: the
output dips for a moment, and only a tone that falls with it, twice, comes back through the room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: How loud a howl is at least, mean square (-20 dB of full scale: it grows until something clips).
LOUD = 10 ** (-20 / 10)
#: A tone is suspicious when it has held this long on the same oscillator …
HOLD_S = 0.3
#: … with this share of the power of all differences of neighbours in it and those beside it …
PURITY = 0.7
BESIDE = 3
#: … while its level moved by less than this factor from hop to hop (3 dB): voices waver more …
STEADY = 2.0
#: … and the output carries it: at most this much weaker than the input (20 dB) …
CARRIED = 10 ** (-20 / 10)
#: … and it has grown by this factor since it began (6 dB), or is near full scale (-9 dB).
GROWN, NEAR_FULL = 10 ** (6 / 10), 10 ** (-9 / 10)
#: The output's gain while it is probed (-12 dB), and near full scale, where something may clip.
PROBE_GAIN, PROBE_GAIN_CLIPPED = 0.25, 0.06
#: A probe takes this long, s: longer than sound needs through devices and room.
PROBE_S = 0.3
#: A tone that falls by this factor during a probe (4 dB) lives on the output.
FALLEN = 10 ** (-4 / 10)
#: So many probes in a row that made it fall are a howl: other tones may end by chance.
FALLS = 2
#: The second probe comes within this time, s, or the count starts anew.
AGAIN_S = 3.0
#: Patience after a tone that did not fall, s; doubled each time up to the second number.
PATIENCE_S = 2.0, 30.0


class HowlGuard:
    """Decides, hop by hop, whether the input is our own output that comes back and grows.

    Parameters
    ----------
    hop_s
        Time between two calls of :meth:`update`.

    Attributes
    ----------
    gain
        What the output should be multiplied by now: below 1 while it probes.
    """

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self._patience_s = PATIENCE_S[0]
        self.reset()

    def reset(self) -> None:
        """At rest."""
        self.gain = 1.0
        self._held = 0  # hops of the same tone
        self._place, self._power, self._first_power = -1, 0.0, 0.0
        self._probe_left_s, self._tone = 0.0, 0.0
        self._falls, self._since_fall_s, self._rest_s = 0, 0.0, 0.0

    def update(
        self, contrast: NDArray[np.float32], input_power: float, output_power: float
    ) -> bool:
        """Whether it howls: once for each howl.

        Parameters
        ----------
        contrast
            Mean power of each difference of neighbours among the broad oscillators in this hop,
            in order of frequency [oscillators].
        input_power, output_power
            Mean squares of input and output in this hop.

        Returns
        -------
        bool
            True at the hop at which a howl is found.
        """
        self._rest_s = max(0.0, self._rest_s - self._hop_s)
        self._since_fall_s += self._hop_s
        if self._probe_left_s > 0:
            return self._probe(contrast)
        self._follow(contrast, input_power)
        if self._is_suspicious(input_power, output_power):
            self._begin_probe(contrast, input_power)
        return False

    def _follow(self, contrast: NDArray[np.float32], power: float) -> None:
        """Count how long the same tone has lasted."""
        place = int(np.argmax(contrast))
        pure = _around(contrast, place) > PURITY * float(contrast.sum())
        stays = abs(place - self._place) <= 1
        steady = self._power / STEADY < power < self._power * STEADY
        if pure and stays and steady:
            self._held += 1
        else:
            self._held, self._first_power = 0, power
        self._place, self._power = place, power

    def _is_suspicious(self, input_power: float, output_power: float) -> bool:
        grows = input_power > GROWN * self._first_power or input_power > NEAR_FULL
        return (
            self._held * self._hop_s >= HOLD_S
            and self._rest_s <= 0
            and input_power > LOUD
            and output_power > CARRIED * input_power
            and grows
        )

    def _begin_probe(self, contrast: NDArray[np.float32], input_power: float) -> None:
        self._probe_left_s = PROBE_S
        self._tone = _around(contrast, self._place)
        self.gain = PROBE_GAIN_CLIPPED if input_power > NEAR_FULL else PROBE_GAIN
        if self._since_fall_s > AGAIN_S:
            self._falls = 0

    def _probe(self, contrast: NDArray[np.float32]) -> bool:
        self._probe_left_s -= self._hop_s
        fallen = _around(contrast, self._place) < FALLEN * self._tone
        if not fallen and self._probe_left_s > 0:
            return False
        self.gain, self._probe_left_s, self._held = 1.0, 0.0, 0
        if not fallen:
            self._rest_s, self._falls = self._patience_s, 0
            self._patience_s = min(2 * self._patience_s, PATIENCE_S[1])
            return False
        self._falls, self._since_fall_s = self._falls + 1, 0.0
        if self._falls < FALLS:
            return False
        self.reset()
        self._patience_s = PATIENCE_S[0]
        return True


def _around(contrast: NDArray[np.float32], place: int) -> float:
    """Power in the differences at and beside ``place``."""
    return float(contrast[max(0, place - BESIDE) : place + BESIDE + 1].sum())
