"""Live sound and all that goes with it, whoever shows it: neither Qt nor click is in here.

An engine in its own process, what keywords set off, recordings, saved sound, names of files and
totals. ``resonance live`` and the window both run one and say in their own words what
:meth:`LiveSession.poll` returns.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resonance.app.actions import Action, Worker, start_all
from resonance.app.errors import UserError
from resonance.app.live.board import Board
from resonance.app.live.health import load
from resonance.app.live.messages import (
    Connection,
    Keyword,
    Message,
    State,
    StateChange,
    Warned,
)
from resonance.app.live.process import EngineProcess
from resonance.app.live.recorder import HasBoard, Recorder, save_last
from resonance.app.live.settings import EngineSettings

#: Sound that one key saves, s.
SAVED_S = 30.0
#: Sound kept around a keyword, and how much of it is after the word, s.
CLIP_S, CLIP_AFTER_S = 3.0, 0.5


@dataclass(frozen=True)
class Saved:
    """Sound of the past is in a file."""

    path: Path
    seconds: float


@dataclass(frozen=True)
class RecordingEnded:
    """A recording is over and has its name."""

    path: Path


Report = Message | Saved | RecordingEnded


class LiveSession:
    """Call :meth:`poll` a few times a second: that is when the engine is looked after.

    Parameters
    ----------
    folder
        Where files go that are not named.
    clips
        Save 3 s of cleaned sound around each keyword.
    """

    def __init__(self, folder: Path, *, clips: bool = False) -> None:
        self.folder, self.clips = folder, clips
        self.engine: EngineProcess | None = None
        self.state = State.STOPPED
        self.connection: Connection | None = None  #: the last one
        self.restarts = 0  #: of engines that died
        self.workers: list[Worker] = []
        self.recorders: list[Recorder] = []
        self._idle_when_unused = False
        self._clips_due: list[tuple[float, Path]] = []
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()  # also from other threads
        self._closing: list[threading.Thread] = []

    # The engine.

    def start(self, settings: EngineSettings) -> None:
        """Begin to listen; returns at once.

        Raises
        ------
        UserError
            If a setting makes no sense.
        """
        engine = EngineProcess(settings)
        engine.start()
        self.engine, self.state = engine, State.LOADING
        self._idle_when_unused = settings.idle_when_unused

    def stop(self) -> None:
        """Listen no longer; the engine ends in the background."""
        if self.engine:
            engine, self.engine = self.engine, None
            self._in_background(engine.close)
        self.connection, self.state = None, State.STOPPED

    def change(self, **changes: Any) -> None:
        """Other settings from now on.

        Raises
        ------
        UserError
            If one makes no sense.
        """
        if self.engine:
            self.engine.change(**changes)

    @property
    def board(self) -> Board | None:
        """Of the engine that runs."""
        return self.engine.board if self.engine else None

    def totals(self) -> dict[str, Any]:
        """Counters and load so far; empty without input."""
        if not self.board:
            return {}
        rows = self.board.blocks.since()
        share = load(rows) if len(rows) else 0.0
        return {**self.board.counters(), "restarts": self.restarts, "load": round(share, 4)}

    # Actions.

    def start_actions(self, makers: Sequence[Callable[[], Action]]) -> None:
        """Let keywords set these off, in place of what they set off before.

        Raises
        ------
        UserError
            If one of them cannot be made; then there are none.
        """
        for worker in self._let_go():
            worker.release()
            self._in_background(worker.close)
        self.workers = start_all(makers, lambda text: self._reports.put(Warned("actions", text)))

    def _let_go(self) -> list[Worker]:
        workers, self.workers = self.workers, []
        return workers

    # Recording.

    def record(self, what: str, path: Path | None = None, source: HasBoard | None = None) -> Path:
        """Record to a new file until :meth:`end_recordings`; returns its path.

        Parameters
        ----------
        what
            "clean", "raw" or "both".
        path
            None: named after the time.
        source
            Whose sound; None: the engine's.

        Returns
        -------
        Path
            Of the file.

        Raises
        ------
        UserError
            If there is no input yet, or the file cannot be made.
        """
        source = source or self.engine
        if source is None or not source.board:
            raise UserError("there is no input yet: start listening before recording")
        path = path or self.new_path("recording")
        recorder = Recorder(
            source, path, what, lambda text: self._reports.put(Warned("recording", text))
        )
        self.recorders.append(recorder)
        self._stay_awake_while_recording()
        return path

    def end_recordings(self, path: Path | None = None) -> None:
        """Write what is left, of one recording or of all."""
        for recorder in [r for r in self.recorders if path in (None, r.path)]:
            recorder.close()
            self.recorders.remove(recorder)
            self._reports.put(RecordingEnded(recorder.path))
        self._stay_awake_while_recording()

    def _stay_awake_while_recording(self) -> None:
        """A recording wants cleaned sound, also while no program listens."""
        if self.engine and self._idle_when_unused:
            self.engine.change(idle_when_unused=not self.recorders)

    def save_last(self, what: str = "clean", board: Board | None = None) -> None:
        """Save the last 30 s; :meth:`poll` reports where.

        Raises
        ------
        UserError
            If there was no input, or the disk refuses.
        """
        self._save(self.new_path("last 30 s"), SAVED_S, what, board or self.board)

    def _save(self, path: Path, seconds: float, what: str, board: Board | None) -> None:
        if board is None:
            raise UserError("there is no input yet, so there is nothing to save")
        self._reports.put(Saved(path, save_last(board, path, seconds, what)))

    def new_path(self, what: str) -> Path:
        """A name in the folder that no file has, with date and time."""
        stamp = time.strftime("%Y-%m-%d %H.%M.%S")
        ends = ("", *(f" {n}" for n in range(2, 1000)))
        paths = (self.folder / f"{stamp} {what}{end}.flac" for end in ends)
        return next(path for path in paths if not path.exists())

    # Reports.

    def poll(self) -> list[Report]:
        """What happened since the last call; does what is due."""
        for recorder in [r for r in self.recorders if r.refused]:
            self.end_recordings(recorder.path)
        self._save_clips()
        self._closing = [thread for thread in self._closing if thread.is_alive()]
        for message in self.engine.messages() if self.engine else []:
            self.receive(message)
        found: list[Report] = []
        while not self._reports.empty():
            found.append(self._reports.get())
        return found

    def receive(self, message: Message) -> None:
        """Do what a message of the engine calls for; :meth:`poll` reports it."""
        self._reports.put(message)
        if isinstance(message, Keyword):
            for worker in self.workers:
                worker.put(message.event)
            if self.clips:
                at = time.monotonic() + CLIP_AFTER_S
                self._clips_due.append((at, self.new_path(f"keyword {message.event.keyword}")))
        elif isinstance(message, StateChange):
            self.state = message.state
            self.restarts += message.died
            self.connection = message.connection or self.connection
            if message.state == State.STOPPED and self.engine:
                self.engine.close()
                self.engine = None

    def _save_clips(self) -> None:
        while self._clips_due and time.monotonic() >= self._clips_due[0][0]:
            _, path = self._clips_due.pop(0)
            try:
                self._save(path, CLIP_S, "clean", self.board)
            except UserError as error:
                self._reports.put(Warned("recording", str(error)))

    def _in_background(self, close: Callable[[], None]) -> None:
        """Closing may take a moment, for which nobody should wait."""
        thread = threading.Thread(target=close, name="closing")
        thread.start()
        self._closing.append(thread)

    def close(self) -> None:
        """End everything and wait for that."""
        self.end_recordings()
        for worker in self._let_go():
            self._in_background(worker.close)
        if self.engine:
            self.engine.close()
            self.engine = None
        for thread in self._closing:
            thread.join()
