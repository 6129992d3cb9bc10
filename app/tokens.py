"""Tokens of one's own servers: kept in a file of this user alone, never printed."""

from __future__ import annotations

import secrets
import stat
from contextlib import suppress
from pathlib import Path

import platformdirs

from resonance.app import safe_write
from resonance.app.errors import UserError
from resonance.app.small_files import read_small


def kept_token() -> tuple[Path, str]:
    """The file that holds this user's token, and the token; made if there is none.

    Raises
    ------
    UserError
        If it cannot be read or written, or others may read it.
    """
    path = platformdirs.user_state_path("resonance", False) / "token"
    try:
        with suppress(FileExistsError):
            if not path.exists():
                safe_write.write_text(path, f"{secrets.token_urlsafe(16)}\n")
        if stat.S_IMODE(path.lstat().st_mode) & 0o077 and path.lstat().st_mode & stat.S_IFREG:
            raise UserError(f"{path} can be read by others; take it away, or chmod 600 it")
        token = read_small(path).strip()
    except (OSError, ValueError) as error:
        raise UserError(f"the token in {path} cannot be read or written: {error}") from error
    if not token:
        raise UserError(f"{path} is empty; take it away to get a new token")
    return path, token
