"""What happens when a keyword is heard: lines in a file, commands, WebSocket, OSC, MQTT.

Every action runs in one thread of its own: one that fails or hangs disturbs neither the sound nor
the others; failures are reported and counted.
"""

from __future__ import annotations

import errno
import hmac
import json
import logging
import os
import queue
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from resonance.app.errors import UserError, WrongUsage
from resonance.app.safe_write import open_to_append
from resonance.app.spotter import KeywordEvent

#: Events that may wait for a slow action; more are dropped and counted.
WAITING = 256
#: Commands of one action that may run at once.
COMMANDS_AT_ONCE = 8
#: How long closing waits for what is under way, s.
CLOSE_S = 2.0
#: WebSocket clients, and connections that have not yet shown the token; how long those may take.
MOST_CLIENTS, MOST_WAITING, OPEN_S = 64, 16, 5.0
#: What programs that are run are not given from the environment.
SECRETS = ("RESONANCE_TOKEN",)


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
    report
        Called with a sentence when the action starts to fail, and when it works again.
    """

    def __init__(self, action: Action, report: Callable[[str], None]) -> None:
        self.action, self.report = action, report
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
                self.report(f"{self.action.name} hangs: keywords are left out for it")
            self.dropped += 1

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self.action(event)
            except Exception as error:  # whatever an action raises, the next event gets its chance
                self.failed += 1
                if self._works:
                    self.report(f"{self.action.name} failed: {error}")
                self._works = False
            else:
                if not self._works:
                    self.report(f"{self.action.name} works again")
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
            self._file = os.fdopen(open_to_append(path), "a", encoding="utf-8")
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UserError(f"{path} is a link; name the file that it leads to") from error
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
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        self._running.append(
            subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=_standard_error(),  # on stdout there are events, for programs to read
                start_new_session=True,
                env=environment | facts,
            )
        )
        if failed:
            raise RuntimeError(f"ended with exit code {failed[-1].returncode}")

    def close(self) -> None:
        """Wait a moment for what runs, then leave it alone."""
        for program in self._running:
            with suppress(subprocess.TimeoutExpired):
                program.wait(CLOSE_S / COMMANDS_AT_ONCE)


def _standard_error() -> int:
    """Where programs that are run print."""
    try:
        return sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL
    except (OSError, ValueError):
        return subprocess.DEVNULL


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

        self._token, self._clients = token, dict[Any, queue.Queue[str]]()
        self._lock = threading.Lock()
        self._waiting = 0  # connections that have not yet shown the token
        self._shown = threading.local()
        log = logging.getLogger("resonance.websocket")
        log.addHandler(logging.NullHandler())
        log.propagate = False  # what strangers send is no matter for the user's terminal
        try:
            self._server = serve(
                self._serve,
                host,
                port,
                process_request=self._check,
                max_size=1024,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                logger=log,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot listen on {host}:{port}: {reason}") from error
        self._handle = self._server.handler
        self._server.handler = self._admit
        self.port: int = self._server.socket.getsockname()[1]
        self.name = f"WebSocket ws://{host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _admit(self, connection: socket.socket, peer: Any) -> None:
        """One connection, in its thread; strangers share a few places."""
        with self._lock:
            full = self._waiting >= MOST_WAITING or len(self._clients) >= MOST_CLIENTS
            self._waiting += not full
        if full:  # the handler finds nobody there, and ends at once
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._shown.token = full
        try:
            self._handle(connection, peer)
        finally:
            self._no_longer_waits()

    def _no_longer_waits(self) -> None:
        if not self._shown.token:
            self._shown.token = True
            with self._lock:
                self._waiting -= 1

    def _check(self, connection: Any, request: Any) -> Any:
        given = request.headers.get_all("Authorization")
        tokens = [text.removeprefix("Bearer ") for text in given]
        tokens += parse_qs(urlsplit(request.path).query).get("token", [])
        wanted = self._token.encode()
        given_bytes = [text.encode("utf-8", "surrogateescape") for text in tokens]
        if given_bytes and all(hmac.compare_digest(one, wanted) for one in given_bytes):
            return None
        return connection.respond(401, "the token is missing or wrong\n")

    def _serve(self, connection: Any) -> None:
        """Send what is put into a client's queue, until it goes or does not keep up."""
        from websockets.exceptions import ConnectionClosed

        self._no_longer_waits()
        if hasattr(socket, "SO_SNDTIMEO") and os.name == "posix":
            limit = struct.pack("ll", round(CLOSE_S), 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        events: queue.Queue[str] = queue.Queue(WAITING)
        with self._lock:
            self._clients[connection] = events
        try:
            while connection in self._clients:
                with suppress(TimeoutError):
                    while True:  # nothing is expected from clients
                        connection.recv(timeout=0)
                with suppress(queue.Empty):
                    connection.send(events.get(timeout=0.2))
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self._clients.pop(connection, None)

    def __call__(self, event: KeywordEvent) -> None:
        """Send it to everybody; who does not keep up is disconnected."""
        text = json.dumps(event.facts())
        with self._lock:
            for connection, events in list(self._clients.items()):
                try:
                    events.put_nowait(text)
                except queue.Full:
                    del self._clients[connection]

    def close(self) -> None:
        """Say goodbye to everybody."""
        deadline = time.monotonic() + CLOSE_S
        while time.monotonic() < deadline and any(not q.empty() for q in self._queues()):
            time.sleep(0.02)
        self._server.shutdown()
        with self._lock:
            self._clients.clear()

    def _queues(self) -> list[queue.Queue[str]]:
        with self._lock:
            return list(self._clients.values())


class Osc:
    """An Open Sound Control message, ``/resonance/keyword word score time_s``, over UDP."""

    ADDRESS = "/resonance/keyword"

    def __init__(self, host: str, port: int) -> None:
        from pythonosc.udp_client import SimpleUDPClient

        self.name = f"OSC {host}:{port}"
        try:
            self._client = SimpleUDPClient(host, port)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot send OSC to {host}:{port}: {reason}") from error

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

        host, port, secure, user, password, topic = broker(url)
        self.name, self._topic = f"MQTT {host}:{port}", topic
        self._refused = ""  # why the broker does not let us in
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        if secure:
            self._client.tls_set()
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect_async(host, port)
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


def broker(url: str) -> tuple[str, int, bool, str, str, str]:
    """Host, port, whether encrypted, user, password and topic of a broker.

    Raises
    ------
    WrongUsage
        If the address makes no sense. The message does not hold it: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "mqtts"
        port = parts.port or (8883 if secure else 1883)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError as error:
        raise WrongUsage("--mqtt is no address; give mqtt://HOST[:PORT][/TOPIC]") from error
    topic = unquote(parts.path.strip("/"))
    if parts.scheme not in ("mqtt", "mqtts") or not _is_host(parts.hostname or ""):
        raise WrongUsage("--mqtt is no address of a broker; give mqtt://HOST[:PORT][/TOPIC]")
    if set(topic) & set("+#\0") or len(topic.encode("utf-8", "replace")) > 1000:
        raise WrongUsage("--mqtt: a topic to publish to holds neither + nor #")
    return parts.hostname or "", port, secure, user, password, topic


def _is_host(text: str) -> bool:
    return bool(re.fullmatch(r"[\w.:%-]{1,253}", text)) and ".." not in text


def address(text: str, default_host: str = "127.0.0.1") -> tuple[str, int]:
    """``[HOST:]PORT`` as a pair; WrongUsage if it is not one."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or default_host
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535 or not _is_host(host):
        raise WrongUsage(f"{text!r} is no address; give PORT or HOST:PORT, such as 127.0.0.1:8765")
    return host, int(port)


def start_all(
    makers: Sequence[Callable[[], Action]], report: Callable[[str], None]
) -> list[Worker]:
    """A worker for each action; if one cannot be made, the others are closed again.

    Raises
    ------
    UserError
        If an action cannot be made, or the package it needs is not installed.
    """
    workers: list[Worker] = []
    try:
        for make in makers:
            workers.append(Worker(make(), report))
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


def _of_a_word(text: str, words: Sequence[str]) -> tuple[str, str | None]:
    """Command and word of ``[WORD=]COMMAND``; None: it is for every word."""
    word, equals, command = text.partition("=")
    if equals and word in words:
        return command, word
    if equals and re.fullmatch(r"\w+", word):  # so no program with arguments
        raise WrongUsage(f"--run {text!r}: no keyword {word!r}; there are: {', '.join(words)}")
    return text, None


@dataclass(frozen=True)
class Known:
    """What a kind of action may need beside its own value."""

    words: Sequence[str] = ()  #: that can be spotted
    token: str = ""  #: that clients must show


@dataclass(frozen=True)
class ActionKind:
    """A kind of action: an option of ``live``, a setting, and a field in the window."""

    name: str  #: of the option and the setting
    prepare: Callable[[str, Known], Callable[[], Action]]  #: checks the value; what it gives starts
    help: str  #: of the option
    metavar: str | None = None
    title: str = ""  #: of the field
    hint: str = ""  #: what may be typed into the field
    is_path: bool = False
    multiple: bool = (
        False  #: a list of values; the window has a list of programs in place of a field
    )
    needs_token: bool = False


#: Every kind of action, in the order of help and window.
ACTIONS = [
    ActionKind(
        "events",
        lambda path, _: partial(JsonLines, Path(path)),
        "Add each keyword to this file as a line of JSON.",
        title="Write to file",
        hint="words.jsonl",
        is_path=True,
    ),
    ActionKind(
        "run",
        lambda text, known: partial(Command, *_of_a_word(text, known.words)),
        "Start a program for every keyword, or for one: stop='playerctl pause'. Its arguments "
        "are not read by a shell; RESONANCE_KEYWORD, RESONANCE_SCORE, RESONANCE_TIME_S and "
        "RESONANCE_WALL_TIME are in its environment. May be given several times.",
        "[WORD=]COMMAND",
        multiple=True,
    ),
    ActionKind(
        "websocket",
        lambda text, known: partial(WebSocket, *address(text), known.token),
        "Serve keywords as JSON; on this machine only, unless HOST says otherwise.",
        "[HOST:]PORT",
        title="WebSocket",
        hint="8765",
        needs_token=True,
    ),
    ActionKind(
        "osc",
        lambda text, _: partial(Osc, *address(text)),
        "Send keywords by Open Sound Control (UDP).",
        "[HOST:]PORT",
        title="OSC",
        hint="9000 or HOST:9000",
    ),
    ActionKind(
        "mqtt",
        lambda url, _: partial(Mqtt, url),
        "Publish keywords: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC].",
        "URL",
        title="MQTT",
        hint="mqtt://broker/home",
    ),
]


def with_token(asked: Mapping[str, Any]) -> list[str]:
    """Names of the actions asked for whose clients must show a token."""
    return [kind.name for kind in ACTIONS if kind.needs_token and asked.get(kind.name)]


def makers(asked: Mapping[str, Any], known: Known) -> list[Callable[[], Action]]:
    """What makes the actions that are asked for.

    Parameters
    ----------
    asked
        A value, or for ``multiple`` ones a list, by name of the kind; empty ones are left out.
    known
        What their values may refer to.

    Returns
    -------
    list of callable
        One for each action; see :func:`start_all`.

    Raises
    ------
    WrongUsage
        If there is no such word, program or address.
    """
    made = []
    for kind in ACTIONS:
        value = asked.get(kind.name) or ()
        values = value if kind.multiple else [value] if value else []
        made += [kind.prepare(str(one), known) for one in values]
    return made
