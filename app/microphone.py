"""Words recorded one by one from a microphone, in a terminal."""

from __future__ import annotations

import queue
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from rich.console import Console

from resonance.app import pulse
from resonance.app.devices import (
    OPENING,
    address,
    find_device,
    list_devices,
    opened,
    sounddevice,
)
from resonance.app.errors import DeviceError, UserError
from resonance.app.takes import TAKE_S, has_ended, trimmed
from resonance.dsp.arrays import Float32Array

#: A microphone that gives nothing for so long is gone, s.
PATIENCE_S = 3.0


class Microphone:
    """An input device, open while the context lasts.

    Parameters
    ----------
    name
        As ``resonance devices`` lists it; None is the system's default.

    Raises
    ------
    DeviceError
        If there is no such device, or it cannot be opened.
    """

    def __init__(self, name: str | None) -> None:
        device = find_device(list_devices(), name, "input")
        self.name, self.samplerate = device.name, device.samplerate
        self._blocks: queue.SimpleQueue[Float32Array] = queue.SimpleQueue()
        portaudio, source = address(device, name)
        sd = sounddevice()
        try:
            with OPENING, pulse.chosen(source, None):
                self._stream = opened(
                    sd.InputStream(
                        self.samplerate, device=portaudio, channels=1, callback=self._callback
                    )
                )
        except (sd.PortAudioError, ValueError) as error:
            raise DeviceError(f"{self.name} cannot be opened: {error}") from error

    def _callback(self, block: Any, *_: object) -> None:
        self._blocks.put(block[:, 0].copy())

    def __enter__(self) -> Microphone:
        self._stream.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def record_word(self, path: Path, ask: str, page: Console) -> bool:
        """Ask for a word and write it alone to ``path``; False, and why, if none stood out.

        Parameters
        ----------
        path
            Where the word is written.
        ask
            What to say to the user.
        page
            Where to say it.

        Returns
        -------
        bool
            Whether a word was recorded.
        """
        while not self._blocks.empty():
            self._blocks.get()  # said before it was asked for
        with page.status(ask):
            sound = self._take()
        try:
            word = trimmed(sound, self.samplerate)
        except UserError as error:
            page.print(str(error))
            return False
        soundfile.write(path, word, round(self.samplerate), subtype="FLOAT")
        page.print(f"{ask}: {len(word) / self.samplerate:.1f} s recorded")
        return True

    def _take(self) -> Float32Array:
        """Sound until a word was said and is over, or nobody says one [samples]."""
        sound = np.zeros(0, np.float32)
        while len(sound) < TAKE_S * self.samplerate and not has_ended(sound, self.samplerate):
            try:
                sound = np.append(sound, self._blocks.get(timeout=PATIENCE_S))
            except queue.Empty:
                raise DeviceError(f"{self.name} gives no sound; is it in use?") from None
        return sound
