"""What the window remembers from one day to the next, in the file of settings."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from resonance.app import config
from resonance.app.actions import ACTIONS
from resonance.app.checks import is_number
from resonance.app.errors import UserError
from resonance.app.live.settings import EngineSettings
from resonance.app.presets import LIVE_PRESET

#: Largest attenuation that leaves a natural room behind the voice, dB.
NATURAL_DB = 24.0


@dataclass(frozen=True)
class Kept:
    """Plain values; those that nobody has chosen are as here."""

    input: str = ""  #: device by name; empty: the system's default
    output: str = ""
    virtual_mic: bool = False
    preset: str = LIVE_PRESET
    limit_db: float = NATURAL_DB  #: below 0: no limit
    block_ms: float = 10.0
    spot: bool = True
    false_accepts: float = 1.0  #: per hour, for every word
    false_accepts_of: Mapping[str, float] = field(default_factory=dict)  #: for some words
    theme: str = "system"
    listening: bool = False  #: start listening when the window opens
    hear_myself: bool = False  #: with the virtual microphone
    keep_running: bool = True  #: be a microphone for other programs also while the window is closed
    welcomed: bool = False
    folder: str = ""  #: where recordings go; empty: the folder for music, or home
    record: str = "clean"
    clean_to: str = ""  #: where cleaned files go; empty: beside the file
    run: list[str] = field(default_factory=list)  #: programs, WORD=COMMAND or COMMAND
    actions: Mapping[str, str] = field(default_factory=dict)  #: values by kind; flat in the file
    token: str = ""
    frequency_scale: str = "sharp"
    low_db: float = -78.0  #: what the colours of the resonogram span, dBFS
    high_db: float = -18.0
    width: int = 1280
    height: int = 800
    tab: int = 0

    @classmethod
    def load(cls) -> Kept:
        """From the file of settings; what makes no sense there is left out.

        Raises
        ------
        UserError
            If the file cannot be read.
        """
        content = config.window()
        known = {f.name: f for f in fields(cls)}
        usual = cls()
        sound = {
            name: value
            for name, value in content.items()
            if name in known and _alike(value, getattr(usual, name))
        }
        names = [kind.name for kind in ACTIONS if not kind.multiple]
        actions = {name: content[name] for name in names if isinstance(content.get(name), str)}
        return cls(**{**sound, "actions": actions})

    def save(self) -> None:
        """Into the file of settings, as far as it differs from what is usual."""
        usual = asdict(Kept())
        changed = {k: v for k, v in asdict(self).items() if v != usual[k]}
        config.keep_window({**changed, **changed.pop("actions", {})})

    def engine_settings(self) -> EngineSettings:
        """What an engine is to do, but for the words: whoever knows them adds them."""
        return EngineSettings(
            input_name=self.input or None,
            output_name=self.output or None if self.plays_aloud else None,
            virtual_mic=self.virtual_mic,
            monitor=self.virtual_mic and self.hear_myself,
            preset=self.preset,
            block_s=self.block_ms / 1000,
            limit_db=None if self.limit_db < 0 else self.limit_db,
            spot=self.spot,
        )

    @property
    def plays_aloud(self) -> bool:
        """Whether the cleaned sound can be heard in this room."""
        return not self.virtual_mic or self.hear_myself

    def with_(self, **changes: Any) -> Kept:
        """A copy with other values."""
        return replace(self, **changes)


def split_program(text: str, known: Collection[str]) -> tuple[str, str]:
    """Word and command of a line in :attr:`Kept.run`; the word is empty if any word will do.

    A word that is not known may come back; what cannot be a word belongs to the command, as in
    ``vlc --rate=2``.
    """
    word, equals, command = text.partition("=")
    if equals and (word in known or re.fullmatch(r"\w[\w'-]*", word)):
        return word, command
    return "", text


def _alike(value: Any, usual: Any) -> bool:
    if isinstance(usual, float):
        return is_number(value)
    if isinstance(usual, list) and isinstance(value, list):
        return all(isinstance(text, str) for text in value)
    if isinstance(usual, Mapping):
        return isinstance(value, Mapping)
    return type(value) is type(usual) or (isinstance(usual, list) and isinstance(value, list))


def music_folder() -> Path:
    """Where recordings go if nobody says otherwise."""
    import platformdirs

    with suppress(OSError, UserError):
        folder = platformdirs.user_music_path()
        if folder.is_dir():
            return folder
    return Path.home()
