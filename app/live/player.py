"""A file played through the pipeline, seen and heard like live sound.

It has what an engine has: a board, a state and messages, so that whoever shows an engine shows
this. The sound comes from a thread; without a loudspeaker it passes in silence, at its own pace.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from app.audiofile import open_audio
from app.devices import sounddevice
from app.errors import AudioFileError, UserError
from app.live import settings as words
from app.live.board import Board
from app.live.processor import Processor, board_facts
from app.live.settings import EngineSettings, Message, changed
from app.pipeline import Pipeline
from app.sessions import DenoiserModel, Float32Array, SpotterModel

#: Block that is processed and played at a time, s.
BLOCK_S = 0.02
#: Sound that waits in the loudspeaker's buffer, s.
BUFFER_S = 0.2
#: Sound heard before the place that was sought, s, so that the oscillators are in swing there.
RUN_UP_S = 1.0
#: Longest file that can be played, s; longer ones can still be cleaned.
LONGEST_S = 3600.0
#: A rate that every loudspeaker takes, Hz.
SAFE_RATE = 48000


class FilePlayer:
    """Plays one file; several channels are mixed to one.

    Parameters
    ----------
    path
        What to play.
    settings
        Preset, limit, bypass and keywords; devices and the rest are of no matter here.

    Raises
    ------
    UserError
        If the file cannot be read or is too long.
    """

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        self.path, self.settings = path, settings
        self.board: Board | None = None
        self.state = words.LOADING
        self.sound, self.samplerate = _read(path)
        self.paused = False
        self._models: dict[str, DenoiserModel] = {}
        self._spotter: SpotterModel | None = None
        self.latency_samples = 0  #: that the preset looks ahead
        self._place = 0  #: sample that is processed next
        self._sought: int | None = None
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._changes: set[str] = set()
        self._ended, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"player {path.name}", daemon=True)

    @property
    def length_s(self) -> float:
        """Of the file."""
        return len(self.sound) / self.samplerate

    @property
    def place_s(self) -> float:
        """Where in the file it is."""
        return (self._place if self._sought is None else self._sought) / self.samplerate

    @property
    def at_end(self) -> bool:
        """Whether all of it was played."""
        return self._sought is None and self._place >= len(self.sound)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def change(self, **changes: Any) -> None:
        """Other settings from now on; see :meth:`~app.live.engine.Engine.change`."""
        self.settings = changed(self.settings, changes)
        self._changes |= changes.keys()

    def seek(self, time_s: float) -> None:
        """Go on from another place."""
        self._sought = int(np.clip(time_s * self.samplerate, 0, len(self.sound) - 1))
        self._wake.set()

    def pause(self, paused: bool) -> None:
        """Stand still, or go on; from the beginning if it was at its end."""
        if not paused and self.at_end:
            self.seek(0.0)
        self.paused = paused
        self._wake.set()

    def messages(self) -> list[Message]:
        """What was told since the last call."""
        found = []
        while not self._messages.empty():
            found.append(self._messages.get())
        return found

    def close(self) -> None:
        """End it and wait for that."""
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    # The player's own thread.

    def _run(self) -> None:
        try:
            self._processor = self._make_processor()
            with _Loudspeaker(self.samplerate) as loudspeaker:
                if loudspeaker.complaint:
                    self._tell(words.NOTE, loudspeaker.complaint)
                self._say_listening()
                while not self._ended.is_set():
                    self._step(loudspeaker)
        except UserError as error:
            self._say(words.STOPPED, str(error), failed=True)

    def _step(self, loudspeaker: _Loudspeaker) -> None:
        if self._changes:
            self._apply_changes()
        if self._sought is not None:
            self._go_to(self._sought)
            self._sought = None
        if self.paused or self.at_end:
            self._wake.wait(0.05)
            self._wake.clear()
            return
        heard = self._take_block()
        played = np.empty_like(heard)
        self._processor.process(heard, played)
        self._pass_on()
        loudspeaker.play(played)

    def _take_block(self) -> Float32Array:
        """The next block, silence behind the end."""
        count = max(1, round(BLOCK_S * self.samplerate))
        block = np.zeros(count, np.float32)
        part = self.sound[self._place : self._place + count]
        block[: len(part)] = part
        self._place += count
        return block

    def _go_to(self, sample: int) -> None:
        """Fade over to oscillators that have swung in on what stands before the place."""
        pipeline = self._make_pipeline()
        before = self.sound[max(0, sample - round(RUN_UP_S * self.samplerate)) : sample]
        if len(before):
            pipeline.process(before, np.empty_like(before))
        self._processor.exchange(pipeline)
        self._place = sample

    def _apply_changes(self) -> None:
        changed, self._changes = self._changes, set()
        if changed & {"preset", "spot", "sensitivity", "custom"}:
            assert self.board
            if board_facts(self._make_pipeline(), self.settings.kept_s) != self.board.facts:
                self._processor = self._make_processor()
            self._go_to(min(self._place, len(self.sound)))
            self._say_listening()
        self._processor.pipeline.limit_db = self.settings.limit_db
        self._processor.pipeline.bypass = self.settings.bypass

    def _make_processor(self) -> Processor:
        pipeline = self._make_pipeline()
        facts = board_facts(pipeline, self.settings.kept_s)
        if self.board is None or self.board.facts != facts:
            self.board = Board(facts)
        return Processor(pipeline, self.board, clock=_no_time)

    def _make_pipeline(self) -> Pipeline:
        wanted = self.settings
        if wanted.preset not in self._models:
            self._models[wanted.preset] = DenoiserModel.preset(wanted.preset)
        if wanted.spot and self._spotter is None:
            self._spotter = SpotterModel()
        pipeline = Pipeline(
            self.samplerate, denoiser=self._models[wanted.preset],
            spotter=self._spotter if wanted.spot else None, limit_db=wanted.limit_db,
            sensitivity=wanted.sensitivity, custom=wanted.custom if wanted.spot else (),
        )  # fmt: skip
        pipeline.bypass = wanted.bypass
        self.latency_samples = pipeline.latency_samples
        return pipeline

    def _pass_on(self) -> None:
        processor = self._processor
        while processor.events:
            event = processor.events.popleft()
            self._tell(
                words.KEYWORD, f"{event.keyword} ({event.score:.2f})",
                time_s=event.time_s, keyword=event.keyword, score=event.score,
            )  # fmt: skip

    def _say_listening(self) -> None:
        self._say(
            words.LISTENING, f"playing {self.path.name}", input=self.path.name,
            samplerate=self.samplerate, latency_samples=self.latency_samples,
        )  # fmt: skip

    def _say(self, state: str, text: str, **facts: Any) -> None:
        self.state = state
        self._tell(words.STATE, text, state=state, **facts)

    def _tell(self, kind: str, text: str, **facts: Any) -> None:
        self._messages.put(Message(kind, text, facts))


def _no_time() -> float:
    """For a file nothing is ever too late: all of it is cleaned."""
    return 0.0


class _Loudspeaker:
    """Plays blocks and makes whoever brings them wait; silently, if there is no device."""

    def __init__(self, samplerate: int) -> None:
        self.complaint = ""
        self._samplerate = samplerate
        self._stream: Any = None
        self._resample: soxr.ResampleStream | None = None
        self._due = time.monotonic()

    def __enter__(self) -> _Loudspeaker:
        try:
            sd = sounddevice()
            try:
                self._stream = self._open(sd, self._samplerate)
            except sd.PortAudioError:
                self._stream = self._open(sd, SAFE_RATE)
                self._resample = soxr.ResampleStream(
                    self._samplerate, SAFE_RATE, 1, dtype="float32"
                )
        except Exception as error:  # PortAudio's, or ours about PortAudio
            self.complaint = f"no loudspeaker, so it plays in silence ({error})"
        return self

    @staticmethod
    def _open(sd: Any, samplerate: int) -> Any:
        stream = sd.OutputStream(samplerate, channels=1, dtype="float32", latency=BUFFER_S)
        stream.start()
        return stream

    def play(self, block: Float32Array) -> None:
        """Play; returns when there is room for more."""
        if self._stream is not None:
            sound = self._resample.resample_chunk(block) if self._resample else block
            try:
                self._stream.write(np.ascontiguousarray(sound).reshape(-1, 1))
                return
            except Exception:  # the device went away
                self._stream = None
        now = time.monotonic()
        self._due = max(self._due, now - BUFFER_S) + len(block) / self._samplerate
        time.sleep(max(0.0, self._due - now))

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            with suppress(Exception):
                self._stream.abort()
                self._stream.close()


def _read(path: Path) -> tuple[Float32Array, int]:
    with open_audio(path) as file:
        longest = round(LONGEST_S * file.samplerate)
        if file.frames > longest:
            raise AudioFileError(
                f"{path.name} lasts more than an hour; clean it to a file instead of playing it"
            )
        try:
            sound = file.read(longest, dtype="float32", always_2d=True).mean(axis=1)
        except soundfile.LibsndfileError as error:
            raise AudioFileError(f"{path.name} is damaged: {error}") from error
        if not len(sound):
            raise AudioFileError(f"{path.name} holds no sound")
        return np.ascontiguousarray(sound), int(file.samplerate)
