"""What a terminal shows while live sound runs."""

import io
from types import SimpleNamespace

import numpy as np
from rich.console import Console

from resonance.app.live.messages import Connection, State
from resonance.app.live.terminal import LiveView


def shown(view):
    page = io.StringIO()
    Console(file=page, width=110).print(view)
    return page.getvalue()


def test_levels_reduction_voice_and_health_are_shown(make_processor, demo):
    noisy, _, samplerate = demo
    engine = SimpleNamespace(state=State.LOADING, board=None, connection=None)
    view = LiveView(engine, "q: quit")
    assert shown(view).strip() == "loading"
    processor = make_processor(samplerate)
    engine.board, engine.state = processor.board, State.LISTENING
    engine.connection = Connection("in", "out", samplerate, device_latency_s=(0.02, 0.03))
    processor.process(noisy[:22050], np.empty(22050, np.float32))
    quiet = 0.01 * noisy[:6615]

    def remove_all(_, played):
        played[:] = 0.0
        return []

    processor.pipeline.process = remove_all
    processor.process(quiet, np.empty_like(quiet))
    text = shown(view)
    assert "in  " in text
    assert "out " in text
    assert "-120.0 dB" in text
    assert "removed" in text
    assert "load 0.0 % of a core, delay 50 ms, 0 of 2 blocks lost, 0 late, 0 uncleaned" in text
    assert f"noise {processor.pipeline.noise_dbfs:.0f} dB" in text
    assert "q: quit" in text
    engine.state = "reconnecting"
    assert "reconnecting" in shown(view)
