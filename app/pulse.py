"""The sound server of Linux (PulseAudio, or PipeWire in its place): its devices and their changes.

PortAudio sees the server as one device called ``pulse``. Which microphone and loudspeaker are
behind it is chosen by two environment variables, read when a stream is opened.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import platformdirs

from resonance.app import safe_write
from resonance.app.errors import DeviceError
from resonance.app.small_files import read_small

#: What PortAudio calls the server.
PORTAUDIO_NAME = "pulse"
HOST_API = "PulseAudio"
#: Rate at which sound is exchanged with it, Hz; it resamples for devices that run at another.
SAMPLERATE = 48000.0
#: With what the names of our own virtual devices begin; those are never a default for ourselves.
OURS = "resonance_"
#: How often a missing server is looked for, s.
LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Endpoint:
    """A source to record from or a sink to play into."""

    name: str
    description: str
    monitor: bool  #: a source that records what is played into a sink
    #: Number of the sound card; all without one run on the computer's clock. Endpoints of the
    #: same card stay in step.
    card: int
    default: bool
    channels: int = 1


def library() -> ModuleType:
    """The module pulsectl.

    Raises
    ------
    DeviceError
        If this is not Linux, or the server's library is missing.
    """
    if sys.platform != "linux":
        raise DeviceError("PulseAudio and PipeWire are looked for on Linux only")
    try:
        return importlib.import_module("pulsectl")
    except (ImportError, OSError) as error:
        line = "apt-get install libpulse0, pip install pulsectl"
        raise DeviceError(f"the sound server's library is missing ({error}): {line}") from error


@contextmanager
def connection() -> Iterator[Any]:
    """A connection to the server, for as long as the block lasts.

    Raises
    ------
    DeviceError
        If there is none, or it refuses what is asked.
    """
    pulsectl = library()
    try:
        with pulsectl.Pulse("resonance", connect=False) as pulse:
            pulse.connect()
            yield pulse
    except (pulsectl.PulseError, pulsectl.pulsectl.c.pa.CallError) as error:
        raise DeviceError(f"no answer from the sound server; is it running? ({error})") from error


def endpoints(kind: str) -> list[Endpoint]:
    """Sources ("input") or sinks ("output") of the server; none if there is no server."""
    try:
        with connection() as pulse:
            server = pulse.server_info()
            if kind == "input":
                found, default = pulse.source_list(), server.default_source_name
            else:
                found, default = pulse.sink_list(), server.default_sink_name
    except DeviceError:
        return []
    names = {raw.name for raw in found}
    default = _foreign_default(kind, default, names)
    return [_endpoint(raw, default) for raw in found]


def _foreign_default(kind: str, default: str, names: Collection[str]) -> str:
    """The default device, or the last one that was not ours, while ours is the default.

    People make our microphone the default for their other programs; what we listen to ourselves
    stays. It is remembered in a file, for the next start.
    """
    if default and not default.startswith(OURS):
        if _remembered().get(kind) != default:
            _remembered()[kind] = default
            with suppress(OSError):
                safe_write.write_text(_memory(), json.dumps(_remembered()), overwrite=True)
        return default
    last = _remembered().get(kind)
    return last if last is not None and last in names else default


def _memory() -> Path:
    return platformdirs.user_state_path("resonance", False) / "default-devices.json"


@functools.cache
def _remembered() -> dict[str, str]:
    """The last default devices that were not ours, by kind."""
    try:
        facts = json.loads(read_small(_memory()))
        return {kind: facts[kind] for kind in ("input", "output") if _is_name(facts.get(kind))}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) < 1000


def _endpoint(raw: Any, default: str) -> Endpoint:
    monitor = bool(getattr(raw, "monitor_of_sink_name", None))
    return Endpoint(
        raw.name, raw.description, monitor, raw.card, raw.name == default, raw.channel_count
    )


def listeners(source: str) -> int:
    """How many programs record from a source; -1 if that is unknown."""
    try:
        with connection() as pulse:
            index = pulse.get_source_by_name(source).index
            return sum(stream.source == index for stream in pulse.source_output_list())
    except (DeviceError, LookupError):
        return -1


def bring_back(source: str | None, sink: str | None) -> None:
    """Where our streams were opened, in case the server moved them to our own virtual devices.

    It moves streams along when people choose another default device, and sound would go round in
    a circle. Where people moved a stream themselves, it stays.
    """
    with suppress(DeviceError), connection() as pulse:
        kinds = (
            (pulse.source_output_list(), pulse.source_list(), "source", source),
            (pulse.sink_input_list(), pulse.sink_list(), "sink", sink),
        )
        for streams, ends, kind, home in kinds:
            names = {end.index: end.name for end in ends}
            number = next((index for index, name in names.items() if name == home), None)
            for stream in streams:
                mine = stream.proplist.get("application.process.id") == str(os.getpid())
                at = names.get(getattr(stream, kind), "")
                if mine and number is not None and at != home and at.startswith(OURS):
                    move = pulse.source_output_move if kind == "source" else pulse.sink_input_move
                    move(stream.index, number)


@contextmanager
def chosen(source: str | None, sink: str | None) -> Iterator[None]:
    """Streams opened meanwhile record from this source and play into this sink."""
    wanted = {"PULSE_SOURCE": source, "PULSE_SINK": sink}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class Watch:
    """Calls ``changed`` from a thread when devices or recording programs come or go.

    Also when the server itself ends or comes back. On other systems nothing is ever reported.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sound server", daemon=True)
        if sys.platform == "linux":
            self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            with suppress(DeviceError), connection() as pulse:
                self._changed()
                try:
                    self._listen(pulse)
                finally:
                    self._changed()
            self._ended.wait(LOOK_AGAIN_S)

    def _listen(self, pulse: Any) -> None:
        pulse.event_mask_set("sink", "source", "source_output", "server")
        pulse.event_callback_set(lambda _: self._changed())
        try:
            while not self._ended.is_set():
                pulse.event_listen(timeout=LOOK_AGAIN_S)
        except library().PulseDisconnected:
            return

    def close(self) -> None:
        """Watch no longer."""
        self._ended.set()
