"""A board as an engine leaves it after the demo recording: for views without a device.

``python -m resonance.app.gui.snapshot snapshot.npz``, then
``python -m resonance.app.gui.views.resonogram snapshot.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from resonance.app.live.board import Board
from resonance.app.live.processor import Processor, board_facts
from resonance.app.pipeline import Pipeline
from resonance.app.pipeline_factory import PipelineFactory
from resonance.app.presets import LIVE_PRESET
from resonance.assets import DEMO

#: A moment of the demo recording in which somebody speaks, s.
END_S = 8.5


def demo_board(end_s: float = END_S, preset: str = LIVE_PRESET) -> Board:
    """The board after the first ``end_s`` of the demo recording."""
    sound, samplerate = soundfile.read(DEMO, dtype="float32")
    pipeline = PipelineFactory().make(samplerate, kind=Pipeline, preset=preset, spot=True)
    board = Board(board_facts(pipeline, kept_s=30.0))
    processor = Processor(pipeline, board, clock=lambda: 0.0)  # never too late
    block = round(0.01 * samplerate)
    out = np.empty(block, np.float32)
    for start in range(0, round(end_s * samplerate) - block, block):
        processor.process(sound[start : start + block], out)
    return board


if __name__ == "__main__":
    demo_board().save(Path(sys.argv[1]))
