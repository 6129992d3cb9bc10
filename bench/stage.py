"""A sound server without hardware and a screen without one, for measurements and pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from assets import DEMO

CONFIG = """
load-module module-native-protocol-unix socket={root}/pulse.sock auth-anonymous=1
load-module module-null-sink sink_name=out rate=48000 channels=2 norewinds=1 sink_properties=device.description=Headphones
load-module module-null-sink sink_name=feed rate=48000 channels=1 norewinds=1 sink_properties=device.description=Feed
load-module module-remap-source master=feed.monitor source_name=mic channels=1 channel_map=mono source_properties=device.description="USB\\ Microphone"
set-default-sink out
set-default-source mic
"""  # noqa: E501
_PROGRAMS = ("pulseaudio", "paplay", "Xvfb")


def need(*programs: str) -> None:
    """Raise RuntimeError, naming the line that installs it, if a program is missing."""
    missing = [name for name in programs or _PROGRAMS if not shutil.which(name)]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} missing: ./system-packages.sh test")


@contextmanager
def sound_server() -> Iterator[dict[str, str]]:
    """Environment in which programs find a microphone, ``mic``, and headphones, ``out``.

    What is played into the sink ``feed`` is what the microphone hears.
    """
    need("pulseaudio", "paplay")
    with tempfile.TemporaryDirectory(prefix="resonance-stage-") as folder:
        root = Path(folder)
        root.chmod(0o700)
        (root / "stage.pa").write_text(CONFIG.format(root=root), encoding="utf-8")
        environment = {
            "HOME": str(root), "XDG_RUNTIME_DIR": str(root),
            "PULSE_SERVER": f"unix:{root}/pulse.sock", "PULSE_RUNTIME_PATH": str(root),
        }  # fmt: skip
        server = subprocess.Popen(
            ["pulseaudio", "-n", "-F", str(root / "stage.pa"), "--daemonize=no",
             "--exit-idle-time=-1", "--use-pid-file=no"],
            env={**os.environ, **environment}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(lambda: (root / "pulse.sock").exists(), "the sound server did not start")
            yield environment
        finally:
            server.terminate()
            server.wait(10)


@contextmanager
def screen(width: int = 1280, height: int = 800) -> Iterator[dict[str, str]]:
    """Environment in which windows open on a screen that nobody sees."""
    need("Xvfb")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24", "-nolisten",
         "tcp"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    try:
        number = os.read(reading, 16).decode().strip()
        if not number:
            raise RuntimeError("the screen did not start")
        yield {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        os.close(reading)
        server.terminate()
        server.wait(10)


@contextmanager
def speaking(
    environment: dict[str, str], path: Path = DEMO, minutes: float = 5.0
) -> Iterator[None]:
    """The microphone hears a recording, again and again."""
    sound, samplerate = soundfile.read(path, dtype="float32")
    times = max(1, round(60 * minutes * samplerate / len(sound)))
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, np.tile(sound, times), samplerate)
        player = subprocess.Popen(
            ["paplay", "-d", "feed", file.name], env={**os.environ, **environment}
        )
        try:
            yield
        finally:
            player.kill()
            player.wait()


def _wait_for(condition: object, complaint: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise RuntimeError(complaint)
        time.sleep(0.02)
