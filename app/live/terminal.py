"""What ``resonance live`` shows in a terminal: levels, what was removed, keywords, health."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from resonance.app.live.board import Board, Rows
from resonance.app.live.settings import LISTENING
from resonance.dsp.meters import to_db

#: The left end of the level bars, dB of full scale.
LOWEST_DB = -72.0
#: Time that levels are averaged over, s, as in IEC 60268-17.
LEVEL_S = 0.3
_WIDTH = 36


class Watched(Protocol):
    """An engine, as far as the view looks at it."""

    state: str
    board: Board | None


class LiveView:
    """A few calm lines about a running engine.

    Parameters
    ----------
    engine
        Its board is read at every refresh.
    keys
        What the keys do; shown as the last line.
    """

    def __init__(self, engine: Watched, keys: str = "") -> None:
        self.engine, self.keys = engine, keys
        self.facts: dict[str, Any] = {}  #: of the last "listening"

    def __rich__(self) -> RenderableType:
        """The lines as they are now."""
        board = self.engine.board
        rows = board.blocks.since() if board else None
        if rows is None or not len(rows):
            return Text(self.engine.state, "dim")
        lines: list[RenderableType] = [_levels(rows)]
        if self.engine.state != LISTENING:
            lines.append(Text(self.engine.state, "yellow"))
        lines.append(_health(rows, _delay_ms(self.facts)))
        if self.keys:
            lines.append(Text(self.keys, "dim"))
        return Group(*lines)


def load(rows: Rows) -> float:
    """Share of one core that these blocks took."""
    samples = rows["time_s"][-1] - rows["time_s"][0]
    return float(rows["busy_s"][1:].sum() / samples) if samples > 0 else 0.0


def level_db(rows: Rows, side: str) -> float:
    """Level of the last moment, dBFS; ``side`` is "heard" or "played"."""
    recent = rows[rows["time_s"] > rows["time_s"][-1] - LEVEL_S]
    power = np.average(recent[f"{side}_power"], weights=recent["samples"])
    return float(to_db(math.sqrt(max(0.0, float(power)))))


def lost_blocks(counters: Any) -> int:
    """Blocks that PortAudio said were lost on their way in or out."""
    return sum(int(counters[f"{side}flows"]) for side in _FLOWS)


_FLOWS = ("input_over", "input_under", "output_over", "output_under")


def _delay_ms(facts: dict[str, Any]) -> float:
    if not facts:
        return 0.0
    look_ahead_s = facts["latency_samples"] / facts["samplerate"]
    return 1000 * float(sum(facts["device_latency_s"]) + facts["bridge_s"] + look_ahead_s)


def _levels(rows: Rows) -> Table:
    before, after = level_db(rows, "heard"), level_db(rows, "played")
    table = Table.grid(padding=(0, 2))
    for name, level in (("in", before), ("out", after)):
        table.add_row(name, _bar(level), f"{level:6.1f} dB")
    table.add_row("removed", "", f"{max(0.0, before - after):6.1f} dB")
    last = rows[-1]
    voice = Text("voice", "green") if last["voice"] > 0.5 else Text("no voice", "dim")
    table.add_row("hears", voice, f"noise {last['noise_dbfs']:.0f} dB")
    return table


def _health(rows: Rows, delay_ms: float) -> Text:
    last = rows[-1]
    lost, late, dry = lost_blocks(last), last["late_blocks"], last["dry_blocks"]
    text = (
        f"load {100 * load(rows):.1f} % of a core, delay {delay_ms:.0f} ms, {lost} of "
        f"{last['blocks']} blocks lost, {late} late, {dry} uncleaned"
    )
    return Text(text, "red" if lost or late or dry else "dim")


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
