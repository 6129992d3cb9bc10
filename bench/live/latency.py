"""What the engine adds to the devices' own delay: ``python -m bench.live.latency``.

One stream stays open on the devices; every few seconds it changes between a plain wire and the
whole pipeline (all oscillators at work, nothing removed), and another program records what comes
out of the loudspeaker. A burst of noise every second shows any shift between the two.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bench.report import table, write_section
from resonance.app.devices import find_route, list_devices
from resonance.app.live.board import Board
from resonance.app.live.processor import Processor
from resonance.app.live.streams import open_stream, raise_priority
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from tests.sound_server import SoundServer

RATE = 48000
BLOCKS_MS = (5, 10, 20)
SECONDS = 40
#: How long the wire and the pipeline take turns, s.
TURN_S = 4.0
#: The wire plays softer by this, so that the recording tells the two apart.
WIRE_GAIN = np.float32(0.5)


class Switch:
    """A processor that is a wire every other time."""

    def __init__(self, preset: str) -> None:
        model = DenoiserModel.preset(preset)
        facts = {
            "samplerate": RATE,
            "oscillators": len(model.bank),
            "words": [],
            "kept_s": 1.0,
            "heads": 0,
            "tokens": 0,
            "d_osc": 0,
        }
        self._processor = Processor(Pipeline(RATE, denoiser=model, limit_db=0.0), Board(facts))
        self.samplerate, self.counters = float(RATE), self._processor.counters
        self._count = 0

    def process(self, block: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """One block; all go through the pipeline."""
        self._processor.process(block, out)
        self._count += len(block)
        if int(self._count / RATE / TURN_S) % 2:
            out[:] = WIRE_GAIN * block


def measure(server: SoundServer, preset: str, block_ms: int) -> tuple[list[int], int]:
    """How much later [samples] the pipeline is than the wire, at each change; blocks lost.

    Parameters
    ----------
    server
        With the devices.
    preset
        In the pipeline.
    block_ms
        Length of a block, ms.

    Returns
    -------
    tuple of (list, int)
        Samples for each change; number of blocks lost.
    """
    rng = np.random.default_rng(0)
    burst = (0.2 * rng.standard_normal(RATE // 20)).astype(np.float32)
    feed = np.zeros(RATE, np.float32)
    feed[: len(burst)] = burst
    switch = Switch(preset)
    stream = open_stream(find_route(list_devices(), None, None), RATE * block_ms // 1000, switch)  # type: ignore[arg-type]
    stream.start()
    try:
        with server.playing(np.tile(feed, SECONDS + 10), RATE):
            time.sleep(3)
            with server.recording() as found:
                time.sleep(SECONDS)
    finally:
        stream.close()
    flags = sum(n for name, n in switch.counters.items() if name.endswith("flows"))
    later, before = [], None
    for second in range(1, len(found[0]) // RATE - 1):
        place, size = strongest(found[0][second * RATE : (second + 2) * RATE], burst)
        kind = "pipeline" if size > 0.9 else "wire" if 0.45 < size < 0.55 else None
        if before and kind and kind != before[0]:
            later.append(place - before[1] if kind == "pipeline" else before[1] - place)
        before = (kind, place) if kind else None
    return later, flags


def strongest(sound: NDArray[np.float32], burst: NDArray[np.float32]) -> tuple[int, float]:
    """Place of the burst within its second, and how loud it came through."""
    size = 4 * RATE
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(burst, size))
    likeness = np.fft.irfft(spectrum, size)[:RATE] / np.dot(burst, burst)
    place = int(np.argmax(likeness))
    return place, float(likeness[place])


@click.command()
def main() -> None:
    """Measure; write the section "live-latency" of docs/benchmarks.md."""
    raise_priority()  # like the engine's process
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = SoundServer(Path(folder))
        server.start()
        os.environ.update(server.environment)
        for preset in ("live", "studio"):
            for block_ms in BLOCKS_MS:
                later, flags = measure(server, preset, block_ms)
                each = ", ".join(f"{samples:+d}" for samples in later)
                rows.append(
                    (f"`{preset}`", f"{block_ms}", f"**{np.median(later):+.0f}**", each, f"{flags}")
                )
        server.end()
    header = ("preset", "block / ms", "added / samples", "at each change", "blocks lost")
    write_section(
        "live-latency",
        "## Live: delay added\n\nBursts through the devices, heard from outside, while one open "
        "stream changes between a plain wire and the pipeline, 48 kHz: by how many samples the "
        "first burst after a change is later than the last before, counted for the pipeline "
        "(`python -m bench.live.latency`). A block lost in between shows up as a jump.\n\n"
        f"{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
