"""Single keys pressed in a terminal while a program runs."""

from __future__ import annotations

import importlib
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def pressed_keys() -> Iterator[Callable[[], str]]:
    """A function that returns what was pressed since its last call; nothing without a terminal.

    Nothing either in the background (``&``), where touching the terminal would stop the program.
    """
    if not sys.stdin or not sys.stdin.isatty():
        yield lambda: ""
    elif sys.platform == "win32":
        msvcrt = importlib.import_module("msvcrt")
        yield lambda: msvcrt.getwch() if msvcrt.kbhit() else ""
    else:
        termios, tty = importlib.import_module("termios"), importlib.import_module("tty")
        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        if _in_front(number):
            tty.setcbreak(number)
        try:
            yield lambda: _waiting(number)
        finally:
            if _in_front(number):
                with suppress(termios.error):  # the terminal was closed
                    termios.tcsetattr(number, termios.TCSADRAIN, before)


def _in_front(number: int) -> bool:
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:  # not the terminal that controls us: it stops nobody
        return True


def _waiting(number: int) -> str:
    if not _in_front(number):
        return ""
    ready, _, _ = select.select([number], [], [], 0)
    with suppress(OSError):  # the terminal was closed
        return os.read(number, 64).decode(errors="ignore") if ready else ""
    return ""
