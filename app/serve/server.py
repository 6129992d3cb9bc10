"""Both servers in one process, until a signal ends them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from resonance.app.errors import UserError
from resonance.app.serve import wyoming_protocol
from resonance.app.serve.files import Files
from resonance.app.serve.http_api import application
from resonance.app.serve.limits import PIECE_BYTES, Limits
from resonance.app.serve.models import Models
from resonance.app.serve.streams import Streams

#: How much the server gives way to live sound on the same machine (nice).
GIVES_WAY = 5
#: How long clients get to end when the server does, s.
CLOSE_S = 3

Address = tuple[str, int]


def run(
    models: Models,
    limits: Limits,
    http: Address,
    wyoming: Address,
    token: str,
    report: Callable[[Address, Address], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    http, wyoming
        Host and port of each; port 0: any free one.
    token
        What clients of HTTP must know.
    report
        Called with both addresses once clients can connect.

    Raises
    ------
    UserError
        If an address cannot be used.
    """
    if hasattr(os, "nice"):
        os.nice(GIVES_WAY)
    asyncio.run(_serve(models, limits, http, wyoming, token, report))


async def _serve(
    models: Models,
    limits: Limits,
    http: Address,
    wyoming: Address,
    token: str,
    report: Callable[[Address, Address], None],
) -> None:
    streams, files = Streams(models, limits), Files(limits)
    http_socket, wyoming_socket = _bound(http, "--http"), _bound(wyoming, "--wyoming")
    wake = await wyoming_protocol.listen(streams, wyoming_socket)
    server = _Server(_settings(application(streams, files, token), limits))
    report(http_socket.getsockname()[:2], wyoming_socket.getsockname()[:2])
    try:
        await server.serve([http_socket])
    finally:
        wake.close()
        files.close()
        streams.close()


class _Server(uvicorn.Server):
    """Ends at a signal, and lets the program go on from there; uvicorn's would raise it again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        self.force_exit = self.should_exit  # the second time
        self.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # streams end unfinished


class _Protocol(H11Protocol):
    """Hangs up on clients that begin a request and do not finish its header in time."""

    idle_s: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.idle_s, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiting = self.conn.their_state is h11.IDLE
        if self._timer and not waiting:
            self._timer.cancel()
            self._timer = None
        elif waiting and not self._timer:
            self._timer = self.loop.call_later(self.idle_s, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._timer:
            self._timer.cancel()


def _settings(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=type("Protocol", (_Protocol,), {"idle_s": limits.idle_s}),
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        ws_max_size=16 * PIECE_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # while sound waits, so do pongs; silent clients go after idle_s
        timeout_graceful_shutdown=CLOSE_S,
    )


def _bound(address: Address, option: str) -> socket.socket:
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server(address, family=family, backlog=128)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another: {option} PORT"
        ) from error
