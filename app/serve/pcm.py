"""Raw sound on the wire: bytes of PCM and arrays of floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resonance.app.checks import SAMPLERATES
from resonance.app.errors import WrongUsage
from resonance.dsp.arrays import Float32Array

#: Sample types by name: the type of their bytes, full scale, and the value of silence.
ENCODINGS = {
    "u8": ("u1", 128.0, 128.0),
    "s16le": ("<i2", 32768.0, 0.0),
    "s32le": ("<i4", 2147483648.0, 0.0),
    "f32le": ("<f4", 1.0, 0.0),
}
#: Most channels of a stream.
MOST_CHANNELS = 8


@dataclass(frozen=True)
class Format:
    """How samples are written as bytes; frames are interleaved.

    Raises
    ------
    WrongUsage
        If the encoding is unknown, or the samplerate or the channels make no sense.
    """

    samplerate: int  #: Hz
    channels: int = 1
    encoding: str = "s16le"

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            known = ", ".join(ENCODINGS)
            raise WrongUsage(f"encoding {self.encoding!r} is unknown; choose one of: {known}")
        low, high = SAMPLERATES
        if not low <= self.samplerate <= high:
            raise WrongUsage(f"samplerate {self.samplerate} Hz is outside {low} … {high} Hz")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise WrongUsage(f"{self.channels} channels: send 1 to {MOST_CHANNELS}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return np.dtype(ENCODINGS[self.encoding][0]).itemsize * self.channels

    def floats(self, pcm: bytes) -> Float32Array:
        """Whole frames of bytes as sound of full scale 1 [samples, channels]."""
        kind, scale, silence = ENCODINGS[self.encoding]
        values = np.frombuffer(pcm, kind).astype(np.float32)
        return np.asarray((values - np.float32(silence)) / np.float32(scale), np.float32).reshape(
            -1, self.channels
        )

    def pcm(self, sound: Float32Array) -> bytes:
        """Sound of full scale 1 [samples, channels] as bytes."""
        kind, scale, silence = ENCODINGS[self.encoding]
        if kind == "<f4":
            return np.ascontiguousarray(sound, kind).tobytes()
        values = np.rint(sound.astype(np.float64) * scale + silence)
        limits = np.iinfo(kind)
        return np.clip(values, limits.min, limits.max).astype(kind).tobytes()
