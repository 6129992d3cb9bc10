"""One run of ``resonance live``: what it prints, and what its keys do."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resonance.app.errors import UserError
from resonance.app.options import err, out, warn

if TYPE_CHECKING:
    from resonance.app.live.messages import StateChange
    from resonance.app.live.session import LiveSession, Report
    from resonance.app.live.settings import EngineSettings
    from resonance.app.live.terminal import LiveView
    from resonance.app.spotter import KeywordEvent

#: How often messages are looked for, s.
LOOK_S = 0.05
#: What the keys do.
KEYS = "b: uncleaned/cleaned   s: save the last 30 s   r: record/stop   q: quit"
_FLAGS_THAT_HELP = {"overloads": " (--block-ms 20)", "howls": " (--virtual-mic)"}


class LiveRun:
    """One run of the command: says what the session reports, and does what keys ask for.

    Parameters
    ----------
    session
        Not yet started.
    presets
        Settings for the engine by the name of the input device.
    as_json
        One JSON object per report on standard output.
    """

    def __init__(
        self, session: LiveSession, presets: dict[str, dict[str, Any]], *, as_json: bool
    ) -> None:
        self.session, self.presets, self.as_json = session, presets, as_json
        self._by_key: Path | None = None  # what the key r records to
        self._save_wanted = self._ended = False
        self._usual: dict[str, Any] = {}
        self._view: LiveView | None = None

    def begin(self, settings: EngineSettings) -> None:
        """Start the engine and wait until it listens.

        Raises
        ------
        UserError
            If there is no device, or a setting makes no sense.
        """
        from resonance.app.live.messages import State, StateChange

        names = {name for preset in self.presets.values() for name in preset}
        self._usual = {name: getattr(settings, name) for name in names}
        self.session.start(settings)
        with err.status("loading models and opening devices"):
            while self.session.state != State.LISTENING:
                for report in self.session.poll():
                    if isinstance(report, StateChange) and report.state in (
                        State.NO_DEVICE,
                        State.STOPPED,
                    ):
                        raise UserError(report.text)
                    self._show(report)
                time.sleep(LOOK_S)
        if hasattr(signal, "SIGUSR1"):  # ignored until now
            signal.signal(signal.SIGUSR1, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._save_wanted = True

    def watch(self, seconds: float | None) -> None:
        """Pass everything on until time is up, q or Ctrl-C."""
        from rich.live import Live

        from resonance.app.live.keys import pressed_keys
        from resonance.app.live.terminal import LiveView

        if not self.as_json and err.is_terminal:
            self._view = LiveView(self.session, KEYS if sys.stdin and sys.stdin.isatty() else "")
        begin = time.monotonic()
        screen = Live(self._view, console=err, transient=True) if self._view else nullcontext()
        with suppress(KeyboardInterrupt), pressed_keys() as pressed, screen:
            while not self._ended and (seconds is None or time.monotonic() - begin < seconds):
                time.sleep(LOOK_S)
                for report in self.session.poll():
                    self._show(report)
                for key in pressed():
                    self._press(key)
                if self._save_wanted:
                    self._save_wanted = False
                    with _complaining():
                        self.session.save_last()

    def _press(self, key: str) -> None:
        engine = self.session.engine
        if key == "q":
            self._ended = True
        elif key == "b" and engine:
            engine.change(bypass=not engine.settings.bypass)
            err.print("uncleaned" if engine.settings.bypass else "cleaned")
        elif key == "s":
            self._save_wanted = True
        elif key == "r":
            with _complaining():
                self._record_by_key()

    def _record_by_key(self) -> None:
        if self._by_key:
            self.session.end_recordings(self._by_key)
            self._by_key = None
        else:
            self._by_key = self.session.record("clean")
            err.print(f"recording to {self._by_key}")

    def _show(self, report: Report) -> None:
        from resonance.app.live.messages import Keyword, StateChange, as_facts
        from resonance.app.live.session import RecordingEnded, Saved

        match report:
            case Keyword(event):
                self._show_keyword(event)
            case StateChange():
                self._show_state(report)
            case Saved(path, seconds):
                facts = {"saved": str(path), "seconds": round(seconds, 2)}
                self._print(facts, f"saved {seconds:.1f} s to {path}")
            case RecordingEnded(path):
                self._print({"recorded": str(path)}, f"recorded {path}")
            case _:
                self._print(as_facts(report), "")
                if not self.as_json:
                    warn(f"{report.text}{_FLAGS_THAT_HELP.get(getattr(report, 'about', ''), '')}")

    def _show_state(self, change: StateChange) -> None:
        from resonance.app.live.messages import State, as_facts

        if change.connection:
            self._apply_preset(change.connection.input)
        self._print(as_facts(change), _sentence(change))
        if change.failed:
            raise UserError(change.text)
        self._ended |= change.state == State.STOPPED

    def _show_keyword(self, event: KeywordEvent) -> None:
        if self.as_json:
            self._print(event.facts(), "")
            return
        clock = (event.wall_time or "")[11:19]
        text = f"{event.time_s:8.2f} s  {event.keyword} ({event.score:.2f}) at {clock}"
        # Above the levels, if both go to the same terminal.
        page = err if out.is_terminal and err.is_terminal else out
        page.print(text)

    def _apply_preset(self, device: str) -> None:
        engine = self.session.engine
        if not engine:
            return
        wanted, now = {**self._usual, **self.presets.get(device, {})}, engine.settings
        changes = {name: value for name, value in wanted.items() if getattr(now, name) != value}
        if changes:
            with _complaining():
                engine.change(**changes)

    def _print(self, facts: dict[str, Any], text: str) -> None:
        """Something that happened: for scripts, or for people."""
        if self.as_json:
            click.echo(json.dumps(facts))
            sys.stdout.flush()
        elif text:
            err.print(text)

    def summarise(self, totals: dict[str, Any]) -> None:
        """Say how it went."""
        from resonance.app.live.health import lost_blocks

        if not totals:
            return
        lost = lost_blocks(totals)
        self._print(
            {"summary": {**totals, "lost_blocks": lost}},
            f"{totals['blocks']} blocks, {lost} lost by the device, {totals['late_blocks']} "
            f"late, {totals['dry_blocks']} uncleaned, load {100 * totals['load']:.1f} % of a core",
        )


def _sentence(change: StateChange) -> str:
    """A state for people, with the delays and virtual devices where there are some."""
    now = change.connection
    if not now:
        return change.text
    delays = " + ".join(f"{1000 * s:.0f}" for s in now.device_latency_s)
    own = 1000 * now.latency_samples / now.samplerate
    between = f", between their clocks {1000 * now.bridge_s:.0f} ms" * bool(now.bridge_s)
    lines = [
        f"{change.text} at {now.samplerate:g} Hz; devices {delays} ms{between}, "
        f"pipeline {own:g} ms. Ctrl-C stops."
    ]
    if now.virtual_mic:
        lines.append(f"other programs can choose the microphone {now.virtual_mic!r}")
    if now.virtual_speaker:
        lines.append(f"let other programs play into {now.virtual_speaker!r}")
    return "\n".join(lines)


@contextmanager
def _complaining() -> Iterator[None]:
    """Errors become warnings: what runs goes on."""
    try:
        yield
    except UserError as error:
        warn(str(error))
