"""Reading small files that say something: settings, words, tokens, cards.

Whatever is in their place, reading ends at once: a pipe nobody writes to, an endless device.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

#: What is larger is no file of ours.
MOST_BYTES = 1 << 22


def read_small(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The text (UTF-8) of a regular file, also through a link.

    Raises
    ------
    OSError
        If it cannot be read, or is a pipe, a device or a folder.
    ValueError
        If it is larger than ``most_bytes``, or no text.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"it is larger than {most_bytes} bytes")
    return content.decode()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
