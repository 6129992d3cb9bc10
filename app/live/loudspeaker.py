"""A loudspeaker for sound that is made here, not by an engine: it paces whoever plays into it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np
import soxr

from resonance.app import pulse
from resonance.app.devices import (
    OPENING,
    address,
    find_device,
    list_devices,
    opened,
    sounddevice,
)
from resonance.app.errors import DeviceError
from resonance.dsp.arrays import Float32Array

#: Sound that waits in the loudspeaker's buffer, s.
BUFFER_S = 0.2
#: A rate that every loudspeaker takes, Hz.
SAFE_RATE = 48000


class Loudspeaker:
    """Plays blocks and makes whoever brings them wait; silently, if there is no device."""

    def __init__(self, samplerate: int, name: str | None) -> None:
        self.name = name  #: None: the default one
        self.complaint = ""  #: for whoever plays to report
        self._samplerate = samplerate
        self._stream: Any = None
        self._resample: soxr.ResampleStream | None = None
        self._due = time.monotonic()

    def __enter__(self) -> Loudspeaker:
        try:
            sd = sounddevice()
            try:
                self._open(sd, self._samplerate)
            except sd.PortAudioError:
                self._open(sd, SAFE_RATE)
                self._resample = soxr.ResampleStream(
                    self._samplerate, SAFE_RATE, 1, dtype="float32"
                )
        except Exception as error:  # PortAudio's, or ours about PortAudio
            self.complaint = f"no loudspeaker, so it plays in silence ({error})"
        return self

    def _open(self, sd: Any, samplerate: int) -> None:
        device, sink = _output(self.name)
        with OPENING, pulse.chosen(None, sink):
            stream = opened(
                sd.OutputStream(
                    samplerate, device=device, channels=1, dtype="float32", latency=BUFFER_S
                )
            )
            stream.start()
        self._stream = stream

    def play(self, block: Float32Array) -> None:
        """Play; returns when there is room for more."""
        if self._stream is not None:
            sound = self._resample.resample_chunk(block) if self._resample else block
            try:
                self._stream.write(np.ascontiguousarray(sound).reshape(-1, 1))
                return
            except Exception as error:  # the device went away
                self._close()
                self.complaint = f"the loudspeaker is gone, so it plays in silence ({error})"
        now = time.monotonic()
        self._due = max(self._due, now - BUFFER_S) + len(block) / self._samplerate
        time.sleep(max(0.0, self._due - now))

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(Exception):
                stream.abort()
                stream.close()

    def __exit__(self, *_: object) -> None:
        self._close()


def _output(name: str | None) -> tuple[str | None, str | None]:
    """What PortAudio, and what the sound server behind it, is to play into; None: its default."""
    if not name:
        return None, None
    try:
        found = find_device(list_devices(), name, "output")
    except DeviceError:  # away; the default replaces it
        return None, None
    return address(found, name)
