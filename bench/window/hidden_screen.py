"""A screen that nobody sees, for measurements and pictures of windows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def screen(width: int = 1280, height: int = 800) -> Iterator[dict[str, str]]:
    """Environment in which windows open on it.

    Raises
    ------
    RuntimeError
        If Xvfb is missing, or does not start.
    """
    if not shutil.which("Xvfb"):
        raise RuntimeError("Xvfb is missing: ./system-packages.sh test")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            f"{width}x{height}x24",
            "-nolisten",
            "tcp",
        ],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        number = os.read(reading, 16).decode().strip()
        if not number:
            raise RuntimeError("the screen did not start")
        yield {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        os.close(reading)
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:  # an X server that is being reset may not hear of it
            server.kill()
            server.wait(10)
