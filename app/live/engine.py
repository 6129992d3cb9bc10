"""The engine: devices, pipeline and watchdog together, until it is closed.

It opens the devices and keeps them open: when they vanish, stop calling, or the sound server
ends, it opens them again with growing patience, and goes back to the devices that were asked for
as soon as they return. It reports in messages; its input and output are on its board.
"""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from resonance.app import pulse
from resonance.app.devices import Route
from resonance.app.errors import DeviceError, StuckError, UserError
from resonance.app.live.board import Board, shared_board
from resonance.app.live.engine_devices import EngineDevices, between
from resonance.app.live.engine_reports import EngineReports
from resonance.app.live.messages import Connection, Message, State
from resonance.app.live.processor import Processor, board_facts
from resonance.app.live.settings import EngineSettings, changed, check
from resonance.app.live.streams import Stream, open_stream
from resonance.app.pipeline import Pipeline
from resonance.app.pipeline_factory import PipelineFactory

#: How often the engine looks after itself, s.
TICK_S = 0.05
#: No block for this long, s, or for so many blocks, means that the devices are gone.
SILENT_S, SILENT_BLOCKS = 0.5, 20
#: The first block may take longer, s.
FIRST_BLOCK_S = 3.0
#: Patience between attempts to open devices, s: doubled up to the second number.
RETRY_S = 0.5, 4.0
#: How often garbage is collected where that does not happen by itself, s.
COLLECT_S = 10.0

_REOPEN = {
    "channel",
    "input_name",
    "output_name",
    "direction",
    "virtual_mic",
    "monitor",
    "samplerate",
    "block_ms",
}
_REBUILD = {"preset", "spot", "sensitivity", "custom"}


class Engine:
    """Live sound in this process.

    Parameters
    ----------
    settings
        What to do.
    report
        Called with every message, from the engine's own thread; None: keep them for
        :meth:`messages`.
    shared
        Put the board where other processes find it.
    owner
        Number of the process for which virtual devices exist; None: this one.
    warmed
        Called once everything is compiled and loaded, before devices are opened.
    counters
        Of an engine that died, to count on from.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        report: Callable[[Message], None] | None = None,
        shared: bool = False,
        owner: int | None = None,
        warmed: Callable[[], None] | None = None,
        counters: Mapping[str, int] | None = None,
    ) -> None:
        self.settings = settings
        self._warmed = warmed
        self.board: Board | None = None  #: replaced when its layout changes
        self._reports = EngineReports(report, counters)
        self._shared = shared
        self._devices = EngineDevices(owner, self._reports.warn)
        self._changes: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self.run, name="engine", daemon=True)
        self._factory = PipelineFactory()
        self._processor: Processor | None = None
        self._stream: Stream | None = None
        self._route: Route | None = None
        self._pipeline: Pipeline | None = None  # the newest, perhaps not yet at work
        self._retry_at = 0.0
        self._patience_s = RETRY_S[0]
        self._devices_changed = False
        self._announced = self._listened = False  # of this stream, of any
        self._applied = settings
        self._first_count = 0
        self._collect_at = 0.0

    # What others call, from any thread.

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def change(self, **changes: Any) -> None:
        """Other settings from now on, by the names in :class:`EngineSettings`.

        Raises
        ------
        UserError
            If a name or a value makes no sense.
        """
        self.settings = changed(self.settings, changes)
        self._changes.put(changes)
        self._wake.set()

    def messages(self) -> list[Message]:
        """Messages since the last call."""
        return self._reports.messages()

    @property
    def state(self) -> State:
        """As reported last."""
        return self._reports.state

    def finish(self) -> None:
        """End it, without waiting."""
        self._closing.set()
        self._wake.set()

    def close(self) -> None:
        """End it and wait for that."""
        self.finish()
        if self._thread.is_alive():
            self._thread.join()

    # The engine's own thread.

    def run(self) -> None:
        """Work until :meth:`close`; for a thread or a process that does nothing else.

        Raises
        ------
        StuckError
            If this process cannot get rid of a device, and is one of its own.
        """
        self._say(State.LOADING, "loading models and opening devices")
        watch = None
        try:
            check(self.settings)
            self._build(48000.0)  # compiles and loads what is needed, before devices are asked
            if self._warmed:
                self._warmed()
            watch = pulse.Watch(self._on_devices_changed)
            while not self._closing.is_set():
                self._tick()
                self._wake.wait(TICK_S)
                self._wake.clear()
            self._say(State.STOPPED, "stopped")
        except StuckError as error:
            if self._shared:  # whoever owns this process can start another one
                raise
            self._say(State.STOPPED, str(error), failed=True)
        except UserError as error:
            self._say(State.STOPPED, str(error), failed=True)
        except Exception as error:  # nobody else would report
            if self._shared:
                self._reports.warn("engine", f"the engine failed: {error!r}")
                raise
            self._say(State.STOPPED, f"the engine failed: {error!r}", failed=True)
        finally:
            if watch:
                watch.close()
            self._shut()

    def _on_devices_changed(self) -> None:
        self._devices_changed = True
        self._wake.set()

    def _tick(self) -> None:
        if self.board:
            self.board.beat()
        self._apply_changes()
        devices_changed, self._devices_changed = self._devices_changed, False
        if self._stream:
            reason = self._trouble()
            if reason:
                self._lose(reason)
            elif devices_changed:
                self._look_at_devices()
        if not self._stream and (devices_changed or time.monotonic() >= self._retry_at):
            self._open()
        if self._processor:
            self._reports.pass_on(self._processor)
        if not gc.isenabled() and time.monotonic() >= self._collect_at:
            gc.collect()  # a fraction of a millisecond, as what was loaded at the start is frozen
            self._collect_at = time.monotonic() + COLLECT_S

    def _apply_changes(self) -> None:
        changed: set[str] = set()
        while not self._changes.empty():
            changed |= self._changes.get().keys()
        processor = self._processor
        if not changed or not processor:
            return
        processor.guard_feedback = self._guards_feedback()
        if changed & _REBUILD:
            try:
                self._rebuild()
            except UserError as error:
                self.settings = self._applied
                self._reports.warn("settings", str(error))
        if changed & _REOPEN:
            self._close_stream()
            self._retry_at, self._patience_s = 0.0, RETRY_S[0]
        self._applied = self.settings
        processor.adjust(self.settings.limit_db, self.settings.bypass)
        self._idle_if_unused()

    def _rebuild(self) -> None:
        """Other models or words, without a gap where the board allows that."""
        assert self._processor
        assert self.board is not None
        pipeline = self._make_pipeline(self._processor.samplerate)
        if board_facts(pipeline, self.settings.kept_s) == self.board.facts:
            self._processor.exchange(pipeline)
            self._announced = False
            return
        self._close_stream()
        self._processor = self._with_board(pipeline)
        self._retry_at = 0.0
        if self.state == State.NO_DEVICE:
            self._say(self.state, self._reports.text)  # on another board

    # Models and pipeline.

    def _build(self, samplerate: float) -> Processor:
        """A warm processor for this rate, with a board; the one there is, if it fits."""
        if self._processor and self._processor.samplerate == samplerate:
            return self._processor
        self._processor = self._with_board(self._make_pipeline(samplerate))
        return self._processor

    def _with_board(self, pipeline: Pipeline) -> Processor:
        """A processor that goes on counting where the last one ended."""
        facts = board_facts(pipeline, self.settings.kept_s)
        if self.board is None or self.board.facts != facts:
            before = self.board
            self.board = shared_board(facts) if self._shared else Board(facts)
            if before:
                before.close()
        processor = Processor(pipeline, self.board, guard_feedback=self._guards_feedback())
        processor.counters.update(
            self._processor.counters if self._processor else self._reports.counters
        )
        return processor

    def _make_pipeline(self, samplerate: float) -> Pipeline:
        pipeline = self._factory.make_live(samplerate, self.settings, kind=Pipeline)
        silence = np.zeros(round(0.2 * samplerate), np.float32)
        pipeline.process(silence, np.empty_like(silence))
        pipeline.reset()
        self._pipeline = pipeline
        return pipeline

    def _guards_feedback(self) -> bool:
        """Only a loudspeaker in the microphone's room can howl."""
        wanted = self.settings
        aloud = not wanted.virtual_mic or wanted.monitor
        return wanted.feedback_guard and aloud and wanted.direction == "in"

    # Devices.

    def _open(self) -> None:
        """Open the devices that are asked for, or substitutes, or try again later."""
        try:
            route, channel = self._devices.find(
                self.settings, first=self.state == State.LOADING, substitutes=self._listened
            )
            processor = self._build(self.settings.samplerate or route.input.samplerate)
            blocksize = self._blocksize(processor.samplerate)
            stream = open_stream(route, blocksize, processor, channel)
            try:
                processor.last_block_s = time.monotonic()
                stream.start()
            except Exception as error:
                stream.close()
                raise DeviceError(f"the audio devices do not start: {error}") from error
        except DeviceError as error:
            self._say(State.NO_DEVICE, str(error))
            self._retry_at = time.monotonic() + self._patience_s
            self._patience_s = min(2 * self._patience_s, RETRY_S[1])
            return
        self._stream, self._route = stream, route
        self._first_count = processor.counters["blocks"]
        self._announced = False
        self._idle_if_unused()

    def _blocksize(self, samplerate: float) -> int:
        return max(1, round(self.settings.block_s * samplerate))

    def _look_at_devices(self) -> None:
        """After the server has reported changes: what we use may be gone, what we want be back."""
        assert self._route
        gone, another = self._devices.look(self._route)
        if gone:
            self._lose(gone)
        elif another:
            self._close_stream()
            self._say(State.RECONNECTING, another)
            self._retry_at = 0.0
        else:
            pulse.bring_back(*self._route.server)
            self._idle_if_unused()

    def _trouble(self) -> str:
        """Why the stream that was opened no longer runs; empty while it does."""
        assert self._stream
        assert self._processor
        now = time.monotonic()
        silent_s = now - self._processor.last_block_s
        begun = self._processor.counters["blocks"] > self._first_count
        allowed = max(SILENT_S, SILENT_BLOCKS * self.settings.block_s) if begun else FIRST_BLOCK_S
        if not self._stream.active:
            return "the audio device or the sound server went away"
        if silent_s > allowed:
            return f"no sound from the device for {silent_s:.1f} s"
        if begun and not self._announced:
            self._patience_s = RETRY_S[0]
            self._announced = self._listened = True
            self._say_listening()
        return ""

    def _lose(self, reason: str) -> None:
        self._close_stream()
        self._say(State.RECONNECTING, f"{reason}; reconnecting")
        self._retry_at = time.monotonic() + self._patience_s / 5
        self._patience_s = min(2 * self._patience_s, RETRY_S[1])

    def _close_stream(self) -> None:
        stream, self._stream, self._route = self._stream, None, None
        if stream:
            stream.close()

    def _idle_if_unused(self) -> None:
        """Nothing needs doing while no program records from the virtual microphone."""
        wanted = self.settings
        unused = False
        if self._processor and self._stream:
            if wanted.idle_when_unused and wanted.virtual_mic and not wanted.spot:
                unused = pulse.listeners(self._devices.mic.source) == 0
            self._processor.idle = unused

    def _shut(self) -> None:
        self._close_stream()
        self._devices.close()
        if self.board:
            self.board.close()

    # Reports.

    def _say(self, state: State, text: str, *, failed: bool = False) -> None:
        self._reports.say(state, text, self.board, failed=failed)

    def _say_listening(self) -> None:
        stream, route, pipeline = self._stream, self._route, self._pipeline
        assert stream
        assert route
        assert pipeline
        mic, speaker = self._devices.mic, self._devices.speaker
        connection = Connection(
            route.input.name,
            route.output.name,
            pipeline.samplerate,
            self._blocksize(pipeline.samplerate),
            stream.latency_s,
            pipeline.latency_samples,
            stream.bridge_s,
            virtual_mic=mic.name if mic.exists else _loopback(route),
            virtual_speaker=speaker.name if speaker.exists else "",
        )
        text = f"listening: {between(route)}"
        self._reports.say(State.LISTENING, text, self.board, connection=connection)


def _loopback(route: Route) -> str:
    """The output's name, if other programs can choose it as a microphone."""
    return route.output.name if route.output.loopback else ""
