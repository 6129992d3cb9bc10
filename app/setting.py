"""What one setting may be, written once: its kind, its range, its default and what it is for.

Settings are the fields of a frozen dataclass, each made by :func:`setting`. The options of commands
(``app/options.py``), tables for devices (``app/config.py``), what the window keeps
(``app/gui/kept.py``) and what the engine takes (``app/live/settings.py``) are made from them, or
checked against them.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, get_args, get_origin, get_type_hints

from resonance.app.checks import is_count, is_number

_ROW = "setting"


@dataclass(frozen=True)
class Setting:
    """One row: what a value may be."""

    help: str = ""  #: what it is for
    low: float = -math.inf  #: smallest number
    high: float = math.inf  #: largest number
    #: The texts there are, or what finds them.
    choices: Collection[str] | Callable[[], Collection[str]] = ()
    metavar: str | None = None  #: what help shows in place of a value
    per_device: bool = False  #: a device's table may have it
    unset: str | float = ""  #: how the window's file writes None
    key: str = ""  #: long name on the command line and in files; empty: the field's
    name: str = ""  #: of the field
    kind: Any = str  #: bool, int, float, str, or Sequence or Mapping of one of them
    optional: bool = False  #: None is a value
    default: Any = None

    @property
    def allowed(self) -> str:
        """What a value may be, for people."""
        if self.choices:
            return f"one of: {', '.join(self.texts())}"
        names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        if self.kind in names:
            return names[self.kind] + self._range()
        many = {bool: "values", int: "whole numbers", float: "numbers", str: "texts"}
        form = "a list" if get_origin(self.kind) is Sequence else "a table"
        return f"{form} of {many[get_args(self.kind)[-1]]}{self._range()}"

    def _range(self) -> str:
        start = f" from {self.low:g}" * math.isfinite(self.low)
        return start + f" to {self.high:g}" * math.isfinite(self.high)

    def texts(self) -> list[str]:
        """The texts to choose from; empty if any will do."""
        return list(self.choices() if callable(self.choices) else self.choices)

    def fits(self, value: Any) -> bool:
        """Whether it is a value of this setting."""
        if value is None:
            return self.optional
        if get_origin(self.kind) is Sequence:
            return isinstance(value, list | tuple) and all(map(self._fits_one, value))
        if get_origin(self.kind) is Mapping:
            return isinstance(value, Mapping) and all(map(self._fits_one, value.values()))
        return self._fits_one(value)

    def _fits_one(self, value: Any) -> bool:
        kind = get_args(self.kind)[-1] if get_origin(self.kind) else self.kind
        if kind is float:
            return is_number(value, self.low, self.high)
        if kind is int:
            return is_count(value) and self.low <= value <= self.high
        if kind is str and self.choices:
            return value in self.texts()
        return isinstance(value, kind)

    def complaint(self, value: Any) -> str:
        """A sentence about a value that does not fit."""
        return f"{self.key} = {value!r:.200}: choose {self.allowed}"


def setting(default: Any, text: str, **facts: Any) -> Any:
    """A field of a dataclass that is a setting.

    Parameters
    ----------
    default
        Its value, or a function that makes one.
    text
        What it is for, one or two sentences.
    **facts
        Of :class:`Setting`: ``low``, ``high``, ``choices``, ``key`` …

    Returns
    -------
    field
        For the body of a dataclass.
    """
    usual = default() if callable(default) else default
    metadata = {_ROW: Setting(help=text, default=usual, **facts)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def with_default(settings: type, name: str, default: Any) -> Any:
    """The same setting as in another class, with a default of its own.

    Parameters
    ----------
    settings
        The other class.
    name
        Of the field.
    default
        In place of the other's.

    Returns
    -------
    field
        For the body of a dataclass.
    """
    row = next(f for f in fields(settings) if f.name == name).metadata[_ROW]
    return field(default=default, metadata={_ROW: replace(row, default=default)})


@lru_cache(maxsize=16)
def settings_of(settings: type) -> dict[str, Setting]:
    """The settings of a dataclass, by field."""
    hints = get_type_hints(settings)
    found = {}
    for one in fields(settings):
        if _ROW not in one.metadata:
            continue
        row, kind = one.metadata[_ROW], hints[one.name]
        options = get_args(kind) if get_origin(kind) is types.UnionType else (kind,)
        found[one.name] = replace(
            row,
            key=row.key or one.name.replace("_", "-"),
            name=one.name,
            kind=next(option for option in options if option is not types.NoneType),
            optional=types.NoneType in options,
        )
    return found
