"""Digital silence, as from a muted microphone: when networks pause, and when a bank may rest."""

from __future__ import annotations

import numpy as np

from resonance.dsp.arrays import Float32Array
from resonance.dsp.compiling import compiled

#: Digital silence before a bank rests, s: longer than any look-ahead, and than oscillators ring.
REST_AFTER_S = 1.0
#: Where samples of silence are counted from until the first sound comes.
NOTHING_YET = -(1 << 40)


@compiled("int64(float32[::1], int64)", nogil=True)
def silence_after(block, before):  # type: ignore[no-untyped-def]
    """How many samples of silence there are up to the end of a block.

    Parameters
    ----------
    block
        Sound [samples].
    before
        How many there were before it; from :data:`NOTHING_YET` on, if there has been no sound.

    Returns
    -------
    int
        Samples that are 0, one after the other.
    """
    for n in range(len(block)):
        if block[len(block) - 1 - n] != 0.0:
            return n
    return before + len(block)


class Rest:
    """Follows the sound, so that silence need not be computed; the same however it is cut.

    Rest begins with a hop and ends with the first sample that is not 0. Before the first sound
    there is no pause: to a network that has heard nothing else, it says that there is no noise.

    Parameters
    ----------
    samplerate
        Of the sound, Hz.
    pause_samples
        Digital silence before networks pause.
    """

    def __init__(self, samplerate: float, pause_samples: int) -> None:
        self._after = round(REST_AFTER_S * samplerate)
        self.pause_samples = pause_samples
        self.resting = False
        self.silent_samples = NOTHING_YET  #: so far, one after the other

    def skip(self, block: Float32Array) -> int:
        """Samples at the beginning of ``block`` [samples] that may be skipped: silence at rest."""
        self.silent_samples = silence_after(block, self.silent_samples)
        if not self.resting:
            return 0
        sounding = np.flatnonzero(block)
        if not len(sounding):
            return len(block)
        self.resting = False
        return int(sounding[0])

    @property
    def paused(self) -> bool:
        """Whether there is nothing to hear for networks: what they know would fade in silence."""
        return self.resting or self.silent_samples >= self.pause_samples

    @property
    def due(self) -> bool:
        """Whether there has been silence for long enough to rest."""
        silent = self.silent_samples
        return (silent - NOTHING_YET if silent < 0 else silent) >= self._after

    def end_hop(self) -> bool:
        """Whether rest begins with the next hop."""
        if self.resting or not self.due:
            return False
        self.resting = True
        return True
