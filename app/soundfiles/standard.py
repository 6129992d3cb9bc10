"""Standard input and output as sound files: ``-`` on the command line."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resonance.app.errors import AudioFileError
from resonance.app.safe_write import create

#: What stands for both on the command line.
DASH = Path("-")


@contextmanager
def standard_input() -> Iterator[Path]:
    """All that comes on standard input as a file of this user alone, for a while.

    Raises
    ------
    AudioFileError
        If there is nothing, or no room for it.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise AudioFileError("- is standard input: lead a sound file into it (… | resonance …)")
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        path = Path(folder) / "standard input"
        try:
            with os.fdopen(create(path), "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        except OSError as error:
            raise AudioFileError(f"standard input cannot be read: {error.strerror}") from error
        yield path


@contextmanager
def standard_output() -> Iterator[Path]:
    """Where to write a WAV file that goes to standard output once it is whole.

    Raises
    ------
    AudioFileError
        If standard output is a terminal.
    """
    if sys.stdout is None or sys.stdout.isatty():
        raise AudioFileError("- is standard output: lead it into a file or program (… | aplay)")
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        path = Path(folder) / "standard output.wav"
        yield path
        if path.exists():
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
            sys.stdout.buffer.flush()
