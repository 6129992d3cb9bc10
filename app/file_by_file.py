"""Commands that take one file after the other: ``-``, progress, and errors at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click
import soundfile
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from resonance.app.errors import UserError
from resonance.app.options import EXIT_FAILED, err
from resonance.app.soundfiles.standard import DASH, RawSound, standard_input, standard_output
from resonance.app.text import shown


def standard_files(
    stack: ExitStack,
    files: Sequence[Path],
    raw: RawSound | None,
    output: Path | None = None,
    form: str = "wav",
) -> tuple[list[Path], Path]:
    """Inputs and output, with files for a while in the place of ``-``.

    Parameters
    ----------
    stack
        Removes the spooled files at its end.
    files
        Inputs; ``-`` is standard input.
    raw
        What raw sound on standard input is; None: it is a sound file.
    output
        File or folder; ``-`` is standard output; None: there is none.
    form
        What standard output gets.

    Returns
    -------
    tuple of list and Path
        Inputs and output, all of them files.

    Raises
    ------
    click.UsageError
        If ``raw`` is given, but no input is ``-``.
    """
    if raw and DASH not in files:
        raise click.UsageError("--raw is about standard input: give - as input")
    spooled = stack.enter_context(standard_input(raw)) if DASH in files else DASH
    sources = [spooled if file == DASH else file for file in files]
    if output == DASH:
        output = stack.enter_context(standard_output(form))
    return sources, output or DASH


def each_file(
    files: Sequence[Path], work: Callable[[Path, Callable[[float], None]], None], verb: str
) -> None:
    """Do every file; report those that fail and go on, then fail as a whole.

    Parameters
    ----------
    files
        Inputs.
    work
        Gets a file, and a function to report the seconds done.
    verb
        What is done, for the progress line.

    Raises
    ------
    SystemExit
        If a file failed.
    """
    failed = 0
    with _progress(verb, files) as report:
        for source in files:
            report(source, 0.0)
            try:
                work(source, partial(report, source))
            except UserError as error:
                named = "" if str(source) in str(error) else f"{source}: "
                err.print(f"error: {shown(f'{named}{error}')}", style="red")
                failed += 1
    if failed:
        if len(files) > 1:
            err.print(f"{failed} of {len(files)} files failed", style="red")
        raise SystemExit(EXIT_FAILED)


@contextmanager
def _progress(verb: str, files: Sequence[Path]) -> Iterator[Callable[[Path, float], None]]:
    """A calm line with per cent and the time left, on terminals alone.

    Yields a function that takes a file and the seconds of its sound that are done.
    """
    lengths = [_length_s(source) for source in files]
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(verb, total=sum(lengths) or None)

        def report(source: Path, seconds: float) -> None:
            place = files.index(source)
            count = f" ({place + 1} of {len(files)})" if len(files) > 1 else ""
            progress.update(
                task,
                completed=sum(lengths[:place]) + seconds,
                description=f"{verb} {shown(source.name)}{count}",
            )

        yield report


def _length_s(source: Path) -> float:
    """How long a file is by its header; 0 if that does not say."""
    try:
        if not source.is_file():  # a pipe would never answer
            return 0.0
        facts = soundfile.info(os.fsencode(source))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return 0.0
    known = facts.frames < 1 << 62  # libsndfile's word for "I cannot tell"
    return float(facts.duration) if known else 0.0
