"""Two clocks that should be one: how fast to resample so that a buffer between them stays even."""

from __future__ import annotations

#: Largest correction, as a part of the rate: sound cards differ by 200 ppm at most.
LARGEST = 1e-3
#: Time over which the buffer's filling is averaged, s, at first and later.
AVERAGE_S = 0.5, 4.0
#: How soon an error is to be corrected, s, and how much sooner than that is overshot (damping).
CORRECT_S, DAMPING = 12.0, 1.0


class DriftControl:
    """Watches the filling of a buffer and says how much faster to empty it.

    A second-order loop: the filling is what is left of the difference of the two clocks, so the
    loop's integral learns that difference, and its proportional part brings the filling back to
    where it should be. The filling jumps with every block; it is averaged first.

    Parameters
    ----------
    target_s
        Wanted filling, s.
    """

    def __init__(self, target_s: float) -> None:
        self.target_s = target_s
        self.reset()

    def reset(self) -> None:
        """Nothing known about the clocks."""
        self._error_s = 0.0
        self._drift = 0.0
        self._elapsed_s = 0.0

    def update(self, filling_s: float, elapsed_s: float) -> float:
        """What the filling was, ``elapsed_s`` after the last time; the reading rate's factor.

        Above 1: the buffer is fuller than it should be, read faster.
        """
        self._elapsed_s += elapsed_s
        average_s = min(max(self._elapsed_s, AVERAGE_S[0]), AVERAGE_S[1])
        error_s = filling_s - self.target_s
        self._error_s += min(1.0, elapsed_s / average_s) * (error_s - self._error_s)
        speed = 1.0 / CORRECT_S
        wanted = self._drift + 2.0 * DAMPING * speed * self._error_s
        if abs(wanted) < LARGEST:  # else the error says little about the clocks
            self._drift += speed * speed * self._error_s * elapsed_s
        return 1.0 + max(-LARGEST, min(LARGEST, wanted))
