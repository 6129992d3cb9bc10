"""The engine in a process of its own: nothing that other code does can make the sound stumble."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resonance.app.errors import StuckError, UserError
from resonance.app.live.board import Board
from resonance.app.live.messages import Message, State, StateChange
from resonance.app.live.settings import EngineSettings, changed, check

if TYPE_CHECKING:
    from resonance.app.live.engine import Engine

#: A thread waits at most this long for another one to let go of the interpreter, s.
SWITCH_S = 0.0005
#: An engine that does not look after itself for this long hangs, s; the first start takes longer.
HANGS_S, STARTS_S = 10.0, 60.0
#: Patience before a dead engine is started again, s: doubled up to the second number.
RESTART_S = 0.25, 8.0
#: How long closing may take, s.
CLOSE_S = 5.0


class EngineProcess:
    """Like :class:`Engine`, but elsewhere; started again if it dies or hangs.

    Somebody must call :meth:`messages` a few times a second: that is when it is looked after.

    Parameters
    ----------
    settings
        What to do.
    """

    def __init__(self, settings: EngineSettings) -> None:
        check(settings)
        self.settings = settings
        self.board: Board | None = None  #: replaced when its layout changes
        self.state = State.LOADING
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None
        self._patience_s = RESTART_S[0]
        self._restart_at: float | None = None
        self._begun_at = 0.0
        self._watched: Board | None = None  # of the engine that runs now
        self._beats, self._beaten_at = -1, 0.0
        self._looked_at = 0.0
        self._ended = False
        self._counters: dict[str, int] = {}  # of engines that died

    @property
    def pid(self) -> int | None:
        """Number of the engine's process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin; returns at once."""
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve,
            args=(self.settings, theirs, os.getpid(), self._counters),
            name="resonance engine",
            daemon=True,
        )
        self._process.start()
        theirs.close()
        self._begun_at = self._beaten_at = time.monotonic()
        self._watched, self._beats, self._restart_at = None, -1, None

    def change(self, **changes: Any) -> None:
        """Other settings from now on; see :meth:`Engine.change`."""
        self.settings = changed(self.settings, changes)
        if self._pipe:
            with suppress(OSError):  # a dead engine is started again with the new settings
                self._pipe.send(changes)

    def messages(self) -> list[Message]:
        """Messages since the last call; starts the engine again if it is dead."""
        found = self._received()
        if self._ended or self._process is None:
            return found
        if self._restart_at is not None:
            if time.monotonic() >= self._restart_at:
                self.start()
            return found
        if not self._process.is_alive():
            found += self._received()
            if not self._ended:
                found.append(self._died(f"the engine ended unexpectedly ({self._how()})"))
        elif self._hangs():
            self._process.kill()
            self._process.join(CLOSE_S)
            found.append(self._died("the engine did not answer"))
        return found

    def _received(self) -> list[Message]:
        found: list[Message] = []
        with suppress(EOFError, OSError):
            while self._pipe and self._pipe.poll():
                found.append(self._pipe.recv())
        for message in found:
            self._note(message)
        return found

    def _note(self, message: Message) -> None:
        if not isinstance(message, StateChange):
            return
        self.state = message.state
        self._ended = self.state == State.STOPPED
        path = message.board
        if path and (self._watched is None or str(self._watched.path) != path):
            with suppress(UserError):  # replaced already; the next message says by what
                self.board = self._watched = Board.attach(Path(path))
        if self.state == State.LISTENING and time.monotonic() - self._begun_at > RESTART_S[1]:
            self._patience_s = RESTART_S[0]

    def _hangs(self) -> bool:
        """Whether the engine has hung since before the last look."""
        now = time.monotonic()
        beats = self._watched.beats if self._watched else -1
        if beats != self._beats:
            self._beats, self._beaten_at = beats, now
        allowed_s = HANGS_S if beats >= 0 else STARTS_S
        late_s, self._looked_at = now - self._looked_at, now
        if late_s > 1.0:  # it was us who hung
            self._beaten_at = now
        return now - self._beaten_at > allowed_s

    def _how(self) -> str:
        code = self._process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def _died(self, why: str) -> Message:
        self._restart_at = time.monotonic() + self._patience_s
        self._patience_s = min(2 * self._patience_s, RESTART_S[1])
        self.state = State.RECONNECTING
        if self.board:
            self._counters = self.board.counters() if self.board.blocks.count else self._counters
            self.board.close()
        return StateChange(self.state, f"{why}; starting it again", died=True)

    def close(self) -> None:
        """End the engine and wait for that."""
        self._ended = True
        if self._process is None:
            return
        if self._pipe:
            self._pipe.close()  # that ends it
        self._process.join(CLOSE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(CLOSE_S)
        if self.board:
            self.board.close()


def _serve(
    settings: EngineSettings, pipe: Connection, owner: int, counters: dict[str, int]
) -> None:
    """What the engine's process does until the other end of the pipe is closed."""
    for name in ("SIGINT", "SIGHUP"):  # Ctrl-C and a closed terminal: the pipe's holder decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_S)
    _hush_libraries()
    telling = threading.Lock()

    def report(message: Message) -> None:
        with telling, suppress(OSError):
            pipe.send(message)

    # Here alone, so that whoever holds the other end starts sooner.
    from resonance.app.live.engine import Engine

    engine = Engine(
        settings, report=report, shared=True, owner=owner, warmed=_settle, counters=counters
    )
    signal.signal(signal.SIGTERM, lambda *_: engine.finish())
    threading.Thread(target=_obey, args=(engine, pipe), daemon=True).start()
    try:
        engine.run()
    except StuckError:
        os._exit(1)  # without waiting for threads that never end; the other side starts a new one


def _hush_libraries() -> None:
    """ALSA and PortAudio write to the terminal what the engine reports in sentences."""
    saved = os.dup(2)
    sys.stderr = os.fdopen(saved, "w", buffering=1, encoding="utf-8", errors="replace")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)


def _settle() -> None:
    """What is loaded stays; nothing is collected while sound runs; the watchdog is never starved.

    It holds the interpreter now and then, and the callbacks must not wait for it to get a core.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    from resonance.app.live.streams import raise_priority

    raise_priority()


def _obey(engine: Engine, pipe: Connection) -> None:
    while True:
        try:
            changes = pipe.recv()
        except (EOFError, OSError):
            engine.finish()
            return
        try:
            engine.change(**changes)
        except UserError:
            continue  # the other side has checked them; versions differ
