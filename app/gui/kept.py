"""What the window remembers from one day to the next, in the file of settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resonance.app import config
from resonance.app.actions import ACTIONS
from resonance.app.checks import RATES_PER_HOUR
from resonance.app.errors import UserError
from resonance.app.live.recorder import SIDES
from resonance.app.live.settings import EngineSettings, LiveSettings
from resonance.app.setting import Setting, setting, settings_of, with_default

#: Largest attenuation that leaves a natural room behind the voice, dB.
NATURAL_DB = 24.0
#: Complaints that are shown at once.
_SHOWN = 3


@dataclass(frozen=True)
class Kept(LiveSettings):
    """The settings of live sound, and those of the window alone."""

    limit_db: float | None = with_default(LiveSettings, "limit_db", NATURAL_DB)
    false_accepts: float = setting(
        1.0, "Per hour, for every word.", low=RATES_PER_HOUR[0], high=RATES_PER_HOUR[1]
    )
    false_accepts_of: Mapping[str, float] = setting(
        dict, "Others for some words.", low=RATES_PER_HOUR[0], high=RATES_PER_HOUR[1]
    )
    theme: str = setting("system", "Colours.", choices=("system", "dark", "light"))
    listening: bool = setting(False, "Start listening when the window opens.")
    hear_myself: bool = setting(False, "With the virtual microphone: play it aloud, too.")
    keep_running: bool = setting(
        True, "Be a microphone for other programs also while the window is closed."
    )
    welcomed: bool = setting(False, "The first page has been left.")
    folder: str = setting("", "Where recordings go; empty: the folder for music, or home.")
    record: str = setting("clean", "What is recorded.", choices=tuple(SIDES))
    clean_to: str = setting("", "Where cleaned files go; empty: beside the file.")
    run: Sequence[str] = setting(list, "Programs, WORD=COMMAND or COMMAND.")
    token: str = setting("", "What clients of the WebSocket must show.")
    frequency_scale: str = setting(
        "sharp", "Of the resonogram.", choices=("sharp", "ear", "linear")
    )
    low_db: float = setting(
        -78.0, "Lower end of the resonogram's colours, dBFS.", low=-300, high=100
    )
    high_db: float = setting(-18.0, "Their upper end, dBFS.", low=-300, high=100)
    width: int = setting(1280, "Of the window, pixels.", low=1, high=100_000)
    height: int = setting(800, "Of the window, pixels.", low=1, high=100_000)
    tab: int = setting(0, "The panel that is open.", low=0)
    #: Values of actions by kind; flat in the file.
    actions: Mapping[str, str] = field(default_factory=dict)
    #: What the file says and cannot be meant: it stays there until somebody chooses another value.
    rejected: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Kept:
        """From the file of settings; what makes no sense there is in :attr:`rejected`.

        Raises
        ------
        UserError
            If the file cannot be read.
        """
        chosen: dict[str, Any] = {}
        actions: dict[str, str] = {}
        rejected: dict[str, Any] = {}
        for key, value in config.window().items():
            row = _rows().get(key)
            if row and row.optional and value == row.unset:
                chosen[row.name] = None
            elif not row or not row.fits(value):
                rejected[key] = value
            elif row.name:
                chosen[row.name] = value
            else:
                actions[key] = value
        return cls(**chosen, actions=actions, rejected=rejected)

    @property
    def complaint(self) -> str:
        """What is wrong with :attr:`rejected`, for people; empty if nothing is."""
        rows = _rows()
        said = [
            f"{config.shown(key, value)}: {_allowed(rows.get(key))}"
            for key, value in self.rejected.items()
        ]
        more = len(said) - _SHOWN
        lines = said[:_SHOWN] + [f"and {more} more"] * (more > 0)
        return f"{config.path()}, [{config.WINDOW}]: " + "\n".join(lines) if said else ""

    def save(self) -> None:
        """Into the file of settings, as far as it differs from what is usual."""
        changed = {}
        for key, row in _rows().items():
            value = getattr(self, row.name) if row.name else row.default
            if value != row.default:
                changed[key] = row.unset if value is None else value
        config.keep_window({**self.rejected, **changed, **self.actions})

    def with_(self, **changes: Any) -> Kept:
        """A copy with other values."""
        changed = {key for key, row in _rows().items() if (row.name or "actions") in changes}
        rejected = {key: value for key, value in self.rejected.items() if key not in changed}
        return replace(self, **changes, rejected=rejected)

    def engine_settings(self) -> EngineSettings:
        """What an engine is to do, but for the words: whoever knows them adds them."""
        chosen = {name: getattr(self, name) for name in settings_of(LiveSettings)}
        if not self.plays_aloud:
            chosen["output_name"] = None
        return EngineSettings(**chosen, monitor=self.virtual_mic and self.hear_myself)

    @property
    def plays_aloud(self) -> bool:
        """Whether the cleaned sound can be heard in this room."""
        return not self.virtual_mic or self.hear_myself


def _rows() -> dict[str, Setting]:
    """Every setting by its key in the window's table; actions belong to no field."""
    rows = {row.key.replace("-", "_"): row for row in settings_of(Kept).values()}
    return rows | {kind.name: Setting(key=kind.name) for kind in ACTIONS if not kind.multiple}


def _allowed(row: Setting | None) -> str:
    return f"choose {row.allowed}" if row else "there is no such setting"


def split_program(text: str, known: Collection[str]) -> tuple[str, str]:
    """Word and command of a line in :attr:`Kept.run`; the word is empty if any word will do.

    A word that is not known may come back; what cannot be a word belongs to the command, as in
    ``vlc --rate=2``.
    """
    word, equals, command = text.partition("=")
    if equals and (word in known or re.fullmatch(r"\w[\w'-]*", word)):
        return word, command
    return "", text


def music_folder() -> Path:
    """Where recordings go if nobody says otherwise."""
    import platformdirs

    with suppress(OSError, UserError):
        folder = platformdirs.user_music_path()
        if folder.is_dir():
            return folder
    return Path.home()
