"""Settings that stay: a TOML file in the platform's folder, named as on the command line.

A table per command with its options by their long names; a table per device for ``live``::

    [live]
    limit-db = 18
    run = ["stop=playerctl pause"]

    [device."USB Microphone"]
    preset = "studio"
"""

from __future__ import annotations

import math
import os
import re
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import platformdirs
import tomlkit
from tomlkit.items import Table

from resonance.app import safe_write
from resonance.app.errors import UserError
from resonance.app.live.settings import LiveSettings
from resonance.app.setting import settings_of
from resonance.app.small_files import read_small

#: Settings of live sound that a device's table may hold, by key.
_OF_DEVICE = {row.key: row for row in settings_of(LiveSettings).values() if row.per_device}
#: Parameters that are about a single run.
_ONCE = {
    "output",
    "figure",
    "forget",
    "as_json",
    "seconds",
    "init",
    "install",
    "takes",
    "record",
    "record_raw",
    "record_both",
    "listed",
    "resume",
    "manifest",
    "dry_run",
    "overwrite",
    "raw",
    "form",
}
_TITLE = "# Settings of resonance. Take the # away in front of those you want.\n\n"
_DEVICE = '[device."NAME"]'
#: The table that the window keeps for itself.
WINDOW = "window"


def path() -> Path:
    """The file: RESONANCE_CONFIG, or in the platform's folder for settings."""
    named = os.environ.get("RESONANCE_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("resonance") / "config.toml"


def load(commands: click.Group) -> dict[str, Any]:
    """What the file says, as ``default_map`` for ``commands``; nothing if there is no file.

    Raises
    ------
    UserError
        If it cannot be read, or names a table or an option that there is not, or a value that
        the option does not take.
    """
    return {
        name: _parameters(commands, name, content)
        for name, content in _tables(commands).items()
        if name not in ("device", WINDOW)
    }


def devices(commands: click.Group) -> dict[str, dict[str, Any]]:
    """What the file says of devices: for each name, values by the parameters of ``live``."""
    found: dict[str, dict[str, Any]] = {}
    live = commands.commands["live"]
    context, options = click.Context(live), {option.name: option for option in live.params}
    for name, content in _tables(commands).get("device", {}).items():
        if not isinstance(content, dict):
            raise UserError(f'{path()}: write [device."NAME"], then its settings')
        for key in content:
            if key not in _OF_DEVICE:
                known = ", ".join(_OF_DEVICE)
                raise UserError(f"{path()}: a device has no setting {key!r}; there are: {known}")
        values = _parameters(commands, "live", content, title=f'device."{name}"')
        for key, row in _OF_DEVICE.items():  # it may be plugged in hours after the start
            if row.texts() and key in content and not row.fits(content[key]):
                complaint = row.complaint(content[key])
                raise UserError(f'{path()}: [device."{name}"] {complaint}')
        found[name] = {n: options[n].type_cast_value(context, v) for n, v in values.items()}
    return found


def window() -> dict[str, Any]:
    """What the window has kept."""
    kept: dict[str, Any] = _window_of(_read(), {})
    return kept


def _window_of(content: Any, new: Any) -> Any:
    """The window's table; ``new``, put there, if the file has none."""
    kept = content.setdefault(WINDOW, new)
    if not isinstance(kept, dict):
        raise UserError(f"{path()}: {WINDOW} = {_value(WINDOW, kept)} is no table; put [{WINDOW}]")
    return kept


def keep_window(values: Mapping[str, Any]) -> None:
    """Change the window's table to these values; all else in the file, and comments, stay.

    Raises
    ------
    UserError
        If the file cannot be read or written.
    """
    file = path()
    document = _parsed(tomlkit.parse)
    table = _window_of(document, tomlkit.table())
    for key in [key for key in table if values.get(key) is None]:
        del table[key]
    for key, value in values.items():
        if value is not None and not _same(table.get(key), value):
            table[key] = value
    _write(file, tomlkit.dumps(document), overwrite=True)


def _same(written: Any, value: Any) -> bool:
    """Whether the file says this already: 1, 1.0 and true are three things."""
    plain = written.unwrap() if hasattr(written, "unwrap") else written
    return type(plain) is type(value) and bool(plain == value)


def create(commands: click.Group) -> list[str]:
    """Explain every setting in the file, new or there already; returns what was added.

    What the file says stays as it is, comments too.

    Raises
    ------
    UserError
        If the file cannot be read or written.
    """
    before = _parsed(str)
    _tables(commands)  # says what is wrong before anything is added to it
    document = tomlkit.parse(before or _TITLE)
    added = []
    for name, command in commands.commands.items():
        lines = [line for option in _options(command) for line in _explained(option, before, name)]
        if not lines:
            continue
        if name not in document:
            document[name] = tomlkit.table()
        table = document[name]
        if not isinstance(table, Table):  # an inline one has no room for comments
            continue
        for line in lines:
            table.add(tomlkit.comment(line))
        table.add(tomlkit.nl())
        added += [f"[{name}]"]
    text = tomlkit.dumps(document)
    if _DEVICE not in text:
        text += f"# {_DEVICE}\n# For live with this input device: {', '.join(_OF_DEVICE)}.\n"
    if text != before:
        _write(path(), text, overwrite=True)
    return added


def _explained(option: click.Option, before: str, command: str) -> list[str]:
    """Lines about an option, unless the text says something of it already."""
    start = re.search(rf"^\[{re.escape(command)}\]\s*$", before, re.MULTILINE)
    section = re.split(r"^\[", before[start.end() :], flags=re.MULTILINE)[0] if start else ""
    if re.search(rf"^(# )?{re.escape(_key(option))} =", section, re.MULTILINE):
        return []
    return [*textwrap.wrap(option.help or "", 96), f"{_key(option)} = {_example(option)}"]


def _write(file: Path, text: str, *, overwrite: bool) -> None:
    """Write the file whole; one that is a link stays one, and its mode stays."""
    try:
        place = Path(os.path.realpath(file)) if overwrite else file
        safe_write.write_text(place, text, overwrite=overwrite)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error


def _options(command: click.Command) -> list[click.Option]:
    """Those that can be lasting wishes."""
    return [p for p in command.params if isinstance(p, click.Option) and _settable(p)]


#: Settings whose values nobody else may read.
_SECRETS = ("token", "mqtt", "password")


def text_without_secrets() -> str:
    """The file's text, with tokens and addresses that may hold passwords left out."""
    document = _parsed(tomlkit.parse)
    _hide(document)
    return tomlkit.dumps(document)


def _hide(table: Any) -> None:
    for key, value in table.items():
        if any(name in key.lower() for name in _SECRETS) and value:
            table[key] = "…"
        elif isinstance(value, Mapping):
            _hide(value)


def _value(key: str, value: Any) -> str:
    """A value for people, unless it is a secret."""
    secret = any(name in key.lower() for name in _SECRETS)
    return "…" if secret else repr(value)[:200]


def shown(key: str, value: Any) -> str:
    """A setting for people; secrets are left out."""
    return f"{key} = {_value(key, value)}"


def _settable(option: click.Option) -> bool:
    """Whether an option can be a lasting wish: one that is not about a single run."""
    return option.name not in _ONCE


def _example(option: click.Option) -> str:
    default = option.default
    if option.multiple:
        return "[]"
    if option.is_flag:
        return str(bool(default)).lower()
    if isinstance(default, int | float):
        return f"{default:g}"
    return f'"{default}"' if isinstance(default, str) else '""'


def _tables(commands: click.Group) -> dict[str, Any]:
    content = _read()
    known = [*commands.commands, "device", WINDOW]
    for name, table in content.items():
        if name not in known:
            raise UserError(f"{path()}: there is no table [{name}]; there are: {', '.join(known)}")
        if not isinstance(table, dict):
            raise UserError(
                f"{path()}: {name} = {_value(name, table)} is outside of a table; put [{name}]"
            )
    return content


def _read() -> dict[str, Any]:
    return dict(_parsed(tomllib.loads))


def _parsed(parse: Any) -> Any:
    file = path()
    try:
        return parse(read_small(file))
    except FileNotFoundError:
        return parse("")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"{file} cannot be read: it is nested too deeply") from error
    except (ValueError, tomlkit.exceptions.TOMLKitError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def _key(option: click.Option) -> str:
    return max(option.opts, key=len).removeprefix("--")


def _option(commands: click.Group, command: str, key: str) -> click.Option:
    found = {_key(option): option for option in _options(commands.commands[command])}
    if key not in found:
        known = ", ".join(found) or "none"
        raise UserError(f"{path()}: [{command}] has no setting {key!r}; there are: {known}")
    return found[key]


def _parameters(
    commands: click.Group, command: str, table: Mapping[str, Any], title: str = ""
) -> dict[str, Any]:
    """A table's values by the names of the command's parameters, each tried on its option."""
    context = click.Context(commands.commands[command])
    found = {}
    for key, value in table.items():
        option = _option(commands, command, key)
        try:
            _check_value(option, value)
            option.type_cast_value(context, value)
        except (click.UsageError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = error.message if isinstance(error, click.UsageError) else str(error)
            shown = _value(key, value)
            if shown == "…":
                reason = "this is no value for it"
            where = title or command
            raise UserError(f"{path()}: [{where}] {key} = {shown}: {reason}") from error
        found[str(option.name)] = value
    return found


def _check_value(option: click.Option, value: Any) -> None:
    """Raise ValueError unless the value is of a kind that the option takes from a file."""
    values = value if option.multiple else [value]
    if option.multiple and not isinstance(value, list):
        raise ValueError("give a list: [ … ]")
    for one in values:
        if option.is_flag != isinstance(one, bool):
            raise ValueError("give true or false" if option.is_flag else "give no true or false")
        if not isinstance(one, str | int | float | bool):
            raise ValueError("give a text or a number")
        if isinstance(option.type, click.Path) and not isinstance(one, str):
            raise ValueError("give a text, in quotation marks")
        if isinstance(one, str) and "\0" in one:
            raise ValueError("a text cannot hold the character NUL")
        if isinstance(one, float) and not math.isfinite(one):
            raise ValueError("give a finite number")
