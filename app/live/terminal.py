"""What ``resonance live`` shows in a terminal: levels, what was removed, keywords, health."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.live import LiveStream
from dsp.meters import FLOOR_DB

#: The left end of the level bars, dB of full scale.
LOWEST_DB = -72.0
_WIDTH = 36


class LiveView:
    """A few calm lines about a running stream."""

    def __init__(self, stream: LiveStream) -> None:
        self.stream = stream

    def __rich__(self) -> RenderableType:
        """The lines as they are now."""
        pipeline, counters = self.stream.pipeline, self.stream.counters
        before, after = (max(meter.rms_db, FLOOR_DB) for meter in self.stream.levels)
        table = Table.grid(padding=(0, 2))
        for name, level_db in (("in", before), ("out", after)):
            table.add_row(name, _bar(level_db), f"{level_db:6.1f} dB")
        table.add_row("removed", "", f"{max(0.0, before - after):6.1f} dB")
        voice = Text("voice", "green") if pipeline.voice > 0.5 else Text("no voice", "dim")
        table.add_row("hears", voice, f"noise {pipeline.noise_dbfs:.0f} dB")
        health = (
            f"load {100 * counters.load:.1f} % of a core, {counters.lost_blocks} of "
            f"{counters.blocks} blocks lost, {counters.late_blocks} late"
        )
        trouble = counters.lost_blocks or counters.late_blocks
        return Group(table, Text(health, "red" if trouble else "dim"))


def _bar(level_db: float) -> ProgressBar:
    share = (level_db - LOWEST_DB) / -LOWEST_DB
    style = "red" if level_db > -3.0 else "green"
    return ProgressBar(total=1.0, completed=max(0.0, min(1.0, share)), width=_WIDTH,
                       complete_style=style, finished_style="red")  # fmt: skip
