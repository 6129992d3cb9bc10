"""A WebSocket server for keywords."""

from __future__ import annotations

import hmac
import json
import logging
import os
import queue
import socket
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from resonance.app.actions.action import CLOSE_S, WAITING, ActionKind
from resonance.app.actions.addresses import address
from resonance.app.errors import UserError
from resonance.app.spotter import KeywordEvent

#: Clients, and connections that have not yet shown the token; how long those may take, s.
MOST_CLIENTS, MOST_WAITING, OPEN_S = 64, 16, 5.0


class WebSocket:
    """A server that sends every event as JSON to whoever is connected and knows the token.

    Parameters
    ----------
    host, port
        Where to listen; port 0: any free one.
    token
        Clients send it as ``Authorization: Bearer TOKEN`` or ``?token=TOKEN``.
    """

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

    def release(self) -> None:
        """Give the port back; clients are still served."""
        self._server.socket.close()

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


#: Its row in the registry.
KIND = ActionKind(
    "websocket",
    lambda text, known: partial(WebSocket, *address(text), known.token),
    "Serve keywords as JSON; on this machine only, unless HOST says otherwise.",
    "[HOST:]PORT",
    title="WebSocket",
    hint="8765",
    needs_token=True,
)
