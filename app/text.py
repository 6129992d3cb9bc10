"""Text that others chose (names of files and devices, error texts), made fit to be shown."""

from __future__ import annotations

import re

#: Controls of terminals, marks that turn the direction of writing, bytes that are no text.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def shown(text: object) -> str:
    r"""One line in which nothing acts: controls become visible, such as ``\x1b``."""
    return _CONTROLS.sub(_escaped, str(text))


def shown_lines(text: object) -> str:
    """As :func:`shown`, for text of ours that has several lines."""
    return "\n".join(map(shown, str(text).split("\n")))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8
        code -= 0xDC00
    usual = {9: r"\t", 10: r"\n", 13: r"\r"}
    return usual.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
