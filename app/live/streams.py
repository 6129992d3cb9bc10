"""PortAudio streams that drive a processor: one for both directions, or two with a bridge."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from resonance.app import pulse
from resonance.app.devices import OPENING, Route, opened, sounddevice
from resonance.app.errors import DeviceError, StuckError
from resonance.app.live.bridge import ClockBridge
from resonance.app.live.processor import Processor, fade
from resonance.dsp.arrays import Float32Array

#: Priority of the callbacks' threads among real-time threads (1 … 99), where the system grants it.
PRIORITY = 10
#: A loop sleeps for this part of the time until a block is expected, s at least and at most.
_EARLY, _SHORTEST_S, _LONGEST_S = 0.95, 0.0005, 0.02
#: Sound that waits for so long without need is caught up with, s: so many blocks by cross-fade,
#: what is more is dropped.
_CATCH_UP_S, _FADED = 0.25, 4
#: An output that does not call for so long has stopped, s.
_STILL_S = 3.0
#: How long a device may take to let go, s.
_LET_GO_S = 2.0
_FLAGS = ("input_overflow", "input_underflow", "output_overflow", "output_underflow")


class Stream(Protocol):
    """An open connection between devices and a processor."""

    @property
    def active(self) -> bool:
        """Whether the devices still call."""

    @property
    def latency_s(self) -> tuple[float, float]:
        """Of the input and output device, s."""

    @property
    def bridge_s(self) -> float:
        """Added between two clocks, s."""

    def start(self) -> None:
        """Let it run."""

    def close(self) -> None:
        """End it at once."""


class CallbackStream:
    """Both directions in one callback: what comes in leaves in the block of the same instant."""

    bridge_s = 0.0

    def __init__(
        self, route: Route, blocksize: int, processor: Processor, inputs: int, column: int
    ) -> None:
        self._processor, self._column = processor, column
        self._stream = opened(
            sounddevice().Stream(
                device=route.portaudio,
                channels=(inputs, 1),
                callback=self._callback,
                **_common(blocksize, processor),
            )
        )
        self.latency_s: tuple[float, float] = self._stream.latency

    def _callback(self, indata: Any, outdata: Any, frames: int, _: Any, status: Any) -> None:
        if status:
            count_flags(self._processor, status)
        self._processor.process(indata[:, self._column], outdata[:, 0])

    @property
    def active(self) -> bool:
        """Whether the devices still call."""
        return bool(self._stream.active)

    def start(self) -> None:
        """Let it run."""
        self._stream.start()

    def close(self) -> None:
        """End it at once."""
        _close(self._stream)


class LoopStream:
    """The same in a loop of our own: for ALSA and what is behind it.

    There, PortAudio's callbacks in both directions keep a core busy with waiting, whenever one
    direction is ready before the other; a real-time thread that does so starves the sound server.
    This one sleeps until both are ready. It neither waits inside of PortAudio, so that it can
    always be ended, nor does anybody else touch the stream.
    """

    bridge_s = 0.0

    def __init__(
        self, route: Route, blocksize: int, processor: Processor, inputs: int, column: int
    ) -> None:
        self._processor, self._blocksize, self._column = processor, blocksize, column
        self._stream = opened(
            sounddevice().Stream(
                device=route.portaudio, channels=(inputs, 1), **_common(blocksize, processor)
            )
        )
        self.latency_s: tuple[float, float] = self._stream.latency
        self._started, self._ending = threading.Event(), threading.Event()
        self._looks, self._least, self._surplus = 0, sys.maxsize, 0
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)
        self._thread.start()

    @property
    def active(self) -> bool:
        """Whether the devices still answer."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Let it run."""
        self._started.set()

    def _run(self) -> None:
        self._started.wait()
        raise_priority()
        try:
            self._stream.start()
            while self._wait():
                self._pass_block()
        except sounddevice().PortAudioError:
            pass  # that it is no longer active says enough
        finally:
            _close(self._stream)

    def _wait(self) -> bool:
        """Sleep until a block can be read and written; False when it is time to end."""
        while not self._ending.is_set():
            waiting = self._stream.read_available
            missing = self._blocksize - min(waiting, self._stream.write_available)
            if missing <= 0:
                self._catch_up(waiting - self._blocksize)
                return True
            expected_s = _EARLY * missing / self._processor.samplerate
            time.sleep(min(max(expected_s, _SHORTEST_S), _LONGEST_S))
        return False

    def _catch_up(self, surplus: int) -> None:
        """Find what has been waiting all the time: the devices fill up when something hung.

        Also, slowly, when the input's clock is a little faster than the output's: those of
        PulseAudio's null sinks differ by 100 ppm, as they count in whole microseconds. Without this
        the delay would stay longer.
        """
        self._least = min(self._least, surplus)
        self._looks += 1
        if self._looks * self._blocksize < _CATCH_UP_S * self._processor.samplerate:
            return
        self._surplus = self._least // self._blocksize
        self._looks, self._least = 0, sys.maxsize
        too_much = (self._surplus - _FADED) * self._blocksize
        if too_much > 0:
            self._stream.read(too_much)
            self._processor.counters["skipped_samples"] += too_much
            self._surplus = _FADED

    def _pass_block(self) -> None:
        outdata = self._next_block()
        while self._surplus:  # cleaned like all, and cross-faded
            later = self._next_block()
            fade(outdata[:, 0], later[:, 0], outdata[:, 0])
            self._surplus -= 1
            self._processor.counters["skipped_samples"] += self._blocksize
        underflowed = self._stream.write(outdata)
        self._processor.counters["output_underflows"] += bool(underflowed)

    def _next_block(self) -> Float32Array:
        """Read and cleaned [samples, 1]."""
        indata, overflowed = self._stream.read(self._blocksize)
        outdata = np.empty((len(indata), 1), np.float32)
        self._processor.process(indata[:, self._column], outdata[:, 0])
        self._processor.counters["input_overflows"] += bool(overflowed)
        return outdata

    def close(self) -> None:
        """End it at once; StuckError if the sound server does not let go."""
        self._ending.set()
        self._started.set()
        self._thread.join(_LET_GO_S)
        if self._thread.is_alive():
            raise StuckError("the sound server does not answer")


class BridgedStream:
    """Two callbacks, each in step with its own device; sound is cleaned in the input's."""

    def __init__(
        self, route: Route, blocksize: int, processor: Processor, inputs: int, column: int
    ) -> None:
        sd = sounddevice()
        self._processor, self._column = processor, column
        self._bridge = ClockBridge(processor.samplerate, blocksize, processor.counters)
        self._last_output_s = time.monotonic()
        self._ready_in, self._ready_out = _once(raise_priority), _once(raise_priority)
        options = _common(blocksize, processor)
        self._input = opened(
            sd.InputStream(
                device=route.portaudio[0], channels=inputs, callback=self._on_input, **options
            )
        )
        try:
            self._output = opened(
                sd.OutputStream(
                    device=route.portaudio[1], channels=1, callback=self._on_output, **options
                )
            )
        except Exception:
            _close(self._input)
            raise
        self.latency_s: tuple[float, float] = (self._input.latency, self._output.latency)

    @property
    def bridge_s(self) -> float:
        """Added between two clocks, s."""
        return self._bridge.delay_s

    def _on_input(self, indata: Any, frames: int, _: Any, status: Any) -> None:
        self._ready_in()
        if status:
            count_flags(self._processor, status)
        chosen = indata[:, self._column]
        outdata: Float32Array = chosen.copy()
        self._processor.process(chosen, outdata)
        self._bridge.write(outdata)

    def _on_output(self, outdata: Any, frames: int, _: Any, status: Any) -> None:
        self._ready_out()
        if status:
            count_flags(self._processor, status)
        self._bridge.read(outdata[:, 0])
        self._last_output_s = time.monotonic()

    @property
    def active(self) -> bool:
        """Whether the devices still call; that the input's does, the processor knows."""
        calls = time.monotonic() - self._last_output_s < _STILL_S
        return bool(calls and self._input.active and self._output.active)

    def start(self) -> None:
        """Let it run."""
        self._last_output_s = time.monotonic()
        self._output.start()
        self._input.start()

    def close(self) -> None:
        """End it at once."""
        _close(self._input)
        _close(self._output)


def open_stream(
    route: Route, blocksize: int, processor: Processor, channel: int | None = None
) -> Stream:
    """A stream for this route, not yet started.

    Parameters
    ----------
    route
        Input and output.
    blocksize
        Samples of a block, at the input's samplerate.
    processor
        Called with each block.
    channel
        Of the input, from 1; None: what the device gives as one channel.

    Returns
    -------
    Stream
        One duplex stream, or two with a bridge between their clocks.

    Raises
    ------
    DeviceError
        If the devices refuse, or the input has no such channel.
    """
    inputs = route.input.inputs if channel else 1
    if channel and channel > inputs:
        raise DeviceError(f"channel {channel}: {route.input.name} has {inputs}")
    sd = sounddevice()
    together = LoopStream if sys.platform == "linux" else CallbackStream
    kind = together if route.one_clock else BridgedStream
    try:
        with OPENING, pulse.chosen(*route.server):
            return kind(route, blocksize, processor, inputs, (channel or 1) - 1)
    except (sd.PortAudioError, ValueError) as error:
        raise DeviceError(f"cannot open the audio devices: {error}") from error


def count_flags(processor: Processor, status: Any) -> None:
    """Add what PortAudio says went wrong to the counters."""
    for flag in _FLAGS:
        if getattr(status, flag):
            processor.counters[f"{flag}s"] += 1


def raise_priority() -> bool:
    """Make this thread a real-time thread; False where that is not granted or not needed.

    Windows and macOS do so for callbacks by themselves.
    """
    if sys.platform != "linux":
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        return False
    return True


def may_be_realtime() -> bool:
    """Whether :func:`raise_priority` would be granted; always where the system does it itself."""
    if sys.platform != "linux":
        return True
    import resource

    return os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_RTPRIO)[0] >= PRIORITY


def _common(blocksize: int, processor: Processor) -> dict[str, Any]:
    return {
        "samplerate": processor.samplerate,
        "blocksize": blocksize,
        "dtype": "float32",
        "latency": "low",
        "clip_off": True,
        "dither_off": True,
    }


def _once(work: Callable[[], object]) -> Callable[[], None]:
    """Something that does ``work`` the first time it is called."""
    waiting = [work]

    def ready() -> None:
        if waiting:
            waiting.pop()()

    return ready


def _close(stream: Any) -> None:
    with suppress(sounddevice().PortAudioError):
        stream.abort()
    with suppress(sounddevice().PortAudioError):
        stream.close()
