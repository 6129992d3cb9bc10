"""A delay line: blocks of any length in, what came in some samples earlier out."""

from __future__ import annotations

import numpy as np

from resonance.dsp.arrays import Float32Array


class DelayLine:
    """Delays sound by a fixed number of samples; silence comes out first.

    Parameters
    ----------
    samples
        The delay; 0 gives every block back as it is.
    channels
        Of blocks [samples, channels]; None: blocks are [samples].
    """

    def __init__(self, samples: int, channels: int | None = None) -> None:
        self.samples = samples
        shape = (samples,) if channels is None else (samples, channels)
        #: What went in and has not come out yet, oldest first [samples] or [samples, channels].
        self.waiting: Float32Array = np.zeros(shape, np.float32)

    def delay(self, block: Float32Array) -> Float32Array:
        """What came in :attr:`samples` before ``block``, of the same shape."""
        if not self.samples:
            return block
        sound = np.concatenate([self.waiting, block])
        self.waiting = sound[len(block) :]
        return sound[: len(block)]

    def reset(self) -> None:
        """Silence from now on."""
        self.waiting = np.zeros_like(self.waiting)
