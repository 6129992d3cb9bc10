"""Other processes: whether they still run."""

from __future__ import annotations

import os
import sys


def alive(number: int) -> bool:
    """Whether a process of this number runs; where that cannot be asked, True.

    Numbers that no process can have are not alive.
    """
    if not 0 < number < 1 << 31:
        return False
    if sys.platform == "win32":  # there, signal 0 would end it
        return True
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
