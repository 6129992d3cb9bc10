"""Shared sounds and models."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

# Nobody's own words.
os.environ["RESONANCE_WORDS"] = os.path.join(tempfile.gettempdir(), "resonance-tests-without-words")
# One thread each: torch and numba share two cores with the audio server.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Windows open where nobody sees them.
os.environ.setdefault(
    "QT_QPA_PLATFORM",
    f"offscreen:configfile={os.path.join(os.path.dirname(__file__), 'gui', 'screen.json')}",
)
os.environ.setdefault("NUMBA_NUM_THREADS", "2")
# Programs started by the tests have other home folders, but need not compile everything anew.
os.environ.setdefault("NUMBA_CACHE_DIR", os.path.join(tempfile.gettempdir(), "resonance-compiled"))

import numpy as np
import pytest
import soundfile

from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.presets import LIVE_PRESET
from resonance.assets import DEMO
from tests.sound_server import SoundServer

# Programs started by the tests know Ctrl-C and closed terminals, also where the tests themselves
# run in the background or under nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


#: What tests of a mark need, and this machine may lack.
NEEDED = {
    "audio": ("pulseaudio", "pactl", "paplay", "parec"),
    "window": ("Xvfb",),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Continuous integration has everything, so nothing may be skipped there."""
    parser.addoption("--no-skips", action="store_true", help="a skipped test is a failure")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the window are marked by their folder; what cannot run here is skipped."""
    for item in items:
        if Path(__file__).parent / "gui" in item.path.parents:
            item.add_marker(pytest.mark.window)
        for mark, programs in NEEDED.items():
            missing = [program for program in programs if not shutil.which(program)]
            if missing and item.get_closest_marker(mark):
                reason = f"{', '.join(missing)} missing: ./system-packages.sh test"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """With --no-skips, a skipped test has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("no_skips"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr}"


@pytest.fixture(scope="session")
def denoiser() -> DenoiserModel:
    """The shipped denoiser."""
    return DenoiserModel.preset("live")


@pytest.fixture(scope="session")
def live_denoiser() -> DenoiserModel:
    """What live sound is cleaned with unless another preset is named."""
    return DenoiserModel.preset(LIVE_PRESET)


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
