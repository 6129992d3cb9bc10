"""Folders of short recordings, and the command run on them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

COMMAND = [sys.executable, "-m", "resonance", "batch"]


def write_noise(path: Path, seconds: float = 0.5, samplerate: int = 16000, **options) -> Path:
    """A recording of its own for every path."""
    rng = np.random.default_rng(sum(map(ord, path.name)))
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = options.pop("channels", 1)
    sound = 0.1 * rng.standard_normal((int(seconds * samplerate), channels))
    soundfile.write(path, sound, samplerate, **options)
    return path


def batch(*arguments) -> subprocess.CompletedProcess:
    """The command run to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All outputs of sound below a folder."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in found
        if not p.name.startswith("resonance-batch")
    }


def lines(done: subprocess.CompletedProcess) -> list[dict]:
    """What --json printed: outcomes, then the summary."""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three recordings in folders."""
    write_noise(tmp_path / "in" / "a.wav", subtype="PCM_24")
    write_noise(tmp_path / "in" / "sub" / "b.flac", samplerate=44100, channels=2)
    write_noise(tmp_path / "in" / "sub" / "deep" / "c.ogg", samplerate=8000)
    return tmp_path / "in"
