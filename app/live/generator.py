"""A tone or a sweep in place of a microphone, through the same pipeline."""

from __future__ import annotations

import numpy as np

from resonance.app.live.player import Player
from resonance.app.live.settings import EngineSettings
from resonance.dsp.arrays import Float32Array

#: What can be generated.
TONE, SWEEP = "tone", "sweep"
SAMPLERATE = 48000
#: Ends of a sweep, Hz, and the time from one to the other, s.
SWEEP_HZ, SWEEP_S = (50.0, 8000.0), 10.0
#: Amplitude; full scale is 1.
LEVEL = 0.2


class ToneGenerator(Player):
    """Plays a tone, or a sweep up and down again, until it is closed.

    Parameters
    ----------
    kind
        :data:`TONE` or :data:`SWEEP`.
    settings
        As of :class:`~resonance.app.live.player.Player`.
    tone_hz
        Frequency of the tone; may be changed while it plays.
    """

    def __init__(self, kind: str, settings: EngineSettings, tone_hz: float = 440.0) -> None:
        super().__init__(f"a {kind}", SAMPLERATE, settings)
        self.kind, self.tone_hz = kind, tone_hz
        self._phase, self._time_s = 0.0, 0.0
        self._last_hz = tone_hz

    def _take_block(self, count: int) -> Float32Array:
        """The frequency glides within a block, so that it never jumps."""
        if self.kind == SWEEP:
            self._time_s += count / SAMPLERATE
            low, high = SWEEP_HZ
            up = 1 - abs((self._time_s / SWEEP_S) % 2 - 1)  # 0 … 1 … 0
            self.tone_hz = low * (high / low) ** up
        hz = np.geomspace(self._last_hz, self.tone_hz, count)
        self._last_hz = self.tone_hz
        phases = self._phase + np.cumsum(2 * np.pi * hz / SAMPLERATE)
        self._phase = float(phases[-1] % (2 * np.pi))
        tone: Float32Array = (LEVEL * np.sin(phases)).astype(np.float32)
        return tone

    def _before(self, count: int) -> Float32Array:
        times_s = np.arange(-count, 0) / SAMPLERATE
        phases = self._phase + 2 * np.pi * self.tone_hz * times_s
        before: Float32Array = (LEVEL * np.sin(phases)).astype(np.float32)
        return before
