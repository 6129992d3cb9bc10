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
from dataclasses import replace
from typing import Any

import numpy as np

from resonance.app import pulse
from resonance.app.devices import (
    Device,
    Route,
    find_device,
    find_route,
    find_stand_ins,
    list_devices,
    refresh,
)
from resonance.app.errors import DeviceError, StuckError, UserError
from resonance.app.live.board import Board, shared_board
from resonance.app.live.messages import Connection, Keyword, Message, State, StateChange, Warned
from resonance.app.live.processor import Processor, board_facts
from resonance.app.live.settings import EngineSettings, changed, check
from resonance.app.live.streams import Stream, open_stream
from resonance.app.live.virtual_devices import ChosenChannel, Monitor, VirtualMic, VirtualSpeaker
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
#: Shortest time between two warnings of the same kind, s.
WARN_EACH_S = 10.0
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
        self.state = State.LOADING
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._report = report or self._messages.put
        self._shared = shared
        self._mic, self._speaker = VirtualMic(owner), VirtualSpeaker(owner)
        self._monitor, self._channel = Monitor(owner), ChosenChannel(owner)
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
        self._asked: tuple[str | None, str | None] = (None, None)  # names of the devices
        self._devices_changed = self._stands_in = False
        self._announced = self._listened = False  # of this stream, of any
        self._applied = settings
        self._first_count = 0
        self._said: tuple[str, str] = ("", "")  # text and board
        self._collect_at = 0.0
        self._seen = dict(counters or {})  # when last looked at
        self._warned: dict[str, float] = {}

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
        found = []
        while not self._messages.empty():
            found.append(self._messages.get())
        return found

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
                self._warn("engine", f"the engine failed: {error!r}")
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
        self._pass_on()
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
                self._warn("settings", str(error))
        if changed & _REOPEN:
            self._close_stream()
            self._retry_at, self._patience_s = 0.0, RETRY_S[0]
        self._applied = self.settings
        processor.adjust(self.settings.limit_db, self.settings.bypass)
        self._rest_if_unheard()

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
            self._say(self.state, self._said[0])  # on another board

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
        processor.counters.update(self._processor.counters if self._processor else self._seen)
        return processor

    def _make_pipeline(self, samplerate: float) -> Pipeline:
        wanted = self.settings
        pipeline = self._factory.make(
            samplerate,
            kind=Pipeline,
            preset=wanted.preset,
            spot=wanted.spot,
            limit_db=wanted.limit_db,
            sensitivity=wanted.sensitivity,
            custom=wanted.custom,
        )
        pipeline.bypass = wanted.bypass
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
            route = self._find_route()
            channel = self.settings.channel
            if self._channel.exists and route.input.server_name == self._channel.source:
                of, card = self._channel.device_name, self._channel.card
                route = replace(route, input=replace(route.input, name=of, card=card))
                channel = None  # the sound server chooses it
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
        self._rest_if_unheard()

    def _find_route(self) -> Route:
        """The route asked for; a device that is missing at the moment is replaced by the default.

        Only where the sound server will report when it returns, and not at the very first.
        """
        if self.state != State.LOADING:
            refresh()
        self._asked = self._names()
        self._stands_in = False
        devices = list_devices()
        try:
            return find_route(devices, *self._asked)
        except DeviceError:
            if not self._listened or not any(d.server_name and d.outputs for d in devices):
                raise
        own = {self._mic.sink, self._speaker.monitor}
        fixed = (
            # With direction out, the default microphone would be played into the room.
            self._asked[0] in own or self.settings.direction == "out",
            self._asked[1] in own,
        )
        route, gone = find_stand_ins(devices, self._asked, fixed)
        self._stands_in = True
        are = f"{' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"
        self._warn("away", f"{are}; using {_between(route)} until it returns")
        return route

    def _names(self) -> tuple[str | None, str | None]:
        """Of the devices asked for; virtual ones are made, or taken away when not asked for."""
        wanted = self.settings
        input_name, output_name = wanted.input_name, wanted.output_name
        if wanted.virtual_mic:
            self._mic.ensure()
            self._let_hear(output_name)
            output_name = self._mic.sink
        else:
            self._monitor.close()
            self._mic.close()
        if wanted.direction == "out" and not input_name:
            self._speaker.ensure()
            input_name = self._speaker.monitor
        else:
            self._speaker.close()
        return self._one_channel(input_name), output_name

    def _one_channel(self, input_name: str | None) -> str | None:
        """The input's name, or that of a source which is the channel of it that is asked for."""
        if not self.settings.channel:
            self._channel.close()
            return input_name
        device = find_device(list_devices(), input_name, "input")
        if not device.server_name:
            return input_name
        self._channel.follow(device.server_name, self.settings.channel)
        return self._channel.source

    def _let_hear(self, output_name: str | None) -> None:
        """Play what the virtual microphone carries into the output, if that is wanted."""
        if not self.settings.monitor:
            self._monitor.close()
            return
        try:
            output = find_device(list_devices(), output_name, "output")
            self._monitor.follow(self._mic, output.server_name)
        except DeviceError as error:  # the caller gets it all the same
            self._warn("monitor", f"you cannot hear yourself: {error}")

    def _blocksize(self, samplerate: float) -> int:
        return max(1, round(self.settings.block_s * samplerate))

    def _look_at_devices(self) -> None:
        """After the server has reported changes: what we use may be gone, what we want be back."""
        assert self._route
        devices = list_devices()
        sources = {d.server_name for d in devices if d.inputs} - {""}
        sinks = {d.server_name for d in devices if d.outputs} - {""}
        source, sink = self._route.server
        if (source and source not in sources) or (sink and sink not in sinks):
            known = sources or sinks
            self._lose("a device is gone" if known else "the sound server went away")
            return
        if self._mic.exists and sources and self._mic.source not in sources:
            self._mic.ensure()  # somebody took away what others record from
        why = self._other_route(devices)
        if why:
            self._close_stream()
            self._say(State.RECONNECTING, why)
            self._retry_at = 0.0
        else:
            pulse.bring_back(*self._route.server)
            self._rest_if_unheard()

    def _other_route(self, devices: list[Device]) -> str:
        """Why another route than the present one should be taken; empty if none should."""
        assert self._route
        try:
            route = find_route(devices, *self._asked)
        except DeviceError:
            return ""
        if self._stands_in:
            return "the device asked for is back"
        if route.server != self._route.server:
            return "the system's default device is another one now"
        return ""

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

    def _rest_if_unheard(self) -> None:
        """Nothing needs doing while no program records from the virtual microphone."""
        wanted = self.settings
        unheard = False
        if self._processor and self._stream:
            if wanted.rest_unheard and wanted.virtual_mic and not wanted.spot:
                unheard = pulse.listeners(self._mic.source) == 0
            self._processor.idle = unheard

    def _shut(self) -> None:
        self._close_stream()
        self._monitor.close()
        self._mic.close()
        self._speaker.close()
        self._channel.close()
        if self.board:
            self.board.close()

    # Telling.

    def _say(
        self,
        state: State,
        text: str,
        *,
        connection: Connection | None = None,
        failed: bool = False,
    ) -> None:
        board = str(self.board.path or "") if self.board else ""
        again = state == self.state and state != State.LISTENING and self._said == (text, board)
        self.state, self._said = state, (text, board)
        if not again:
            self._report(StateChange(state, text, board, connection, failed=failed))

    def _say_listening(self) -> None:
        stream, route, pipeline = self._stream, self._route, self._pipeline
        assert stream
        assert route
        assert pipeline
        connection = Connection(
            route.input.name,
            route.output.name,
            pipeline.samplerate,
            self._blocksize(pipeline.samplerate),
            stream.latency_s,
            pipeline.latency_samples,
            stream.bridge_s,
            virtual_mic=self._mic.name if self._mic.exists else _loopback(route),
            virtual_speaker=self._speaker.name if self._speaker.exists else "",
        )
        self._say(State.LISTENING, f"listening: {_between(route)}", connection=connection)

    def _warn(self, kind: str, text: str) -> None:
        """A warning, unless the same was reported a moment ago."""
        now = time.monotonic()
        if now - self._warned.get(kind, -WARN_EACH_S) >= WARN_EACH_S:
            self._warned[kind] = now
            self._report(Warned(kind, text))

    def _pass_on(self) -> None:
        """Keywords, and what went wrong since the last time."""
        processor = self._processor
        if not processor:
            return
        while processor.events:
            self._report(Keyword(processor.events.popleft()))
        error, processor.error = processor.error, None
        if error:
            self._warn("pipeline", f"the pipeline failed and starts anew: {error!r}")
        before, self._seen = self._seen, dict(processor.counters)
        grown = {name for name, total in self._seen.items() if total > before.get(name, 0)}
        for name, text in _WARNINGS.items():
            if name in grown and not (name == "overloads" and error):
                self._warn(name, text)


_WARNINGS = {
    "overloads": "too much to do for this computer: the sound passes uncleaned for a moment; "
    "longer blocks or fewer programs help",
    "howls": "feedback between loudspeaker and microphone: the output was turned down; "
    "headphones or the virtual microphone help",
    "ring_empty": "the devices' clocks or timing differ much: a moment of sound is missing",
}


def _loopback(route: Route) -> str:
    """The output's name, if other programs can choose it as a microphone."""
    return route.output.name if route.output.loopback else ""


def _between(route: Route) -> str:
    return f"{route.input.name} → {route.output.name}"
