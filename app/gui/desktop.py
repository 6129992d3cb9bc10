"""The icon, and the entry in the desktop's menu of applications (XDG)."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from PyQt6.QtGui import QIcon

from resonance.app.errors import UserError
from resonance.app.safe_write import write_text

ICON = Path(__file__).parent / "signs" / "resonance.svg"
#: Name of the entry; windows that say so belong to it.
NAME = "resonance"
ENTRY = """[Desktop Entry]
Type=Application
Name=Resonance
GenericName=Microphone cleaner
Comment=Clean your microphone for calls, and recordings
Exec={command} gui %F
Icon={icon}
Terminal=false
Categories=AudioVideo;Audio;
MimeType=audio/x-wav;audio/flac;audio/ogg;audio/mpeg;
Keywords=noise;microphone;denoise;call;keyword;
StartupWMClass=resonance
"""


def icon() -> QIcon:
    """The program's own."""
    return QIcon(str(ICON))


def command() -> str:
    """How this program is started from anywhere, as a desktop entry writes it."""
    program = Path(sys.executable).with_name("resonance")
    if program.exists():
        return shlex.quote(str(program))
    return f"{shlex.quote(sys.executable)} -m resonance.app.cli"


def install_entry() -> Path:
    """Write the entry for this user, with its icon; returns its path.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    entry = data / "applications" / f"{NAME}.desktop"
    image = data / "icons" / "hicolor" / "scalable" / "apps" / f"{NAME}.svg"
    for path, text in (
        (image, ICON.read_text(encoding="utf-8")),
        (entry, ENTRY.format(command=command(), icon=NAME)),
    ):
        try:
            write_text(path, text, overwrite=True)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
    return entry
