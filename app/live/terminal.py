"""What ``resonance live`` shows in a terminal: levels, what was removed, keywords, health."""

from __future__ import annotations

from typing import Protocol

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from resonance.app.live.board import Board
from resonance.app.live.health import health, level_db, removed_db
from resonance.app.live.messages import Connection, State
from resonance.app.live.rings import Rows

#: The left end of the level bars, dB of full scale.
LOWEST_DB = -72.0
_WIDTH = 36


class Watched(Protocol):
    """A session, as far as the view looks at it."""

    state: State
    connection: Connection | None

    @property
    def board(self) -> Board | None:
        """Of the engine that runs."""


class LiveView:
    """A few lines about live sound.

    Parameters
    ----------
    session
        Its board is read at every refresh.
    keys
        What the keys do; shown as the last line.
    """

    def __init__(self, session: Watched, keys: str = "") -> None:
        self.session, self.keys = session, keys

    def __rich__(self) -> RenderableType:
        """The lines as they are now."""
        board = self.session.board
        rows = board.blocks.since() if board else None
        if rows is None or not len(rows):
            return Text(self.session.state, "dim")
        lines: list[RenderableType] = [_levels(rows)]
        if self.session.state != State.LISTENING:
            lines.append(Text(self.session.state, "yellow"))
        now = self.session.connection
        lines.append(_health(rows, now.delay_s if now else 0.0))
        if self.keys:
            lines.append(Text(self.keys, "dim"))
        return Group(*lines)


def _levels(rows: Rows) -> Table:
    before, after = level_db(rows, "input"), level_db(rows, "output")
    table = Table.grid(padding=(0, 2))
    for name, level in (("in", before), ("out", after)):
        table.add_row(name, _bar(level), f"{level:6.1f} dB")
    table.add_row("removed", "", f"{removed_db(rows):6.1f} dB")
    last = rows[-1]
    voice = Text("voice", "green") if last["voice"] > 0.5 else Text("no voice", "dim")
    table.add_row("input", voice, f"noise {last['noise_dbfs']:.0f} dB")
    return table


def _health(rows: Rows, delay_s: float) -> Text:
    now = health(rows)
    text = (
        f"load {100 * now.load:.1f} % of a core, delay {1000 * delay_s:.0f} ms, {now.lost} of "
        f"{now.blocks} blocks lost, {now.late} late, {now.dry} uncleaned"
    )
    return Text(text, "red" if now.troubled else "dim")


def _bar(level: float) -> ProgressBar:
    share = (level - LOWEST_DB) / -LOWEST_DB
    style = "red" if level > -3.0 else "green"
    return ProgressBar(
        total=1.0,
        completed=max(0.0, min(1.0, share)),
        width=_WIDTH,
        complete_style=style,
        finished_style="red",
    )
