"""Shared sounds and models."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator

# Nobody's own words.
os.environ["RESONANCE_WORDS"] = os.path.join(tempfile.gettempdir(), "resonance-tests-without-words")
# One thread each: torch and numba share two cores with the audio server.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Windows open where nobody sees them.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("NUMBA_NUM_THREADS", "2")

import numpy as np
import pytest
import soundfile

from resonance.app.sessions import DenoiserModel, SpotterModel
from resonance.assets import DEMO
from tests.sound_server import SoundServer

# Programs started by the tests know Ctrl-C and closed terminals, also where the tests themselves
# run in the background or under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def denoiser() -> DenoiserModel:
    """The shipped denoiser."""
    return DenoiserModel.preset("live")


@pytest.fixture(scope="session")
def studio() -> DenoiserModel:
    """The shipped denoiser that looks ahead."""
    return DenoiserModel.preset("studio")


@pytest.fixture(scope="session")
def spotter() -> SpotterModel:
    """The shipped spotter."""
    return SpotterModel()


@pytest.fixture
def rng() -> np.random.Generator:
    """Repeatable randomness."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def demo() -> tuple[np.ndarray, np.ndarray, int]:
    """The demo recording: noisy, clean, samplerate."""
    noisy, samplerate = soundfile.read(DEMO, dtype="float32")
    clean, _ = soundfile.read(DEMO.with_name("demo-clean.flac"), dtype="float32")
    return noisy, clean, samplerate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundServer]:
    """A sound server without hardware."""
    found = SoundServer(tmp_path_factory.mktemp("pulse"))
    found.start()
    yield found
    found.end()
