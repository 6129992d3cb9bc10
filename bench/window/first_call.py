"""From a first start to a clean call, by a scripted pointer: ``python -m bench.window.first_call``.

On an X server without a screen and a sound server without hardware, the demo recording in the
microphone. The pointer clicks "Clean my microphone", a PulseAudio client records from the virtual
microphone as a call would, and the window is closed meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import soundfile

from bench.report import write_section
from bench.window.hidden_screen import screen
from resonance.assets import DEMO
from tests.sound_server import SoundServer

#: The name that other programs know the microphone by.
SOURCE = "resonance_mic"
#: How long the call lasts after the window was closed, s; longest wait for anything, s.
CALL_S, PATIENCE_S = 10.0, 90.0
#: Rate of the call, Hz; frames that are measured, samples; what counts as sound.
RATE, FRAME, AUDIBLE = 48000, 2400, 1e-4
#: Quieter frames are gaps, dBFS.
LOST_DB = -80.0


@dataclass(frozen=True)
class FirstCall:
    """How it went."""

    shown_s: float  #: from the start of the program to the window
    clean_s: float  #: and to the first clean sound in the call
    lost: int  #: blocks, until the end
    noise_db: float  #: how much quieter pauses are in the call than in the microphone
    names: list[str]  #: microphones as the call lists them


def inside() -> None:
    """The window; says on its output where the button is, and closes on request."""
    from PyQt6.QtCore import QSocketNotifier, QTimer
    from PyQt6.QtWidgets import QApplication
    from PyQt6.sip import voidptr

    from resonance.app.commands.gui import run_on
    from resonance.app.gui.window import Window
    from resonance.app.gui.window_session import open_session

    opened = open_session()
    application = QApplication(sys.argv[:1])
    window = Window(application, opened)
    run_on(application, window)
    window.show_again()

    def say() -> None:
        button = window.welcome.buttons["calls"]
        at = button.mapToGlobal(button.rect().center())
        _say(button=[at.x(), at.y()])

    def obey() -> None:
        if sys.stdin.readline().strip() == "close":
            window.close()
            _say(visible=window.isVisible(), listening=window.session.listening)
        else:
            board = window.session.board
            flows = [n for n in board.counters().items() if n[0].endswith("flows")] if board else []
            _say(lost=sum(count for _, count in flows))
            window.quit()

    commands = QSocketNotifier(voidptr(sys.stdin.fileno()), QSocketNotifier.Type.Read)
    commands.activated.connect(obey)
    QTimer.singleShot(50, say)
    application.exec()


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def first_call() -> FirstCall:
    """Start the program, click, call, close the window, go on calling."""
    noisy, samplerate = soundfile.read(DEMO, dtype="float32")
    with tempfile.TemporaryDirectory() as folder, screen() as display, ExitStack() as running:
        server = SoundServer(Path(folder))
        server.start()
        running.callback(server.end)
        running.enter_context(server.playing(noisy, samplerate, times=20))
        environment = {
            **server.environment,
            **display,
            "RESONANCE_CONFIG": str(Path(folder) / "config.toml"),
            "RESONANCE_WORDS": str(Path(folder) / "words"),
        }
        begin = time.monotonic()
        window = subprocess.Popen(
            [sys.executable, "-m", "bench.window.first_call", "--inside"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        program = running.enter_context(window)
        running.callback(program.kill)
        x, y = _read(program)["button"]
        shown_s = time.monotonic() - begin
        pointer = ["xdotool", "mousemove", str(x), str(y), "click", "1"]
        subprocess.run(pointer, env=environment, check=True)  # the first click
        _wait_for_source(server)
        names = _microphones(server)
        # The second one is the call's: it chooses the microphone.
        with server.recording(SOURCE) as call, server.recording("mic") as microphone:
            called_s = time.monotonic() - begin
            _tell(program, "close")
            state = _read(program)
            if state["visible"] or not state["listening"]:
                raise RuntimeError(f"the microphone did not outlive the window: {state}")
            time.sleep(CALL_S)
        _tell(program, "quit")
        lost = int(_read(program)["lost"])
        if program.wait(PATIENCE_S) != 0:
            raise RuntimeError("the program did not end well")
    first = int(np.argmax(np.abs(call[0]) > AUDIBLE))
    noise_db = _floor_db(microphone[0]) - _floor_db(call[0][first:])
    return FirstCall(shown_s, called_s + first / RATE, lost, noise_db, names)


def _tell(program: Any, command: str) -> None:
    program.stdin.write(f"{command}\n")
    program.stdin.flush()


def _read(program: Any) -> dict[str, Any]:
    line = program.stdout.readline()
    if not line:
        raise RuntimeError("the window ended")
    found: dict[str, Any] = json.loads(line)
    return found


def _wait_for_source(server: SoundServer) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while SOURCE not in server.pactl("list", "short", "sources"):
        if time.monotonic() > deadline:
            raise RuntimeError("there is no virtual microphone")
        time.sleep(0.02)


def _microphones(server: SoundServer) -> list[str]:
    lines = server.pactl("list", "sources").splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if "Description:" in line]
    return [name for name in names if name.startswith("Resonance")]


def _floor_db(sound: Any) -> float:
    """Level of the quietest tenth of a sound [samples], after its first second, dBFS.

    Frames that got lost on the way are no pauses.
    """
    sound = sound[RATE:]
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    levels = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    return float(np.percentile(levels[levels > LOST_DB], 10))


@click.command()
@click.option("--inside", "is_inside", is_flag=True, hidden=True)
@click.option("--rounds", default=3, help="How often.")
def main(is_inside: bool, rounds: int) -> None:
    """Time from the start of the program to a clean call, and whether it outlives the window."""
    if is_inside:
        inside()
        return
    calls = [first_call() for _ in range(rounds)]
    for call in calls:
        click.echo(call)
    write_section("first-call", _report(calls))


def _report(calls: list[FirstCall]) -> str:
    def span(values: list[float]) -> str:
        low, high = f"{min(values):.1f}", f"{max(values):.1f}"
        return low if low == high else f"{low} to {high}"

    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        "## A first call\n\nA scripted pointer on a real X server without a screen: from the start "
        f"of the program, {len(calls)} times, {span([c.shown_s for c in calls])} s to the window, "
        f"{span([c.clean_s for c in calls])} s to a PulseAudio client that records clean sound "
        f"from “{calls[0].names[0]}”. One click in the window, one in the call. The window was "
        f"closed then, and the call went on for {CALL_S:g} s: pauses "
        f"{span([c.noise_db for c in calls])} dB quieter than in the microphone, "
        f"{sum(c.lost for c in calls)} blocks lost (`python -m bench.window.first_call --rounds "
        f"{len(calls)}`, {psutil.cpu_count()} cores, nice {os.nice(0)}, load averages at the end "
        f"{load})."
    )


if __name__ == "__main__":
    main()
