"""Live sound: one duplex stream, the pipeline in its callback."""

from __future__ import annotations

import gc
import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.custom_words import CustomWord
from app.devices import find_device, sounddevice
from app.errors import DeviceError
from app.pipeline import Pipeline
from app.recorder import Recorder
from app.sessions import DenoiserModel, SpotterModel
from app.spotter import KeywordEvent, Sensitivity
from dsp.meters import LevelMeter


@dataclass
class LiveCounters:
    """What went on in the callback; written there, read anywhere."""

    blocks: int = 0
    lost_blocks: int = 0  #: blocks PortAudio flagged as over- or underflow
    late_blocks: int = 0  #: blocks that took longer to process than to play
    busy_s: float = 0.0
    sound_s: float = 0.0

    @property
    def load(self) -> float:
        """Share of one core spent so far, 1 = all of it."""
        return self.busy_s / self.sound_s if self.sound_s else 0.0


class LiveStream:
    """Microphone in, clean sound out, until stopped.

    Parameters
    ----------
    input_name, output_name
        Device names, or None for the system's default.
    samplerate
        Hz, or None for the input device's own.
    blocksize_s
        Length of a block, s; PortAudio may add its own buffering.
    limit_db, sensitivity, custom
        Largest attenuation, dB, when a keyword counts as heard, and custom words.

    Raises
    ------
    DeviceError
        If a device is missing or refuses.
    """

    def __init__(
        self,
        denoiser: DenoiserModel,
        spotter: SpotterModel | None,
        *,
        input_name: str | None = None,
        output_name: str | None = None,
        samplerate: float | None = None,
        blocksize_s: float = 0.01,
        limit_db: float | None = None,
        sensitivity: Sensitivity | None = None,
        custom: Sequence[CustomWord] = (),
    ) -> None:
        sd = sounddevice()
        devices = (find_device(input_name, "input"), find_device(output_name, "output"))
        try:
            rate = samplerate or sd.query_devices(devices[0], "input")["default_samplerate"]
            self.pipeline = Pipeline(
                rate,
                denoiser=denoiser,
                spotter=spotter,
                limit_db=limit_db,
                sensitivity=sensitivity,
                custom=custom,
            )
            blocksize = max(1, round(blocksize_s * rate))
            self._warm_up(blocksize)
            self.stream = sd.Stream(
                samplerate=rate, blocksize=blocksize, device=devices, channels=1, dtype="float32",
                latency="low", callback=self._callback, clip_off=True, dither_off=True,
            )  # fmt: skip
        except (sd.PortAudioError, ValueError) as error:
            raise DeviceError(f"cannot open the audio devices: {error}") from error
        self.counters = LiveCounters()
        self.levels = (LevelMeter(rate), LevelMeter(rate))
        self.events: queue.SimpleQueue[KeywordEvent] = queue.SimpleQueue()
        self.error: Exception | None = None
        #: Recorders of what comes in, and of what goes out.
        self.recorders: tuple[list[Recorder], list[Recorder]] = ([], [])

    def _warm_up(self, blocksize: int) -> None:
        silence = np.zeros(blocksize, np.float32)
        for _ in range(2 + int(0.2 * self.pipeline.samplerate / blocksize)):
            self.pipeline.process(silence, np.empty_like(silence))
        self.pipeline.reset()

    def _callback(self, indata: Any, outdata: Any, frames: int, _: Any, status: Any) -> None:
        start = time.perf_counter()
        for recorder in self.recorders[0]:
            recorder.put(indata)
        try:
            for event in self.pipeline.process(indata, outdata):
                self.events.put(event)
        except Exception as error:  # an exception here would end the stream without a word
            self.error = error
            outdata[:] = indata
        for recorder in self.recorders[1]:
            recorder.put(outdata)
        seconds = frames / self.pipeline.samplerate
        self.levels[0].update(indata)
        self.levels[1].update(outdata)
        busy = time.perf_counter() - start
        counters = self.counters
        counters.blocks += 1
        counters.lost_blocks += bool(status)
        counters.late_blocks += busy > seconds
        counters.busy_s += busy
        counters.sound_s += seconds

    @property
    def latency_s(self) -> tuple[float, float]:
        """Input and output latency of the devices, s, without the pipeline's own."""
        return self.stream.latency  # type: ignore[no-any-return]

    def __enter__(self) -> LiveStream:
        # A collection in the middle of a block is a click.
        sd = sounddevice()
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            self.stream.start()
        except sd.PortAudioError as error:
            self.__exit__()
            raise DeviceError(f"the audio devices do not start: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        gc.enable()
        gc.unfreeze()
