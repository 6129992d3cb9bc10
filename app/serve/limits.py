"""How much one server takes on."""

from __future__ import annotations

from dataclasses import dataclass

from resonance.app.errors import UserError

#: Bytes of sound that are taken at once.
PIECE_BYTES = 1 << 16


class BusyError(UserError):
    """All places are taken."""


class TooLargeError(UserError):
    """More than the server takes."""


@dataclass(frozen=True)
class Limits:
    """Bounds that clients cannot change."""

    streams: int = 100  #: sounds streamed at once, and as many listeners to keywords
    files: int = 8  #: files at once, waiting ones too
    file_bytes: int = 200 << 20
    file_s: float = 4 * 3600.0  #: length of a file's sound
    idle_s: float = 60.0  #: a client that sends nothing for so long is disconnected

    @property
    def connections(self) -> int:
        """Open connections of each protocol."""
        return 2 * self.streams + self.files + 16
