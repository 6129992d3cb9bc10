"""One window per person and screen: a second start raises the first and hands its files over."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from PyQt6.QtCore import QObject
from PyQt6.QtNetwork import QLocalServer, QLocalSocket

#: How long the first window has to answer, ms.
ANSWER_MS = 1000


def name() -> str:
    """Of the socket: another person, screen or file of settings has a window of its own."""
    from resonance.app import config

    screen = os.environ.get("WAYLAND_DISPLAY", "") + os.environ.get("DISPLAY", "")
    who = f"{getpass.getuser()} {screen} {config.path()}"
    return f"resonance-{hashlib.sha256(who.encode()).hexdigest()[:16]}"


def hand_over(paths: Sequence[Path]) -> bool:
    """Ask the first window to show itself and open these files; False if there is none."""
    socket = QLocalSocket()
    socket.connectToServer(name())
    if not socket.waitForConnected(ANSWER_MS):
        return False
    socket.write(json.dumps([str(path.absolute()) for path in paths]).encode() + b"\n")
    answered = socket.waitForReadyRead(ANSWER_MS)  # a window that hangs does not answer
    socket.disconnectFromServer()
    return bool(answered)


class Instance(QObject):
    """The first one: notified when another is started.

    Parameters
    ----------
    started
        Called with the other's files.
    """

    def __init__(self, started: Callable[[list[Path]], None]) -> None:
        super().__init__()
        self._started = started
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)
        if not self._server.listen(name()):
            QLocalServer.removeServer(name())  # left by a crash: nobody answered
            self._server.listen(name())

    def _on_connection(self) -> None:
        socket = self._server.nextPendingConnection()
        if socket:
            socket.readyRead.connect(lambda: self._on_line(socket))
            socket.disconnected.connect(socket.deleteLater)

    def _on_line(self, socket: QLocalSocket) -> None:
        if not socket.canReadLine():
            return
        with suppress(ValueError, TypeError):
            paths = [Path(path) for path in json.loads(bytes(socket.readLine().data()))]
            socket.write(b"shown\n")
            socket.flush()
            self._started(paths)

    def close(self) -> None:
        """Let another start be the first."""
        self._server.close()
