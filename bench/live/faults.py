"""How long live sound takes to come back: ``python -m bench.live.faults``.

The faults of ``tests/app/live/test_faults.py``, timed: from the moment the cause is gone (or, where
it stays, from the fault) until the engine says that it listens again.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from bench.live.latency import strongest
from bench.report import table, write_section
from tests.live_command import Live
from tests.sound_server import SoundServer

ROUNDS = 3
RATE = 48000


def server_killed(server: SoundServer, live: Live) -> float:
    """Gone for three seconds."""
    server.end(signal.SIGKILL)
    time.sleep(3)
    count = len(live.said)
    server.start()
    return until_listening(live, count)


def server_hangs(server: SoundServer, live: Live) -> float:
    """Stopped, then let go on."""
    count = len(live.said)
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(8)
    server.process.send_signal(signal.SIGCONT)
    return until_listening(live, count)


def microphone_pulled_out(server: SoundServer, live: Live) -> float:
    """For good."""
    count = len(live.said)
    server.pactl("unload-module", "module-remap-source")
    return until_listening(live, count)


def microphone_put_back(server: SoundServer, live: Live) -> float:
    """After another one stood in."""
    microphone_pulled_out(server, live)
    count = len(live.said)
    server.plug_microphone("USB microphone")
    return until_listening(live, count)


def microphone_suspended(server: SoundServer, live: Live) -> float:
    """No blocks come, and nobody says why."""
    server.pactl("suspend-source", "usb", "1")
    server.pactl("suspend-sink", "ci_mic", "1")
    live.wait_for(lambda line: line.get("state") == "reconnecting")
    time.sleep(3)
    count = len(live.said)
    server.pactl("suspend-sink", "ci_mic", "0")
    server.pactl("suspend-source", "usb", "0")
    return until_listening(live, count)


def engine_killed(server: SoundServer, live: Live) -> float:
    """By a signal nobody can catch."""
    count = len(live.said)
    os.kill(live.engine_pid(), signal.SIGKILL)
    return until_listening(live, count)


def until_listening(live: Live, count: int) -> float:
    """Seconds from now until the engine listens."""
    begin = time.monotonic()
    return live.wait_listening(40, count)[1] - begin


FAULTS: dict[str, Callable[[SoundServer, Live], float]] = {
    "sound server killed, started again": server_killed,
    "sound server hangs for 8 s": server_hangs,
    "microphone pulled out: another one stands in": microphone_pulled_out,
    "microphone put back: it is taken again": microphone_put_back,
    "microphone suspended for 3 s": microphone_suspended,
    "engine process killed": engine_killed,
}


def timed(fault: Callable[[SoundServer, Live], float], folder: Path) -> float:
    """One fault on a server of its own."""
    server = SoundServer(folder)
    server.start()
    try:
        server.pactl("unload-module", "module-remap-source")
        server.plug_microphone("USB microphone")
        live = Live(server, "--input", "USB microphone", "--no-spot")
        live.wait_listening(30)
        time.sleep(1)
        seconds = fault(server, live)
        time.sleep(0.5)
        live.end()
    finally:
        server.end()
    return seconds


def delay_after_a_stop(folder: Path) -> tuple[float, float]:
    """Delay through the devices after the engine was stopped for 2 s, less that before, ms.

    At once, and 5 s later.
    """
    server = SoundServer(folder)
    server.start()
    rng = np.random.default_rng(0)
    burst = (0.2 * rng.standard_normal(RATE // 20)).astype(np.float32)
    feed = np.zeros(RATE, np.float32)
    feed[: len(burst)] = burst
    live = Live(server, "--no-spot", "--limit-db", "0")
    live.wait_listening(30)
    with server.playing(np.tile(feed, 40), RATE), server.recording() as found:
        time.sleep(6)
        pid = live.engine_pid()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(pid, signal.SIGCONT)
        time.sleep(10)
    live.end()
    server.end()
    places = []
    for second in range(2, 17):
        place, size = strongest(found[0][second * RATE : (second + 2) * RATE], burst)
        places.append(place if size > 0.5 else None)
    bursts = [(k + 2, place) for k, place in enumerate(places) if place is not None]
    before = np.median([place for second, place in bursts if second < 5])
    after = [(second, place - before) for second, place in bursts if second > 8]
    return 1000 * after[0][1] / RATE, 1000 * after[-1][1] / RATE


@click.command()
def main() -> None:
    """Measure; write the section "live-faults" of docs/benchmarks.md."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        for name, fault in FAULTS.items():
            seconds = []
            for _ in range(ROUNDS):
                number += 1
                place = Path(folder) / f"{number}"
                place.mkdir()
                seconds.append(timed(fault, place))
                print(name, f"{seconds[-1]:.2f} s", flush=True)
            rows.append((name, f"{np.median(seconds):.1f}", f"{max(seconds):.1f}"))
        place = Path(folder) / "stop"
        place.mkdir()
        soon, later = delay_after_a_stop(place)
    write_section(
        "live-faults",
        "## Live: coming back\n\nFrom the cure (or the fault, where it stays) until the engine "
        f"listens again, {ROUNDS} rounds (`python -m bench.live.faults`).\n\n"
        f"{table(('fault', 'median / s', 'longest / s'), rows)}\n\n"
        "After the engine was stopped (SIGSTOP) for 2 s, the delay through the devices differed "
        f"by {soon:+.1f} ms at first and by {later:+.1f} ms some seconds later.",
    )


if __name__ == "__main__":
    main()
