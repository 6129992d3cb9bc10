"""When a bank may rest: after a second of digital silence, as a muted microphone gives it."""

from __future__ import annotations

import numpy as np

from resonance.dsp.arrays import Float32Array

#: Digital silence before a bank rests, s: longer than any look-ahead, and than oscillators ring.
REST_AFTER_S = 1.0


class Rest:
    """Follows the sound, so that silence need not be computed; the same however it is cut.

    Rest begins with a hop and ends with the first sample that is not 0.

    Parameters
    ----------
    samplerate
        Of the sound, Hz.
    """

    def __init__(self, samplerate: float) -> None:
        self._after = round(REST_AFTER_S * samplerate)
        self.resting = False
        self._silent_samples = 0

    def skip(self, block: Float32Array) -> int:
        """Samples at the beginning of ``block`` [samples] that may be skipped: silence at rest."""
        if not self.resting and len(block) and block[-1] != 0.0:  # as nearly always
            self._silent_samples = 0
            return 0
        sounding = np.flatnonzero(block)
        if not len(sounding):
            self._silent_samples += len(block)
            return len(block) if self.resting else 0
        self._silent_samples = len(block) - 1 - int(sounding[-1])
        skipped = int(sounding[0]) if self.resting else 0
        self.resting = False
        return skipped

    @property
    def due(self) -> bool:
        """Whether there has been silence for long enough."""
        return self._silent_samples >= self._after

    def end_hop(self) -> bool:
        """Whether rest begins with the next hop."""
        if self.resting or not self.due:
            return False
        self.resting = True
        return True
