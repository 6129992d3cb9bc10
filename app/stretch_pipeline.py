"""The streaming pipeline for long blocks: the same samples, several times as fast."""

from __future__ import annotations

import numpy as np

from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.pipeline import Pipeline, make_stream, mean
from resonance.app.spotter import KeywordEvent
from resonance.dsp.arrays import Float32Array
from resonance.dsp.stream import BankStream
from resonance.dsp.stretch import BankStretch

#: Blocks of this many seconds hold whole hops at common samplerates.
BLOCK_S = 2.56
#: What is read in silence.
NOBODY = np.zeros(1, np.float32)


class StretchPipeline(Pipeline):
    """A :class:`~resonance.app.pipeline.Pipeline` that works through each block as a whole.

    It listens to the whole block, asks the model for the gains of all its parts at once, and then
    plays the block. Blocks may have any length; seconds (:data:`BLOCK_S`) are fast, milliseconds
    are not. It must have a denoiser.
    """

    def _prepare(
        self, channels: int, denoiser: DenoiserModel | None, spotter: SpotterModel | None
    ) -> None:
        assert denoiser is not None
        self._runs = [denoiser.start() for _ in range(channels)]
        self._banks = [
            make_stream(self.samplerate, denoiser, spotter, BankStretch) for _ in range(channels)
        ]
        self._streams = [*self._banks]
        #: :attr:`voice` at the end of each hop that ended in the last block [hops].
        self.voices = np.zeros(0, np.float32)

    def process(self, block: Float32Array, out: Float32Array | None = None) -> list[KeywordEvent]:
        """Process a block; write the cleaned one into ``out``; as in the base class."""
        columns = self._columns(block, out)
        self._choose_sound_for_keywords()
        cleaned = np.empty(columns.shape, np.float32)
        contrasts, voices = [], []
        for channel, (bank, run) in enumerate(zip(self._banks, self._runs, strict=True)):
            sound = np.ascontiguousarray(columns[channel], np.float32)
            analysis = bank.analyse(sound)
            self.bad_samples += analysis.bad
            found = run.gains(analysis.features, analysis.updated)
            voices.append(np.concatenate([NOBODY, run.voices])[analysis.described])
            gains = np.concatenate([self._last_gains[channel][None], found])
            self._last_gains[channel] = gains[-1]
            limited = self._limited(gains)
            if bank.resting:
                bank.hold(limited[0])
            bank.play(sound, limited, cleaned[channel])
            contrasts.append(analysis.contrast[:, : self._spotter_oscillators])
        if out is not None:
            out[...] = cleaned.T.reshape(out.shape)
        self.voices = np.max(voices, axis=0)
        return self._spotted(mean(contrasts), cleaned)

    def _spotted(self, contrasts: Float32Array, cleaned: Float32Array) -> list[KeywordEvent]:
        """Keywords in a block's hops: contrasts as it came [hops, oscillators], and cleaned."""
        heard = [contrasts]
        if self._ears:
            heard.append(mean([_heard(*pair) for pair in zip(self._ears, cleaned, strict=True)]))
        if not self.spotter:  # none wanted, or warming up
            return []
        hops = zip(self.voices, *heard, strict=True)
        events = (self.spotter.hop(*hop, voice=voice) for voice, *hop in hops)
        return [event for event in events if event]


def _heard(ear: BankStream, sound: Float32Array) -> Float32Array:
    """Contrasts of the hops that end in a block [hops, oscillators]."""
    contrasts, start = [np.zeros((0, ear.oscillators), np.float32)], 0
    while start < len(sound):
        stop = min(len(sound), start + ear.hop_left)
        ear.listen(sound[start:stop])
        if not ear.samples_left:
            contrasts.append(ear.contrast()[None])
            ear.next_part()
        start = stop
    return np.concatenate(contrasts)
