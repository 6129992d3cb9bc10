"""What several commands have in common: options, and the pages they write on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from resonance.app.checks import RATES_PER_HOUR, is_number
from resonance.app.live.settings import LiveSettings
from resonance.app.presets import FILE_PRESET as FILE_PRESET_NAME
from resonance.app.setting import Setting, settings_of
from resonance.app.soundfiles.standard import ENCODINGS, RawSound
from resonance.app.spotter import Sensitivity
from resonance.app.text import shown, shown_lines

#: What an option is put on: a function, or a command made from one.
Command = TypeVar("Command", bound=Callable[..., Any])
#: Exit codes: all well, something failed, wrong usage (click's own).
EXIT_FAILED = 1


class Page(Console):
    """Writes text as it is: no markup, no pictures for ``:words:``, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{"highlight": False, "soft_wrap": True, "markup": False, "emoji": False, **options}
        )

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; see the base class."""
        super().print(*(shown_lines(o) if isinstance(o, str) else o for o in objects), **options)


out = Page()
err = Page(stderr=True)


class FilePath(click.Path):
    """A path; ``-`` means standard input or output, where a command takes it."""

    def __init__(self, *, takes_dash: bool = False) -> None:
        super().__init__(path_type=Path, readable=False, allow_dash=takes_dash)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The path, unless it is one that cannot be meant.

        Parameters
        ----------
        value
            As given.
        param, ctx
            Of click.

        Returns
        -------
        Any
            A path.
        """
        if str(value) == "-" and not self.allow_dash:
            self.fail("- (standard input or output) cannot be used here; a file is ./-", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number in a range."""

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        ends = (end if math.isfinite(end) else None for end in (low, high))
        super().__init__(min=next(ends), max=next(ends))

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The number.

        Parameters
        ----------
        value
            As given.
        param, ctx
            Of click.

        Returns
        -------
        Any
            Finite and in range.
        """
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


FILES = FilePath()
FILES_OR_DASH = FilePath(takes_dash=True)
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace files that are there.")
PRESERVE = click.option(
    "--preserve", is_flag=True, help="Give outputs the inputs' modes and time stamps."
)
CHANNEL = click.option(
    "--channel", type=click.IntRange(1), help="Take this channel alone, counted from 1."
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object per line on stdout.")


class Rate(click.ParamType[tuple[str, float]]):
    """``RATE`` for every word or ``WORD=RATE`` for one."""

    name = "[WORD=]RATE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float]:
        """The word ("" for all) and its rate.

        Parameters
        ----------
        value
            As given.
        param, ctx
            Of click.

        Returns
        -------
        tuple[str, float]
            Word and rate; the word is empty for all.
        """
        word, _, rate = str(value).rpartition("=")
        try:
            number = float(rate)
        except ValueError:
            number = 0.0
        if not is_number(number, *RATES_PER_HOUR):
            self.fail(f"{value!r}: give false accepts per hour, such as 0.5 or stop=2", param, ctx)
        return word, number


class Raw(click.ParamType["RawSound"]):
    """``RATE:CHANNELS[:SAMPLES]``: what raw sound does not say of itself."""

    name = "RATE:CHANNELS[:SAMPLES]"

    def convert(self, value: Any, param: Any, ctx: Any) -> RawSound:
        """The facts.

        Parameters
        ----------
        value
            As given.
        param, ctx
            Of click.

        Returns
        -------
        RawSound
            Samplerate, channels and sample format.
        """
        rate, _, rest = str(value).partition(":")
        channels, _, samples = rest.partition(":")
        samples = samples or "s16"
        whole = all(text.isascii() and text.isdecimal() for text in (rate, channels))
        if not whole or samples not in ENCODINGS:
            self.fail(f"{value!r}: give 48000:2, or 48000:2:{'|'.join(ENCODINGS)}", param, ctx)
        if len(rate + channels) > 12 or not (
            1 <= int(rate) <= 1_000_000 and 1 <= int(channels) <= 1024
        ):
            self.fail(f"{value!r}: 1 to 1000000 Hz, 1 to 1024 channels", param, ctx)
        return RawSound(int(rate), int(channels), ENCODINGS[samples])


RAW_INPUT = click.option(
    "--raw",
    type=Raw(),
    help="Standard input is raw little-endian sound at this rate, Hz: 48000:2, or 48000:2:f32 "
    f"({', '.join(ENCODINGS)}; default: s16).",
)
SENSITIVITY = click.option(
    "--false-accepts",
    "rates",
    type=Rate(),
    multiple=True,
    help="False accepts allowed per hour of running speech: a higher rate detects more. For every "
    "word (default 1), or for one: stop=2. May be given several times.",
)


def option(row: Setting) -> Callable[[Command], Command]:
    """The option of a setting; its parameter has the field's name."""
    flags = f"--{row.key}/--no-{row.key}" if row.kind is bool else f"--{row.key}"
    return click.option(
        flags,
        row.name,
        type=_type(row),
        default=row.default,
        metavar=row.metavar,
        help=row.help,
    )


def options(settings: type) -> Callable[[Command], Command]:
    """An option for each setting of a class, in its order."""

    def add(command: Command) -> Command:
        for row in reversed(settings_of(settings).values()):
            command = option(row)(command)
        return command

    return add


def _type(row: Setting) -> Any:
    """What click takes; choices that are looked up are checked where they are used."""
    if row.kind is float:
        return Number(row.low, row.high)
    if row.kind is int:
        low, high = (int(end) if math.isfinite(end) else None for end in (row.low, row.high))
        return click.IntRange(low, high)
    if row.choices and not callable(row.choices):
        return click.Choice(row.choices)
    return row.kind


_LIVE = settings_of(LiveSettings)
LIMIT, PRESET = option(_LIVE["limit_db"]), option(_LIVE["preset"])
FILE_PRESET = option(replace(_LIVE["preset"], default=FILE_PRESET_NAME))


def examples(*lines: str) -> str:
    """The end of a command's help: what to type."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def sensitivity(rates: Sequence[tuple[str, float]]) -> Sensitivity:
    """From the options' pairs; the last one given counts."""
    given = dict(rates)
    per_hour = given.pop("", Sensitivity.per_hour)
    return Sensitivity(per_hour, given)


def warn(*warnings: str) -> None:
    """Write warnings for people."""
    for warning in warnings:
        err.print(f"warning: {shown(warning)}", style="yellow")
