"""``resonance live``: an engine, what it tells, and what keywords set off."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from resonance.app import config
from resonance.app.errors import UserError
from resonance.app.options import (
    FILES,
    JSON,
    LIMIT,
    PRESET,
    SENSITIVITY,
    err,
    out,
    sensitivity,
    warn,
)

#: How often messages are looked for, s.
LOOK_S = 0.05
#: Sound that the key s and SIGUSR1 save, and that is kept around a keyword, s.
SAVED_S, CLIP_S, CLIP_AFTER_S = 30.0, 3.0, 0.5
_KEYS = "b: uncleaned/cleaned   s: save the last 30 s   r: record/stop   q: quit"


@click.command()
@click.option("--input", "input_name", help="Input device by name; default: the system's.")
@click.option("--output", "output_name", help="Output device by name; default: the system's.")
@click.option(
    "--direction",
    type=click.Choice(["in", "out"]),
    default="in",
    help="in: clean the microphone. out: clean what you hear; other programs play into the "
    "loudspeaker that appears (Linux), or into the loopback device given as --input.",
)
@click.option(
    "--virtual-mic/--no-virtual-mic",
    default=False,
    help="Play into a microphone that other programs can choose (Linux).",
)
@click.option("--samplerate", type=float, help="Hz; default: the input device's.")
@click.option("--block-ms", type=click.FloatRange(1, 200), default=10.0, help="Block length.")
@click.option("--seconds", type=float, help="Stop after this long; default: Ctrl-C.")
@SENSITIVITY
@click.option("--spot/--no-spot", default=True, help="Listen for keywords.")
@click.option("--record", type=FILES, help="Record the cleaned sound to this new file.")
@click.option("--record-raw", type=FILES, help="Record the sound as it came to this new file.")
@click.option("--record-both", type=FILES, help="Record both, as it came left, cleaned right.")
@click.option(
    "--folder", type=FILES, default=Path(), help="Where recordings made by a key and clips go."
)
@click.option(
    "--clips/--no-clips", default=False, help="Save 3 s of cleaned sound around each keyword."
)
@click.option(
    "--feedback-guard/--no-feedback-guard",
    default=True,
    help="Turn the output down when it howls into the microphone.",
)
@click.option("--events", type=FILES, help="Add each keyword to this file as a line of JSON.")
@click.option(
    "--run",
    "commands",
    multiple=True,
    metavar="[WORD=]COMMAND",
    help="Start a program for every keyword, or for one: stop='playerctl pause'. Its "
    "arguments are not read by a shell; RESONANCE_KEYWORD, RESONANCE_SCORE and "
    "RESONANCE_TIME_S are in its environment. May be given several times.",
)
@click.option(
    "--websocket",
    metavar="[HOST:]PORT",
    help="Serve keywords as JSON; on this machine only, unless HOST says otherwise.",
)
@click.option(
    "--token",
    envvar="RESONANCE_TOKEN",
    help="What clients of --websocket must know; default: a new one, printed.",
)
@click.option("--osc", metavar="[HOST:]PORT", help="Send keywords by Open Sound Control (UDP).")
@click.option(
    "--mqtt", metavar="URL", help="Publish keywords: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC]."
)
@PRESET
@LIMIT
@JSON
@click.pass_context
def live(
    ctx: click.Context,
    input_name: str | None,
    output_name: str | None,
    direction: str,
    virtual_mic: bool,
    samplerate: float | None,
    block_ms: float,
    seconds: float | None,
    rates: tuple[tuple[str, float], ...],
    spot: bool,
    preset: str,
    limit_db: float | None,
    record: Path | None,
    record_raw: Path | None,
    record_both: Path | None,
    folder: Path,
    clips: bool,
    feedback_guard: bool,
    events: Path | None,
    commands: tuple[str, ...],
    websocket: str | None,
    token: str | None,
    osc: str | None,
    mqtt: str | None,
    as_json: bool,
) -> None:
    """Clean the microphone into the loudspeaker, and say which keywords are heard.

    Terminals show levels and take single keys: b, s, r, q. SIGUSR1 saves the last 30 s, too.
    """
    from resonance.app.enrolment import load_all
    from resonance.app.live.process import EngineProcess
    from resonance.app.live.settings import EngineSettings
    from resonance.app.sessions import SpotterModel

    spotter = SpotterModel() if spot else None
    custom = load_all(spotter) if spotter else []
    wanted = sensitivity(rates)
    if spotter:
        wanted.thresholds(spotter, custom)
    words = [*spotter.words, *(word.word for word in custom)] if spotter else []
    settings = EngineSettings(
        input_name=input_name,
        output_name=output_name,
        direction=direction,
        virtual_mic=virtual_mic,
        samplerate=samplerate,
        block_s=block_ms / 1000,
        preset=preset,
        limit_db=limit_db,
        spot=spot,
        sensitivity=wanted,
        custom=tuple(custom),
        feedback_guard=feedback_guard,
        rest_unheard=True,
    )
    presets = _device_presets(ctx)
    with ExitStack() as running:
        workers = _actions(
            words, token, events=events, commands=commands, websocket=websocket, osc=osc, mqtt=mqtt
        )
        for worker in workers:
            running.callback(worker.close)
        engine = EngineProcess(settings)
        running.callback(engine.close)
        session = Session(engine, workers, folder, presets, as_json=as_json, clips=clips)
        running.callback(session.close)
        session.begin()
        for what, path in (("clean", record), ("raw", record_raw), ("both", record_both)):
            if path:
                session.record(path, what)
        session.watch(seconds)
    session.summarise()


class Session:
    """One run of the command: passes on what the engine tells, and does what keys ask for.

    Parameters
    ----------
    engine
        Not yet started.
    workers
        Actions that get every keyword.
    folder
        Where files go that were not named.
    presets
        Settings for the engine by the name of the input device.
    """

    def __init__(
        self,
        engine: Any,
        workers: Sequence[Any],
        folder: Path,
        presets: dict[str, dict[str, Any]],
        *,
        as_json: bool,
        clips: bool,
    ) -> None:
        from resonance.app.live.terminal import LiveView

        self.engine, self.workers, self.folder = engine, workers, folder
        self.presets, self.as_json, self.clips = presets, as_json, clips
        self.restarts = 0
        self._view = LiveView(engine, _KEYS if sys.stdin and sys.stdin.isatty() else "")
        self._recorders: list[Any] = []
        self._by_key: Any = None
        self._due: list[tuple[float, Path]] = []
        self._save_wanted = False
        self._ended = False
        self._counters: dict[str, int] = {}
        self._load = 0.0
        self._usual = {
            name: getattr(engine.settings, name) for preset in presets.values() for name in preset
        }

    def begin(self) -> None:
        """Start the engine and wait until it listens.

        Raises
        ------
        UserError
            If there is no device, or a setting makes no sense.
        """
        from resonance.app.live import settings as words

        self.engine.start()
        with err.status("loading models and opening devices"):
            while self.engine.state != words.LISTENING:
                for message in self.engine.messages():
                    if message.facts.get("state") in (words.NO_DEVICE, words.STOPPED):
                        raise UserError(message.text)
                    self._told(message)
                time.sleep(LOOK_S)
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self._save_wanted = True

    def record(self, path: Path, what: str) -> Any:
        """Record to a new file until :meth:`close`."""
        from resonance.app.live.recorder import Recorder

        recorder = Recorder(self.engine, path, what, warn)
        self._recorders.append(recorder)
        self._rest_unless_recording()
        return recorder

    def watch(self, seconds: float | None) -> None:
        """Pass everything on until time is up, q or Ctrl-C."""
        from rich.live import Live

        from resonance.app.live.keys import pressed_keys

        view = None if self.as_json or not err.is_terminal else self._view
        begin = time.monotonic()
        screen = Live(view, console=err, transient=True) if view else nullcontext()
        with suppress(KeyboardInterrupt), pressed_keys() as pressed, screen:
            while not self._ended and (seconds is None or time.monotonic() - begin < seconds):
                time.sleep(LOOK_S)
                for message in self.engine.messages():
                    self._told(message)
                for key in pressed():
                    self._press(key)
                self._save_what_is_due()

    def _press(self, key: str) -> None:
        if key == "q":
            self._ended = True
        elif key == "b":
            self.engine.change(bypass=not self.engine.settings.bypass)
            err.print("uncleaned" if self.engine.settings.bypass else "cleaned")
        elif key == "s":
            self._save_wanted = True
        elif key == "r":
            self._record_by_key()

    def _record_by_key(self) -> None:
        with _complaining():
            if self._by_key is None:
                self._by_key = self.record(self._new_name("recording"), "clean")
                err.print(f"recording to {self._by_key.path}", markup=False)
            else:
                self._by_key.close()
                self._recorders.remove(self._by_key)
                self._rest_unless_recording()
                err.print(f"recorded {self._by_key.path}", markup=False)
                self._by_key = None

    def _rest_unless_recording(self) -> None:
        """A recording wants cleaned sound, also while no program listens."""
        self.engine.change(rest_unheard=not self._recorders)

    def _new_name(self, what: str) -> Path:
        stamp = time.strftime("%Y-%m-%d %H.%M.%S")
        names = (f"{stamp} {what}{end}.flac" for end in ("", *(f" {n}" for n in range(2, 1000))))
        return next(self.folder / n for n in names if not (self.folder / n).exists())

    def _save_what_is_due(self) -> None:
        if self._save_wanted:
            self._save_wanted = False
            self._save(self._new_name("last 30 s"), SAVED_S)
        while self._due and time.monotonic() >= self._due[0][0]:
            self._save(self._due.pop(0)[1], CLIP_S)

    def _save(self, path: Path, seconds: float) -> None:
        from resonance.app.live.recorder import save_last

        with _complaining():
            length = save_last(self.engine.board, path, seconds)
            self._print(
                {"saved": str(path), "seconds": round(length, 2)}, f"saved {length:.1f} s to {path}"
            )

    def _told(self, message: Any) -> None:
        from resonance.app.live import settings as words

        facts = dict(message.facts)
        if message.kind == words.KEYWORD:
            self._heard(facts)
        elif message.kind == words.STATE:
            self.restarts += bool(facts.get("died"))
            if facts["state"] == words.LISTENING:
                self._view.facts = facts
                self._apply_preset(facts["input"])
            self._print({**facts, "text": message.text}, _sentence(message.text, facts))
            if facts.get("failed"):
                raise UserError(message.text)
            self._ended |= facts["state"] == words.STOPPED
        else:
            self._print({message.kind: message.text}, "")
            if not self.as_json:
                warn(message.text)

    def _heard(self, facts: dict[str, Any]) -> None:
        from resonance.app.spotter import KeywordEvent

        event = KeywordEvent(**facts)
        for worker in self.workers:
            worker.put(event)
        if self.clips:
            at = time.monotonic() + CLIP_AFTER_S
            self._due.append((at, self._new_name(f"keyword {event.keyword}")))
        if self.as_json:
            click.echo(json.dumps(facts))
            sys.stdout.flush()
            return
        # Above the levels, if both go to the same terminal.
        page = err if out.is_terminal and err.is_terminal else out
        page.print(f"{event.time_s:8.2f} s  {event.keyword} ({event.score:.2f})", markup=False)

    def _apply_preset(self, device: str) -> None:
        wanted = {**self._usual, **self.presets.get(device, {})}
        now = self.engine.settings
        changes = {name: value for name, value in wanted.items() if getattr(now, name) != value}
        if changes:
            with _complaining():
                self.engine.change(**changes)

    def _print(self, facts: dict[str, Any], text: str) -> None:
        """Something that happened: for scripts, or for people."""
        if self.as_json:
            click.echo(json.dumps(facts))
            sys.stdout.flush()
        elif text:
            err.print(text, markup=False)

    def close(self) -> None:
        """End recordings; remember the totals, which go with the engine."""
        from resonance.app.live.terminal import load

        for recorder in self._recorders:
            recorder.close()
        if self.engine.board:
            rows = self.engine.board.blocks.since()
            self._counters = self.engine.board.counters()
            self._load = load(rows) if len(rows) else 0.0

    def summarise(self) -> None:
        """Say how it went."""
        from resonance.app.live.terminal import lost_blocks

        if not self._counters:
            return
        lost = lost_blocks(self._counters)
        summary = {
            **self._counters,
            "lost_blocks": lost,
            "restarts": self.restarts,
            "load": round(self._load, 4),
        }
        self._print(
            {"summary": summary},
            f"{summary['blocks']} blocks, {lost} lost by the device, {summary['late_blocks']} "
            f"late, {summary['dry_blocks']} uncleaned, load {100 * self._load:.1f} % of a core",
        )


def _sentence(text: str, facts: dict[str, Any]) -> str:
    """A state for people, with the delays and virtual devices where there are some."""
    if "device_latency_s" not in facts:
        return text
    delays = [f"{1000 * s:.0f}" for s in facts["device_latency_s"]]
    own = 1000 * facts["latency_samples"] / facts["samplerate"]
    between = f", between their clocks {1000 * facts['bridge_s']:.0f} ms" * bool(facts["bridge_s"])
    lines = [
        f"{text} at {facts['samplerate']:g} Hz; devices {' + '.join(delays)} ms{between}, "
        f"pipeline {own:g} ms. Ctrl-C stops."
    ]
    if facts["virtual_mic"]:
        lines.append(f"other programs can choose the microphone {facts['virtual_mic']!r}")
    if facts["virtual_speaker"]:
        lines.append(f"let other programs play into {facts['virtual_speaker']!r}")
    return "\n".join(lines)


@contextmanager
def _complaining() -> Iterator[None]:
    """Errors become warnings: what runs goes on."""
    try:
        yield
    except UserError as error:
        warn(str(error))


def _device_presets(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """Engine settings by device from the file of settings; the command line goes before them."""
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    given = {
        name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    presets = {}
    for device, content in config.devices(root).items():
        wanted = {name: value for name, value in content.items() if name not in given}
        if "block_ms" in wanted:
            wanted["block_s"] = wanted.pop("block_ms") / 1000
        presets[device] = wanted
    return presets


def _actions(words: Sequence[str], token: str | None, **asked: Any) -> list[Any]:
    """Workers for the actions asked for; says where clients find the WebSocket."""
    from resonance.app.actions import WebSocket, makers, start_all

    if any(asked.values()) and not words:
        raise click.UsageError("--no-spot hears no keywords: leave it out, or the actions")
    token = token or secrets.token_urlsafe(16)
    workers = start_all(makers(words, token=token, **asked), warn)
    for worker in workers:
        if isinstance(worker.action, WebSocket):
            err.print(f"{worker.action.name}/?token={token}", markup=False)
    return workers
