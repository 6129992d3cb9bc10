"""How live sound is doing: load, levels and lost blocks, from the rows about its blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from resonance.app.live.rings import Rows
from resonance.dsp.meters import to_db

#: Time that levels are averaged over, s, as in IEC 60268-17.
LEVEL_S = 0.3
#: Time that the removed sound is averaged over, s: words and the pauses between them.
REMOVED_S = 2.0
#: Mean square below which a block is silent: nothing can be removed from it.
_SILENT = 1e-10
_FLOWS = ("input_over", "input_under", "output_over", "output_under")


@dataclass(frozen=True)
class Health:
    """What went wrong since the engine started, and what it costs."""

    blocks: int  #: handed over by the devices
    lost: int  #: lost on their way in or out
    late: int  #: took longer to process than to play
    dry: int  #: passed uncleaned, because there was too much to do
    load: float  #: share of one core

    @property
    def troubled(self) -> bool:
        """Whether anything was lost, late or uncleaned."""
        return bool(self.lost or self.late or self.dry)


def health(rows: Rows) -> Health:
    """Of the totals in the last of ``rows``, at least one, and the load of all."""
    last = rows[-1]
    return Health(
        int(last["blocks"]),
        lost_blocks(last),
        int(last["late_blocks"]),
        int(last["dry_blocks"]),
        load(rows),
    )


def load(rows: Rows) -> float:
    """Share of one core that these blocks took."""
    seconds = rows["time_s"][-1] - rows["time_s"][0]
    return float(rows["busy_s"][1:].sum() / seconds) if seconds > 0 else 0.0


def level_db(rows: Rows, side: str) -> float:
    """Level of the last 0.3 s, dBFS; ``side`` is "input" or "output"."""
    recent = rows[rows["time_s"] > rows["time_s"][-1] - LEVEL_S]
    power = np.average(recent[f"{side}_power"], weights=recent["samples"])
    return float(to_db(math.sqrt(max(0.0, float(power)))))


def removed_db(rows: Rows) -> float:
    """How much quieter the blocks of the last 2 s were made, dB, on average; pauses count fully."""
    recent = rows[rows["time_s"] > rows["time_s"][-1] - REMOVED_S]
    recent = recent[recent["input_power"] > _SILENT]
    if not len(recent):
        return 0.0
    ratio = recent["input_power"] / np.maximum(recent["output_power"], _SILENT)
    quieter_db = np.maximum(0.0, 10.0 * np.log10(ratio))
    return float(np.average(quieter_db, weights=recent["samples"]))


def lost_blocks(counters: Mapping[str, int] | Any) -> int:
    """Blocks that PortAudio reported as lost on their way in or out."""
    return sum(int(counters[f"{side}flows"]) for side in _FLOWS)
