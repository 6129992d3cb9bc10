"""What happens when a keyword is heard: lines in a file, commands, WebSocket, OSC, MQTT.

Every action runs in one thread of its own: one that fails or hangs disturbs neither the sound nor
the others, it is told and counted.
"""

from __future__ import annotations

import hmac
import json
import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from resonance.app.errors import UserError, WrongUsage
from resonance.app.spotter import KeywordEvent

#: Events that may wait for a slow action; more are dropped and counted.
WAITING = 256
#: Commands of one action that may run at once.
COMMANDS_AT_ONCE = 8
#: How long closing waits for what is under way, s.
CLOSE_S = 2.0


class Action(Protocol):
    """Something done for every event; may raise OSError, ValueError or RuntimeError."""

    name: str

    def __call__(self, event: KeywordEvent) -> None:
        """Do it."""

    def close(self) -> None:
        """Let go of files, sockets and processes."""


class Worker:
    """Runs one action for every event, in order, in a thread.

    Parameters
    ----------
    action
        What to do.
    tell
        Called with a sentence when the action starts to fail, and when it works again.
    """

    def __init__(self, action: Action, tell: Callable[[str], None]) -> None:
        self.action, self.tell = action, tell
        self.failed = self.dropped = 0
        self._works = True
        self._events: queue.Queue[KeywordEvent | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name=f"action {action.name}", daemon=True)
        self._thread.start()

    @property
    def exclusive(self) -> bool:
        """Whether the action must let go of something before another one like it can begin."""
        return bool(getattr(self.action, "exclusive", False))

    def put(self, event: KeywordEvent) -> None:
        """Hand over an event, if the action is for its word; never waits."""
        if getattr(self.action, "word", None) not in (None, event.keyword):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            if not self.dropped:
                self.tell(f"{self.action.name} hangs: keywords are left out for it")
            self.dropped += 1

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self.action(event)
            except Exception as error:  # whatever an action raises, the next event gets its chance
                self.failed += 1
                if self._works:
                    self.tell(f"{self.action.name} failed: {error}")
                self._works = False
            else:
                if not self._works:
                    self.tell(f"{self.action.name} works again")
                self._works = True
        self.action.close()

    def close(self) -> None:
        """Finish what was handed over, but wait no longer than CLOSE_S."""
        try:
            self._events.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)


class JsonLines:
    """One JSON object per event at the end of a file."""

    def __init__(self, path: Path) -> None:
        self.name = f"events file {path}"
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write events to {path}: {error.strerror}") from error

    def __call__(self, event: KeywordEvent) -> None:
        """Write and flush a line."""
        self._file.write(json.dumps(event.facts()) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Command:
    """A program started for a word, or for every word; no shell reads its arguments.

    The event is in its environment: RESONANCE_KEYWORD, RESONANCE_SCORE, RESONANCE_TIME_S,
    RESONANCE_WALL_TIME.
    """

    def __init__(self, command: str, word: str | None = None) -> None:
        self.name, self.word = f"command {command!r}", word
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise WrongUsage(f"{self.name} cannot be split into arguments: {error}") from error
        if not self._arguments:
            raise WrongUsage("the command to run is empty")
        if not shutil.which(self._arguments[0]):
            raise WrongUsage(f"{self.name}: there is no program {self._arguments[0]!r}")
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, event: KeywordEvent) -> None:
        """Start it; not waited for."""
        failed = [p for p in self._running if p.poll() not in (None, 0)]
        self._running = [p for p in self._running if p.poll() is None]
        if len(self._running) >= COMMANDS_AT_ONCE:
            raise RuntimeError(f"{COMMANDS_AT_ONCE} of them still run; this event was left out")
        facts = {f"RESONANCE_{name.upper()}": str(value) for name, value in event.facts().items()}
        self._running.append(
            subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | facts,
            )
        )
        if failed:
            raise RuntimeError(f"ended with exit code {failed[-1].returncode}")

    def close(self) -> None:
        """Wait a moment for what runs, then leave it alone."""
        for program in self._running:
            with suppress(subprocess.TimeoutExpired):
                program.wait(CLOSE_S / COMMANDS_AT_ONCE)


class WebSocket:
    """A server that sends every event as JSON to whoever is connected and knows the token.

    Parameters
    ----------
    host, port
        Where to listen; port 0: any free one.
    token
        Clients send it as ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``.
    """

    exclusive = True  #: nobody else can have its port

    def __init__(self, host: str, port: int, token: str) -> None:
        from websockets.sync.server import serve

        self._token, self._clients = token, set[Any]()
        self._lock = threading.Lock()
        try:
            self._server = serve(
                self._serve, host, port, process_request=self._check, max_size=1024
            )
        except OSError as error:
            raise UserError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self.port: int = self._server.socket.getsockname()[1]
        self.name = f"WebSocket ws://{host}:{self.port}"
        self.address = f"{self.name}/?token={token}"  #: where clients go
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _check(self, connection: Any, request: Any) -> Any:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        query = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        if any(hmac.compare_digest(t.encode(), self._token.encode()) for t in (given, query)):
            return None
        return connection.respond(401, "the token is missing or wrong\n")

    def _serve(self, connection: Any) -> None:
        with self._lock:
            self._clients.add(connection)
        try:
            for _ in connection:  # nothing is expected from clients; this waits for their end
                pass
        finally:
            with self._lock:
                self._clients.discard(connection)

    def __call__(self, event: KeywordEvent) -> None:
        """Send it to everybody."""
        from websockets.exceptions import ConnectionClosed

        with self._lock:
            clients = list(self._clients)
        for connection in clients:
            try:
                connection.send(json.dumps(event.facts()))
            except ConnectionClosed:
                continue

    def close(self) -> None:
        """Say goodbye to everybody."""
        self._server.shutdown()
        with self._lock:
            clients = list(self._clients)
        for connection in clients:
            connection.close()


class Osc:
    """An Open Sound Control message, ``/resonance/keyword word score time_s``, over UDP."""

    ADDRESS = "/resonance/keyword"

    def __init__(self, host: str, port: int) -> None:
        from pythonosc.udp_client import SimpleUDPClient

        self.name = f"OSC {host}:{port}"
        try:
            self._client = SimpleUDPClient(host, port)
        except OSError as error:
            raise UserError(f"cannot send OSC to {host}:{port}: {error.strerror}") from error

    def __call__(self, event: KeywordEvent) -> None:
        """Send it."""
        self._client.send_message(self.ADDRESS, [event.keyword, event.score, event.time_s])

    def close(self) -> None:
        """Close the socket."""
        self._client.close()


class Mqtt:
    """A message of JSON to a broker, under ``TOPIC/WORD``; reconnects on its own.

    Parameters
    ----------
    url
        ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC]``.
    """

    def __init__(self, url: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise WrongUsage(f"{url!r} is no broker; give mqtt://HOST[:PORT][/TOPIC]")
        secure = parts.scheme == "mqtts"
        port = parts.port or (8883 if secure else 1883)
        self.name, self._topic = f"MQTT {parts.hostname}:{port}", parts.path.strip("/")
        self._refused = ""  # why the broker does not let us in
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        if secure:
            self._client.tls_set()
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._client.connect_async(parts.hostname, port)
        self._client.loop_start()

    def __call__(self, event: KeywordEvent) -> None:
        """Publish it, once the broker is there."""
        deadline = time.monotonic() + CLOSE_S
        while not self._client.is_connected() and time.monotonic() < deadline:
            if self._refused:
                raise RuntimeError(f"the broker refuses: {self._refused}")
            time.sleep(0.02)
        if not self._client.is_connected():
            raise RuntimeError("the broker does not answer; is the address right?")
        topic = f"{self._topic or 'resonance'}/{event.keyword}"
        self._client.publish(topic, json.dumps(event.facts()), qos=1)

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self._refused = str(reason) if reason.is_failure else ""

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()


def address(text: str, default_host: str = "127.0.0.1") -> tuple[str, int]:
    """``[HOST:]PORT`` as a pair; WrongUsage if it is not one."""
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise WrongUsage(f"{text!r} is no address; give PORT or HOST:PORT, such as 127.0.0.1:8765")
    return host.strip("[]") or default_host, int(port)


def start_all(makers: Sequence[Callable[[], Action]], tell: Callable[[str], None]) -> list[Worker]:
    """A worker for each action; if one cannot be made, the others are closed again.

    Raises
    ------
    UserError
        If an action cannot be made, or the package it needs is not installed.
    """
    workers: list[Worker] = []
    try:
        for make in makers:
            workers.append(Worker(make(), tell))
    except ImportError as error:
        _close(workers)
        raise UserError(
            f"this action needs {error.name}; in the source folder: pip install '.[actions]'"
        ) from error
    except UserError:
        _close(workers)
        raise
    return workers


def _close(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.close()


def _of_a_word(text: str, words: Sequence[str]) -> tuple[str | None, str]:
    """``WORD=COMMAND`` apart; None: it is for every word."""
    word, equals, command = text.partition("=")
    if equals and word in words:
        return word, command
    if equals and re.fullmatch(r"\w+", word):  # so no program with arguments
        raise WrongUsage(f"--run {text!r}: no keyword {word!r}; there are: {', '.join(words)}")
    return None, text


def makers(
    words: Sequence[str],
    *,
    events: Path | None = None,
    commands: Sequence[str] = (),
    websocket: str | None = None,
    token: str = "",
    osc: str | None = None,
    mqtt: str | None = None,
) -> list[Callable[[], Action]]:
    """What the command line's options ask for; ``words`` may stand before a command's ``=``.

    Raises
    ------
    WrongUsage
        If there is no such word, program or address.
    """
    asked: list[Callable[[], Action]] = []
    if events:
        asked.append(partial(JsonLines, events))
    for text in commands:
        word, command = _of_a_word(text, words)
        asked.append(partial(Command, command, word))
    if websocket:
        asked.append(partial(WebSocket, *address(websocket), token))
    if osc:
        asked.append(partial(Osc, *address(osc)))
    if mqtt:
        asked.append(partial(Mqtt, mqtt))
    return asked
