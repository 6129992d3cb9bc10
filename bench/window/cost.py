"""What the window costs, and whether it disturbs the sound: ``python -m bench.window.cost``."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import psutil
import soundfile

from bench.report import table, write_section
from bench.window.hidden_screen import screen
from resonance.assets import DEMO
from tests.sound_server import SoundServer

#: Waited before measuring, s.
WARM_UP_S = 4.0


def inside(what: str, seconds: float) -> dict[str, Any]:
    """Measure in this process: the window with all views ("all"), as it opens ("one"), or none.

    Returns frames per second of each view, share of a core, start to listening, lost and late
    blocks, growth of memory.
    """
    begin = time.monotonic()
    if what == "none":
        return _engine_alone(begin, seconds)
    from resonance.app.gui.window_session import open_session

    opened = open_session()

    from PyQt6.QtWidgets import QApplication

    from resonance.app.gui.window import Window
    from resonance.app.live.messages import State

    application = QApplication(sys.argv[:1])
    window = Window(application, opened)
    window.resize(1280, 800)
    window.show()
    window.side.set_all_views(what == "all")

    def run(until: float) -> None:
        while time.monotonic() < until:
            application.processEvents()
            time.sleep(0.001)

    application.processEvents()
    shown_s = time.monotonic() - begin
    while window.session.state != State.LISTENING or window.session.board is None:
        run(time.monotonic() + 0.01)
        if time.monotonic() - begin > 60:
            raise RuntimeError(f"it does not listen: {window.session.sentence}")
    listening_s = time.monotonic() - begin
    found: dict[str, Any] = {"shown_s": shown_s, "listening_s": listening_s}
    _let_loop(application, WARM_UP_S)
    board = window.session.board
    before, cpu_s, start = board.counters(), time.process_time(), time.monotonic()
    paints = {view.title: view.paints for view in window.views}
    memory = [_memory_mb()]
    while time.monotonic() - start < seconds:
        _let_loop(application, min(10.0, seconds - (time.monotonic() - start)))
        memory.append(_memory_mb())
    wall_s = time.monotonic() - start
    found |= {
        "fps": {
            v.title: (v.paints - paints[v.title]) / wall_s for v in window.views if v.isVisible()
        },
        "cpu": (time.process_time() - cpu_s) / wall_s,
        "memory_mb": memory,
        **_lost(before, board.counters()),
    }
    window.close()
    return found


def _let_loop(application: Any, seconds: float) -> None:
    """Qt's own loop, as people run it."""
    from PyQt6.QtCore import QTimer

    QTimer.singleShot(round(1000 * max(seconds, 0.001)), lambda: application.exit(0))
    application.exec()


def _engine_alone(begin: float, seconds: float) -> dict[str, Any]:
    from resonance.app.live.messages import State
    from resonance.app.live.process import EngineProcess
    from resonance.app.live.settings import EngineSettings

    engine = EngineProcess(EngineSettings())
    engine.start()
    while engine.state != State.LISTENING or engine.board is None:
        engine.messages()
        time.sleep(0.01)
    listening_s = time.monotonic() - begin
    _keep_engine(engine, WARM_UP_S)
    before = engine.board.counters()
    _keep_engine(engine, seconds)
    after = engine.board.counters()
    engine.close()
    return {"listening_s": listening_s, **_lost(before, after)}


def _keep_engine(engine: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        engine.messages()
        time.sleep(0.05)


def _lost(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    grown = {name: after[name] - before[name] for name in after}
    flows = sum(count for name, count in grown.items() if name.endswith("flows"))
    names = ("blocks", "late_blocks", "dry_blocks")
    return {"xruns": flows, **{name: grown[name] for name in names}}


def _memory_mb() -> float:
    return float(psutil.Process().memory_full_info().uss / 2**20)


def _outside(what: str, seconds: float) -> dict[str, Any]:
    """The same in a process of its own, on a screen and a sound server of its own."""
    sound, samplerate = soundfile.read(DEMO, dtype="float32")
    times = int((seconds + 120) / (len(sound) / samplerate)) + 1
    with tempfile.TemporaryDirectory() as folder, screen() as display, ExitStack() as running:
        config = Path(folder) / "config.toml"
        config.write_text("[window]\nlistening = true\nwelcomed = true\n")
        server = SoundServer(Path(folder))
        server.start()
        running.callback(server.end)
        running.enter_context(server.playing(sound, samplerate, times=times))
        environment = {
            **server.environment,
            **display,
            "RESONANCE_CONFIG": str(config),
            "RESONANCE_WORDS": str(Path(folder) / "words"),
        }
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "bench.window.cost",
                "--inside",
                what,
                "--seconds",
                str(seconds),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds + 120,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@click.command()
@click.option("--inside", "what", hidden=True, help="Measure in this process.")
@click.option("--seconds", default=60.0, help="Of each run.")
@click.option("--rounds", default=3, help="Of each kind.")
@click.option("--soak", "minutes", type=float, help="Instead, stay open for so many minutes.")
def main(what: str | None, seconds: float, rounds: int, minutes: float | None) -> None:
    """Frames per second, load, dropouts with and without the window, start; or memory over time."""
    if what:
        click.echo(json.dumps(inside(what, seconds)))
        return
    if minutes:
        write_section("window-soak", _soaked(_outside("all", 60 * minutes), minutes))
        return
    runs: dict[str, list[dict[str, Any]]] = {"none": [], "one": [], "all": []}
    for _ in range(rounds):
        for kind, found in runs.items():
            found.append(_outside(kind, seconds))
            print(kind, json.dumps(found[-1]), flush=True)
    write_section("window", _report(runs, seconds))


_NAMES = {
    "none": "engine without a window",
    "one": "resonogram, levels and one view",
    "all": "all five views",
}


def _report(runs: dict[str, list[dict[str, Any]]], seconds: float) -> str:
    rows = []
    for kind, found in runs.items():
        slowest = [min(run["fps"].values()) for run in found if "fps" in run]
        shares = [100 * run["cpu"] for run in found if "cpu" in run]
        frames = [1000 * run["cpu"] / min(run["fps"].values()) for run in found if "cpu" in run]
        rows.append(
            (
                _NAMES[kind],
                _spread(slowest, ".0f"),
                _spread(shares, ".0f"),
                _spread(frames, ".1f"),
                _spread([run["listening_s"] for run in found], ".1f"),
                str(sum(run["xruns"] for run in found)),
                str(sum(run["late_blocks"] for run in found)),
                str(sum(run["blocks"] for run in found)),
            )
        )
    header = (
        "window",
        "frames/s of the slowest view",
        "share of a core / %",
        "busy in a frame / ms",
        "start to listening / s",
        "lost",
        "late",
        "blocks",
    )
    count, cores = len(runs["all"]), psutil.cpu_count()
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    command = f"python -m bench.window.cost --seconds {seconds:g} --rounds {count}"
    nice = os.nice(0)
    first = f", everything that is measured at nice {nice}, before that work" if nice < 0 else ""
    return (
        "## The window\n\n1280 × 800 on a real X server without a screen, the engine in its own "
        "process on a sound server without hardware, the demo recording in its microphone. "
        f"{count} runs of {seconds:g} s each, median (lowest–highest) (`{command}`). {cores} "
        f"cores, shared with other work{first}: load averages at the end {load}. Shares are of the "
        f"window's own process.\n\n{table(header, rows)}"
    )


def _soaked(run: dict[str, Any], minutes: float) -> str:
    """How it was after a long time."""
    memory = run["memory_mb"]
    marks = [memory[round(share * (len(memory) - 1))] for share in (0.05, 0.25, 0.5, 0.75, 1.0)]
    said = ", ".join(f"{mb:.1f}" for mb in marks)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"Left open for {minutes:g} minutes with all views (`python -m bench.window.cost --soak "
        f"{minutes:g}`, load averages at the end {load}): memory of the window's own process "
        f"after 5, 25, 50, 75 and 100 % of the time {said} MB; {min(run['fps'].values()):.0f} "
        f"frames/s, {100 * run['cpu']:.0f} % of a core; of {run['blocks']} blocks {run['xruns']} "
        f"lost, {run['late_blocks']} late."
    )


def _spread(values: list[float], form: str) -> str:
    if not values:
        return ""
    middle, low, high = (format(f(values), form) for f in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}–{high})"


if __name__ == "__main__":
    main()
