"""A text read by espeak-ng in several voices, to enlarge a few recordings of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from resonance.app.errors import UserError

#: Voice, pitch from 0 to 99, and words per minute of each reading.
VOICES = (
    ("en-us", 45, 150),
    ("en-us+m3", 40, 130),
    ("en-us+f2", 60, 160),
    ("en-gb", 45, 140),
    ("en-gb+f4", 65, 150),
    ("en-gb-scotland+m1", 50, 155),
    ("en-gb-x-rp+m7", 40, 145),
    ("en-029+f1", 55, 150),
)


def espeak_ng() -> str:
    """Where it is; UserError if it is not installed."""
    program = shutil.which("espeak-ng")
    if not program:
        raise UserError("--text needs espeak-ng: apt install espeak-ng, or leave --text out")
    return program


def read_aloud(text: str, folder: Path) -> list[Path]:
    """Files in ``folder`` in which each of VOICES reads ``text``.

    Raises
    ------
    UserError
        If espeak-ng is not installed, or fails.
    """
    program = espeak_ng()
    paths = [folder / f"reading {number}.wav" for number in range(1, len(VOICES) + 1)]
    for path, (voice, pitch, words_per_minute) in zip(paths, VOICES, strict=True):
        options = ["-v", voice, "-p", str(pitch), "-s", str(words_per_minute), "-w", str(path)]
        done = subprocess.run(
            [program, *options, "--", text], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UserError(f"espeak-ng cannot read {text!r}: {done.stderr.strip()}")
    return paths
