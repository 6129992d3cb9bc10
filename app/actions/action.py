"""What every action has in common: how it is called, and its row in the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from resonance.app.spotter import KeywordEvent

#: Events that may wait for a slow action; more are dropped and counted.
WAITING = 256
#: How long closing waits for what is under way, s.
CLOSE_S = 2.0


class Action(Protocol):
    """Something done for every event; may raise OSError, ValueError or RuntimeError."""

    name: str

    def __call__(self, event: KeywordEvent) -> None:
        """Do it."""

    def close(self) -> None:
        """Let go of files, sockets and processes."""


@dataclass(frozen=True)
class Known:
    """What a kind of action may need beside its own value."""

    words: Sequence[str] = ()  #: that can be spotted
    token: str = ""  #: that clients must show


@dataclass(frozen=True)
class ActionKind:
    """A kind of action: an option of ``live``, a setting, and a field in the window."""

    name: str  #: of the option and the setting
    prepare: Callable[[str, Known], Callable[[], Action]]  #: checks the value; what it gives starts
    help: str  #: of the option
    metavar: str | None = None
    title: str = ""  #: of the field
    hint: str = ""  #: what may be typed into the field
    is_path: bool = False
    multiple: bool = False  #: a list of values; the window lists programs in place of a field
    needs_token: bool = False
