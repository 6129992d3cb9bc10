"""Programs that keywords start."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from resonance.app.actions.action import CLOSE_S, ActionKind
from resonance.app.errors import WrongUsage
from resonance.app.spotter import KeywordEvent

#: Programs of one action that may run at once.
PROGRAMS_AT_ONCE = 8
#: What they are not given from the environment.
SECRETS = ("RESONANCE_TOKEN",)


class Program:
    """A program started for a word, or for every word; no shell reads its arguments.

    The event is in its environment: RESONANCE_KEYWORD, RESONANCE_SCORE, RESONANCE_TIME_S,
    RESONANCE_WALL_TIME.
    """

    def __init__(self, command: str, word: str | None = None) -> None:
        self.name, self.word = f"command {command!r}", word
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise WrongUsage(f"{self.name} cannot be split into arguments: {error}") from error
        if not self._arguments:
            raise WrongUsage("the command to run is empty")
        if not shutil.which(self._arguments[0]):
            raise WrongUsage(f"{self.name}: there is no program {self._arguments[0]!r}")
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, event: KeywordEvent) -> None:
        """Start it; not waited for."""
        failed = [p for p in self._running if p.poll() not in (None, 0)]
        self._running = [p for p in self._running if p.poll() is None]
        if len(self._running) >= PROGRAMS_AT_ONCE:
            raise RuntimeError(f"{PROGRAMS_AT_ONCE} of them still run; this event was left out")
        facts = {f"RESONANCE_{name.upper()}": str(value) for name, value in event.facts().items()}
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        self._running.append(
            subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=_standard_error(),  # on stdout there are events, for programs to read
                start_new_session=True,
                env=environment | facts,
            )
        )
        if failed:
            raise RuntimeError(f"ended with exit code {failed[-1].returncode}")

    def close(self) -> None:
        """Wait a moment for what runs, then leave it alone."""
        for program in self._running:
            with suppress(subprocess.TimeoutExpired):
                program.wait(CLOSE_S / PROGRAMS_AT_ONCE)


def _standard_error() -> int:
    """Where programs that are run print."""
    try:
        return sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL
    except (OSError, ValueError):
        return subprocess.DEVNULL


def _of_a_word(text: str, words: Sequence[str]) -> tuple[str, str | None]:
    """Command and word of ``[WORD=]COMMAND``; None: it is for every word."""
    word, equals, command = text.partition("=")
    if equals and word in words:
        return command, word
    if equals and re.fullmatch(r"\w+", word):  # so no program with arguments
        raise WrongUsage(f"--run {text!r}: no keyword {word!r}; there are: {', '.join(words)}")
    return text, None


#: Its row in the registry.
KIND = ActionKind(
    "run",
    lambda text, known: partial(Program, *_of_a_word(text, known.words)),
    "Start a program for every keyword, or for one: stop='playerctl pause'. Its arguments "
    "are not read by a shell; RESONANCE_KEYWORD, RESONANCE_SCORE, RESONANCE_TIME_S and "
    "RESONANCE_WALL_TIME are in its environment. May be given several times.",
    "[WORD=]COMMAND",
    multiple=True,
)
