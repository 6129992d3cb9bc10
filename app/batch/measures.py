"""What is measured on the way through a file: levels, a small resonogram, estimated opinion.

All take blocks before and after cleaning, and need the same memory for a file of any length.
"""

from __future__ import annotations

import base64
import functools
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from resonance.app.errors import UserError
from resonance.app.figure import RANGE_DB
from resonance.app.onnx_models import DenoiserModel
from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import OscillatorBank
from resonance.dsp.kernels import LARGEST_SAMPLE
from resonance.dsp.meters import FLOOR_DB, to_db
from resonance.dsp.stream import BankStream

#: Levels of frames this long are counted, s.
FRAME_S = 0.1
#: The level that this share of frames stays below is called the noise.
NOISE_SHARE = 0.1
#: Columns of a small resonogram at most; every second oscillator makes a row.
COLUMNS = 160
#: DNSMOS takes windows of this many samples at 16 kHz; at most so many of them.
DNSMOS_RATE, DNSMOS_SAMPLES, DNSMOS_WINDOWS = 16000, 144160, 10
#: From the network's overall score to the published scale (Reddy et al. 2022, P.835).
DNSMOS_FIT = (-0.06766283, 1.11546468, 0.04602535)


def _finite(block: Float32Array) -> Float32Array:
    """What the pipeline takes for silence is silence here, too."""
    return np.where(np.abs(block) < LARGEST_SAMPLE, block, np.float32(0.0))


class LevelStatistics:
    """RMS, peak and the level of the noise, dBFS."""

    def __init__(self, samplerate: float) -> None:
        self._frame = max(1, round(FRAME_S * samplerate))
        self._counts = np.zeros(round(-FLOOR_DB) + 20, np.int64)  # 1 dB each, from FLOOR_DB
        self._power, self._samples, self._peak = 0.0, 0, 0.0

    def add(self, block: Float32Array) -> None:
        """A block [samples, channels]."""
        if not block.size:
            return
        sound = _finite(block)
        power = np.square(sound).mean(axis=1, dtype=np.float64)
        self._power += float(power.sum())
        self._samples += len(block)
        self._peak = max(self._peak, float(np.abs(sound).max()))
        frames = power[: len(power) // self._frame * self._frame].reshape(-1, self._frame)
        levels = 10 * np.log10(frames.mean(axis=1) + 1e-12) - FLOOR_DB
        places = np.clip(levels, 0, len(self._counts) - 1).astype(np.int64)
        self._counts += np.bincount(places, minlength=len(self._counts))

    def summary(self) -> dict[str, float | None]:
        """The levels; the noise's is None in a file shorter than a frame."""
        total = int(self._counts.sum())
        noise = None
        if total:
            place = int(np.searchsorted(np.cumsum(self._counts), NOISE_SHARE * total))
            noise = place + FLOOR_DB + 0.5
        rms = (self._power / self._samples) ** 0.5 if self._samples else 0.0
        return {
            "rms_db": round(to_db(rms), 1),
            "peak_db": round(to_db(self._peak), 1),
            "noise_db": noise,
        }


class ResonogramThumbnail:
    """How loud the carrying oscillators ring at moments spread over the file, before and after.

    Whenever there are too many, every other one is given up. The length [samples] that a file
    promises only says how far apart they are to begin with.
    """

    def __init__(self, model: DenoiserModel, samplerate: float, length: int = 0) -> None:
        carriers = np.flatnonzero(model.carriers)[::2]
        bank = OscillatorBank(model.bank.f0_hz[carriers], model.bank.damping_ratio[carriers])
        self._bank = BankStream(bank, samplerate, model.hop_s)
        self._hop = self._bank.samples_left
        self._stride = max(1, length // (self._hop * COLUMNS))
        self._columns: list[Float32Array] = []
        self._next = self._position = 0

    def add(self, before: Float32Array, after: Float32Array) -> None:
        """A block and the same block cleaned, each [samples, channels]."""
        end = self._position + len(before)
        while self._next + 2 * self._hop <= end:
            start = max(0, self._next - self._position)
            part = slice(start, start + 2 * self._hop)
            self._columns.append(np.stack([self._levels(b[part, 0]) for b in (before, after)]))
            if len(self._columns) == 2 * COLUMNS:
                self._columns, self._stride = self._columns[::2], 2 * self._stride
            self._next += self._stride * self._hop
        self._position = end

    def _levels(self, sound: Float32Array) -> Float32Array:
        """Levels [oscillators] in the second of two hops from rest, dBFS."""
        self._bank.reset()
        sound = np.ascontiguousarray(sound)
        self._bank.listen(sound[: self._hop])
        self._bank.next_part()
        self._bank.listen(sound[self._hop : self._hop + self._bank.samples_left])
        return np.asarray(10 * np.log10(self._bank.power() + 1e-12), np.float32)

    def picture(self) -> dict[str, Any] | None:
        """Both as base64 of bytes, row by row from the lowest oscillator; None if too short."""
        if not self._columns:
            return None
        step = -(-len(self._columns) // COLUMNS)
        levels = np.stack(self._columns[::step], axis=-1)  # [2, oscillators, columns]
        low, high = RANGE_DB
        bytes_ = (255 * np.clip((levels - low) / (high - low), 0, 1)).astype(np.uint8)
        before, after = (base64.b64encode(part.tobytes()).decode() for part in bytes_)
        return {
            "rows": levels.shape[1],
            "columns": levels.shape[2],
            "before": before,
            "after": after,
        }


class Dnsmos:
    """DNSMOS P.835: opinions predicted without a reference, from the published network.

    Raises
    ------
    UserError
        If the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no common base for its errors
            raise UserError(f"{path} is not a DNSMOS model: {error}") from error

    def overall(self, sound: NDArray[np.float32]) -> float:
        """Predicted overall opinion, 1 … 5; short sounds are repeated to 9 s."""
        window = np.resize(sound, DNSMOS_SAMPLES).astype(np.float32)[None]
        raw = self.session.run(None, {self.session.get_inputs()[0].name: window})[0][0]
        return float(np.polyval(DNSMOS_FIT, raw[2]))


class Opinions:
    """Estimated opinion of the first channel's first minute and a half, before and after."""

    def __init__(self, model: Path, samplerate: float) -> None:
        self._model, self._samplerate = dnsmos(model), samplerate
        self._left = round(DNSMOS_WINDOWS * DNSMOS_SAMPLES / DNSMOS_RATE * samplerate)
        self._sounds: tuple[list[Float32Array], list[Float32Array]] = ([], [])

    def add(self, before: Float32Array, after: Float32Array) -> None:
        """A block and the same block cleaned, each [samples, channels]."""
        for sounds, block in zip(self._sounds, (before, after), strict=True):
            sounds.append(_finite(block[: self._left, 0]))
        self._left -= min(self._left, len(before))

    def summary(self) -> dict[str, float] | None:
        """Before and after, 1 … 5; None without sound, or where the network has no opinion."""
        before, after = (self._mean(np.concatenate(s)) if s else None for s in self._sounds)
        if before is None or after is None:
            return None
        if not (math.isfinite(before) and math.isfinite(after)):
            return None
        return {"before": round(before, 2), "after": round(after, 2)}

    def _mean(self, sound: Float32Array) -> float | None:
        if not len(sound):
            return None
        if self._samplerate != DNSMOS_RATE:
            sound = _resampler().resample(sound, self._samplerate, DNSMOS_RATE)
        count = max(1, len(sound) // DNSMOS_SAMPLES)
        windows = (sound[i * DNSMOS_SAMPLES : (i + 1) * DNSMOS_SAMPLES] for i in range(count))
        return float(np.mean([self._model.overall(window) for window in windows]))


@functools.cache
def dnsmos(path: Path) -> Dnsmos:
    """The network, opened once."""
    return Dnsmos(path)


def _resampler() -> Any:
    try:
        return importlib.import_module("soxr")
    except ImportError:
        raise UserError(
            "estimating opinions at other samplerates than 16 kHz needs soxr; pip install soxr"
        ) from None
