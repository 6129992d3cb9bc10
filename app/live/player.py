"""A file played through the pipeline, shown and played like live sound.

It has what an engine has: a board, a state and messages, so that whoever shows an engine shows
this. The sound comes from a thread; without a loudspeaker it passes in silence, at its own pace.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from resonance.app.errors import AudioFileError, UserError
from resonance.app.live.board import Board
from resonance.app.live.loudspeaker import Loudspeaker
from resonance.app.live.messages import (
    Connection,
    Keyword,
    Message,
    Note,
    State,
    StateChange,
    waiting,
)
from resonance.app.live.processor import Processor, board_facts
from resonance.app.live.settings import EngineSettings, changed
from resonance.app.pipeline import Pipeline
from resonance.app.pipeline_factory import PipelineFactory
from resonance.app.soundfiles.reader import open_sound
from resonance.app.spotter import KeywordEvent
from resonance.dsp.arrays import Float32Array

#: Block that is processed and played at a time, s.
BLOCK_S = 0.02
#: Sound processed before the place that was sought, s, so that the oscillators are in swing there.
RUN_UP_S = 1.0
#: Longest file that can be played, s; longer ones can still be cleaned.
LONGEST_S = 3600.0


class Player:
    """Sound that is made or read here, block by block, through the pipeline into a loudspeaker.

    Parameters
    ----------
    name
        What people call it.
    samplerate
        Hz.
    settings
        Preset, limit, bypass, keywords and the output device; the rest is of no matter here.
    """

    def __init__(self, name: str, samplerate: int, settings: EngineSettings) -> None:
        self.name, self.samplerate, self.settings = name, samplerate, settings
        self.board: Board | None = None
        self.state = State.LOADING
        self.paused = False
        self._factory = PipelineFactory()
        self.latency_samples = 0  #: that the preset looks ahead
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._changes: set[str] = set()
        self._ended, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"player {name}", daemon=True)

    @property
    def at_end(self) -> bool:
        """Whether all of it was played."""
        return False

    @property
    def phase(self) -> str:
        """``"playing"``, ``"paused"`` or ``"ended"``."""
        if self.at_end:
            return "ended"
        return "paused" if self.paused else "playing"

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def change(self, **changes: Any) -> None:
        """Other settings from now on; see :meth:`~app.live.engine.Engine.change`."""
        self.settings = changed(self.settings, changes)
        self._changes |= changes.keys()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        self.paused = paused
        self._wake.set()

    def messages(self) -> list[Message]:
        """Messages since the last call."""
        return waiting(self._messages)

    def close(self) -> None:
        """End it and wait for that."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # What kinds of players differ in.

    def _prepare(self) -> None:
        """What takes a while, before anything is played."""

    def _take_block(self, count: int) -> Float32Array:
        """The next ``count`` samples."""
        raise NotImplementedError

    def _before(self, count: int) -> Float32Array:
        """At most ``count`` samples before the next block, for the oscillators to swing in on."""
        raise NotImplementedError

    def _move(self) -> None:
        """Go to another place, if one was sought."""

    # The player's own thread.

    def _run(self) -> None:
        try:
            self._prepare()
            self._processor = self._make_processor()
            self._say_listening()
            while not self._ended.is_set():
                with Loudspeaker(self.samplerate, self.settings.output_name) as loudspeaker:
                    self._play_into(loudspeaker)
        except UserError as error:
            self._say(StateChange(State.STOPPED, str(error), failed=True))

    def _play_into(self, loudspeaker: Loudspeaker) -> None:
        """Until it ends or another loudspeaker is wanted."""
        while not self._ended.is_set() and loudspeaker.name == self.settings.output_name:
            if loudspeaker.complaint:
                self._messages.put(Note(loudspeaker.complaint))
                loudspeaker.complaint = ""
            self._step(loudspeaker)

    def _step(self, loudspeaker: Loudspeaker) -> None:
        if self._changes:
            self._apply_changes()
        self._move()
        if self.paused or self.at_end:
            self._wake.wait(0.05)
            self._wake.clear()
            return
        block = self._take_block(max(1, round(BLOCK_S * self.samplerate)))
        out = np.empty_like(block)
        self._processor.process(block, out)
        self._pass_on()
        loudspeaker.play(out)

    def _begin_anew(self) -> None:
        """Fade over to oscillators that have swung in on what precedes the next block."""
        pipeline = self._make_pipeline()
        pipeline.run_up(self._before(round(RUN_UP_S * self.samplerate)))
        self._processor.exchange(pipeline)

    def _apply_changes(self) -> None:
        changed, self._changes = self._changes, set()
        if changed & {"preset", "spot", "sensitivity", "custom"}:
            assert self.board
            if board_facts(self._make_pipeline(), self.settings.kept_s) != self.board.facts:
                self._processor = self._make_processor()
            self._begin_anew()
            self._say_listening()
        self._processor.adjust(self.settings.limit_db, self.settings.bypass)

    def _make_processor(self) -> Processor:
        pipeline = self._make_pipeline()
        facts = board_facts(pipeline, self.settings.kept_s)
        if self.board is None or self.board.facts != facts:
            self.board = Board(facts)
        return Processor(pipeline, self.board, clock=_no_time)

    def _make_pipeline(self) -> _Pipeline:
        pipeline = self._factory.make_live(self.samplerate, self.settings, kind=_Pipeline)
        self.latency_samples = pipeline.latency_samples
        return pipeline

    def _pass_on(self) -> None:
        processor = self._processor
        while processor.events:
            self._messages.put(Keyword(processor.events.popleft()))

    def _say_listening(self) -> None:
        name, wanted = self.name, self.settings.output_name or ""
        connection = Connection(name, wanted, self.samplerate, latency_samples=self.latency_samples)
        self._say(StateChange(State.LISTENING, f"playing {name}", connection=connection))

    def _say(self, change: StateChange) -> None:
        self.state = change.state
        self._messages.put(change)


class FilePlayer(Player):
    """Plays one file; several channels are mixed to one.

    Parameters
    ----------
    path
        What to play.
    settings
        As of :class:`Player`.

    Raises
    ------
    UserError
        If the file is no sound or too long. What is damaged further in is reported later.
    """

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        self.length, samplerate = _look(path)  #: samples
        super().__init__(path.name, samplerate, settings)
        self.path = path
        self.sound = np.zeros(0, np.float32)  #: read in the player's thread
        self._place = 0  #: sample that is processed next
        self._sought: int | None = None
        self._seeking = threading.Lock()

    @property
    def length_s(self) -> float:
        """Of the file."""
        return self.length / self.samplerate

    @property
    def place_s(self) -> float:
        """Where in the file it is."""
        sought = self._sought
        return (self._place if sought is None else sought) / self.samplerate

    @property
    def at_end(self) -> bool:
        """Whether all of it was played."""
        return self._sought is None and self._place >= self.length

    def seek(self, time_s: float) -> None:
        """Go on from another place."""
        with self._seeking:
            self._sought = int(np.clip(time_s * self.samplerate, 0, self.length - 1))
        self._wake.set()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on; from the beginning if it was at its end."""
        if not paused and self.at_end:
            self.seek(0.0)
        super().pause(paused)

    def _prepare(self) -> None:
        parts = []
        with open_sound(self.path) as file:
            for block in file.blocks():
                if self._ended.is_set():
                    return
                parts.append(block.mean(axis=1))
        if not parts:
            raise AudioFileError(f"{self.path.name} holds no sound")
        self.sound = np.concatenate(parts)
        self.length = len(self.sound)

    def _take_block(self, count: int) -> Float32Array:
        """The next block, silence behind the end."""
        block = np.zeros(count, np.float32)
        part = self.sound[self._place : self._place + count]
        block[: len(part)] = part
        self._place += count
        return block

    def _before(self, count: int) -> Float32Array:
        return self.sound[max(0, self._place - count) : self._place]

    def _move(self) -> None:
        if self._sought is None:
            return
        with self._seeking:  # a place that is sought from now on is gone to next time
            self._place, self._sought = self._sought, None
        self._begin_anew()


class _Pipeline(Pipeline):
    """One whose time can begin after some input."""

    _began_s = 0.0

    def run_up(self, before: Float32Array) -> None:
        """Swing in on sound that is not played."""
        self.process(before, np.empty_like(before))
        self._began_s = len(before) / self.samplerate

    def process(self, block: Float32Array, out: Float32Array | None = None) -> list[KeywordEvent]:
        """As any; a word from before the beginning is reported at the beginning."""
        return [
            replace(event, time_s=round(max(0.0, event.time_s - self._began_s), 3))
            for event in super().process(block, out)
        ]

    def reset(self) -> None:
        """As new."""
        super().reset()
        self._began_s = 0.0


def _no_time() -> float:
    """For a file nothing is ever too late: all of it is cleaned."""
    return 0.0


def _look(path: Path) -> tuple[int, int]:
    """Samples and samplerate, as the file says."""
    with open_sound(path) as file:
        if file.frames > LONGEST_S * file.samplerate:
            raise AudioFileError(
                f"{path.name} lasts more than an hour; clean it to a file instead of playing it"
            )
        if not file.frames:
            raise AudioFileError(f"{path.name} holds no sound")
        return int(file.frames), int(file.samplerate)
