"""Single keys pressed in a terminal while a program runs."""

from __future__ import annotations

import importlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def pressed_keys() -> Iterator[Callable[[], str]]:
    """A function that returns what was pressed since its last call; nothing without a terminal."""
    if not sys.stdin or not sys.stdin.isatty():
        yield lambda: ""
    elif sys.platform == "win32":
        msvcrt = importlib.import_module("msvcrt")
        yield lambda: msvcrt.getwch() if msvcrt.kbhit() else ""
    else:
        termios, tty = importlib.import_module("termios"), importlib.import_module("tty")
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        tty.setcbreak(number)
        try:
            yield lambda: _waiting(number)
        finally:
            termios.tcsetattr(number, termios.TCSADRAIN, before)


def _waiting(number: int) -> str:
    ready, _, _ = select.select([number], [], [], 0)
    return os.read(number, 64).decode(errors="ignore") if ready else ""
