"""What the whole live process costs, beside RNNoise: ``python -m bench.live.cost``.

Every candidate runs in a process of its own, in the same loop on the same devices at 48 kHz with
blocks of 10 ms, hearing first silence, then the demo recording; the processor time of the whole
process counts, the waiting on devices included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from bench.denoising.peers import Sound, Step, rnnoise_step
from bench.live.speed import demo_like, listened
from bench.report import table, write_section
from resonance.app.devices import find_route, list_devices
from resonance.app.live.board import COUNTERS
from resonance.app.live.messages import State
from resonance.app.live.process import EngineProcess
from resonance.app.live.settings import EngineSettings
from resonance.app.live.streams import open_stream, raise_priority
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from resonance.app.presets import LIVE_PRESET
from resonance.assets import DEMO
from tests.sound_server import SoundServer

SECONDS = 10
#: From the start of the sound until something is measured, s: an engine settles, a bank rests.
SETTLED_S = 5.0
ROUNDS = 2
BLOCK = 480
CANDIDATES = {
    "a plain wire": "wire",
    "RNNoise 0.2": "rnnoise",
    "`live`": "live",
    "`call`": "call",
    "`call` and keywords": "call+spot",
    "`studio`": "studio",
}


class Simple:
    """A processor that does one thing to every block."""

    samplerate = 48000.0

    def __init__(self, step: Step) -> None:
        self._step = step
        self.counters = dict.fromkeys(COUNTERS, 0)

    def process(self, block: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """One block."""
        out[:] = self._step(block)


def keep(block: Sound) -> Sound:
    """What a wire does."""
    return block


def serve(kind: str) -> None:
    """Run a wire or RNNoise until the process is ended."""
    raise_priority()
    step = rnnoise_step() if kind == "rnnoise" else keep
    stream = open_stream(find_route(list_devices(), None, None), BLOCK, Simple(step))  # type: ignore[arg-type]
    stream.start()
    print("started", flush=True)
    time.sleep(3600)


def shares(server: SoundServer, kind: str, sound: Sound, samplerate: int) -> tuple[float, float]:
    """Share of a core [%] with silence and with sound.

    Parameters
    ----------
    server
        With the devices.
    kind
        Preset, with "+spot" for keywords too; or "wire" or "rnnoise".
    sound
        For the microphone [samples].
    samplerate
        Of the sound, Hz.

    Returns
    -------
    tuple of float
        Percent, in silence and with sound.
    """
    engine = process = None
    if kind in ("wire", "rnnoise"):
        command = [sys.executable, "-m", "bench.live.cost", "--serve", kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()  # loaded and running
        pid = process.pid
    else:
        preset, _, spot = kind.partition("+")
        engine = EngineProcess(EngineSettings(preset=preset, spot=bool(spot), feedback_guard=False))
        engine.start()
        while engine.state != State.LISTENING:
            engine.messages()
            time.sleep(0.05)
        assert engine.pid
        pid = engine.pid
    time.sleep(SETTLED_S)
    silent = share(pid)
    with server.playing(sound, samplerate):
        time.sleep(1)
        speaking = share(pid)
    if engine:
        engine.close()
    elif process:
        process.kill()
        process.wait()
    return silent, speaking


def share(pid: int) -> float:
    """Of a core [%] that a process uses over the next seconds."""
    process = psutil.Process(pid)
    before, begin = process.cpu_times(), time.monotonic()
    time.sleep(SECONDS)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return 100 * used / (time.monotonic() - begin)


def without_pauses(sound: Sound, samplerate: int) -> float:
    """Share of a core [%] of the default preset itself, block after block, caches warm."""
    pipeline = Pipeline(samplerate, denoiser=DenoiserModel.preset(LIVE_PRESET))
    seconds = len(sound) / samplerate
    return 100 * min(listened(pipeline, sound).computing_s for _ in range(ROUNDS)) / seconds


@click.command()
@click.option("--serve", "served", hidden=True)
def main(served: str | None) -> None:
    """Measure; write the section "live-cost" of docs/benchmarks.md."""
    if served:
        serve(served)
        return
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CANDIDATES}
    sound, samplerate = soundfile.read(DEMO, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        server = SoundServer(Path(folder))
        server.start()
        os.environ.update(server.environment)
        psutil.cpu_percent()
        for _ in range(ROUNDS):
            for name, kind in CANDIDATES.items():
                found[name].append(shares(server, kind, np.tile(sound, 2), samplerate))
        busy = psutil.cpu_percent()
        server.end()
    rows = [
        (name, *(f"{np.median([pair[side] for pair in pairs]):.1f}" for side in (0, 1)))
        for name, pairs in found.items()
    ]
    rounds = f"medians of {ROUNDS} rounds of {SECONDS} s; the machine was busy by {busy:.0f} %"
    write_section(
        "live-cost",
        "## Live: cost of the whole process\n\nPercent of one core, real streams at 48 kHz, "
        f"blocks of 10 ms, {rounds} (`python -m bench.live.cost`).\n\n"
        f"{table(('process', 'silence', 'speaking'), rows)}\n\n`{LIVE_PRESET}` takes "
        f"{without_pauses(demo_like(48000), 48000):.1f} % when block follows block without a "
        "pause; where a process waits for each, the caches are cold again by the next one.",
    )


if __name__ == "__main__":
    main()
