"""The clean microphone from the start of a session on, without a window.

Where systemd looks after the session it is a user unit, elsewhere on Linux an XDG autostart entry
(https://specifications.freedesktop.org/autostart-spec/latest/).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from resonance.app import safe_write
from resonance.app.errors import UserError

SYSTEMD, AUTOSTART = KINDS = ("systemd", "autostart")
#: The microphone alone: nothing is computed while nobody records from it.
ARGUMENTS = ("live", "--virtual-mic", "--no-spot")
_UNIT = "resonance.service"


@dataclass(frozen=True)
class Status:
    """What is installed, and whether it runs now."""

    installed: tuple[str, ...]  #: of :data:`KINDS`
    files: tuple[Path, ...]
    running: bool | None  #: None: systemd does not say


def install(kind: str | None = None, arguments: Sequence[str] = ARGUMENTS) -> Path:
    """Start with every session from the next one on, with systemd at once; returns the file.

    Parameters
    ----------
    kind
        One of :data:`KINDS`; None: systemd if it looks after this session.
    arguments
        Of the command ``resonance``.

    Raises
    ------
    UserError
        If this is no Linux, or the file cannot be written.
    """
    if not sys.platform.startswith("linux"):
        raise UserError("the service is for Linux; elsewhere, add resonance gui to the login items")
    kind = kind or (SYSTEMD if _systemctl("show-environment") else AUTOSTART)
    remove()
    words = [sys.executable, "-m", "resonance", *arguments]
    path = _path(kind)
    if kind == SYSTEMD:
        _write(path, _unit(words))
        wanted = _wanted()
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.symlink_to(path)
        _systemctl("daemon-reload")
        _systemctl("start", _UNIT)
    else:
        _write(path, _entry(words))
    return path


def status() -> Status:
    """What is installed, and whether it runs."""
    installed = tuple(kind for kind in KINDS if _path(kind).exists())
    running = _systemctl("is-active", _UNIT) if SYSTEMD in installed else None
    return Status(installed, tuple(_path(kind) for kind in installed), running)


def remove() -> list[Path]:
    """End it and start it no more; returns the files that were deleted.

    Raises
    ------
    UserError
        If a file cannot be deleted.
    """
    found = [_path(kind) for kind in KINDS if _path(kind).exists()]
    if _path(SYSTEMD) in found:
        _systemctl("stop", _UNIT)
    try:
        for path in [*found, _wanted()]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot delete {path}: {error.strerror}") from error
    if _path(SYSTEMD) in found:
        _systemctl("daemon-reload")
    return found


def _path(kind: str) -> Path:
    folder = platformdirs.user_config_path()
    if kind == SYSTEMD:
        return folder / "systemd" / "user" / _UNIT
    return folder / "autostart" / "resonance.desktop"


def _wanted() -> Path:
    """What makes systemd start the unit with the session."""
    return _path(SYSTEMD).parent / "default.target.wants" / _UNIT


def _systemctl(*arguments: str) -> bool:
    """Whether the session's systemd is there and agrees."""
    try:
        done = subprocess.run(["systemctl", "--user", *arguments], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _write(path: Path, text: str) -> None:
    try:
        safe_write.write_text(path.resolve(), text, overwrite=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _unit(words: Sequence[str]) -> str:
    command = " ".join(_quoted(word).replace("%", "%%").replace("$", "$$") for word in words)
    return (
        "[Unit]\n"
        "Description=Clean microphone (Resonance)\n"
        "After=pipewire-pulse.service pulseaudio.service\n"
        "\n"
        "[Service]\n"
        f"ExecStart={command}\n"
        "KillSignal=SIGINT\n"
        "Restart=on-failure\n"
        "RestartSec=10\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )


def _entry(words: Sequence[str]) -> str:
    command = " ".join(_quoted(word, "`$").replace("%", "%%") for word in words)
    return (
        "[Desktop Entry]\n"
        "Type=Application\n"
        "Name=Resonance\n"
        "Comment=Clean microphone for other programs\n"
        f"Exec={command}\n"
        "Icon=resonance\n"
        "Terminal=false\n"
        "NoDisplay=true\n"
    )


def _quoted(word: str, special: str = "") -> str:
    r"""In double quotes, with ``\`` before what would end or change them."""
    escaped = "".join(f"\\{sign}" if sign in f'\\"{special}' else sign for sign in word)
    return f'"{escaped}"'
