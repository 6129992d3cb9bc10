"""Audio devices, always by name and host API: indices change from day to day."""

from __future__ import annotations

import importlib
import sys
import threading
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from weakref import WeakSet

from resonance.app import pulse
from resonance.app.errors import DeviceError

_INSTALL = {
    "linux": "apt-get install libportaudio2 libasound2-plugins (or what your system calls it)",
    "darwin": "brew install portaudio",
}
#: End of the name of an input that is what an output plays, on the sound server.
_MONITOR = ".monitor"
#: Held while a stream is opened, or devices are listed or refreshed: PortAudio does one at a time.
OPENING = threading.RLock()
#: Streams of PortAudio in this process; some may be closed.
_STREAMS: WeakSet[Any] = WeakSet()
#: Devices that play what others play into them: a microphone for other programs.
LOOPBACKS = ("BlackHole", "CABLE Input", "VB-Cable", "Soundflower", "Loopback")


@dataclass(frozen=True)
class Device:
    """One endpoint that can be listened to or played into."""

    name: str
    host_api: str
    inputs: int
    outputs: int
    samplerate: float
    default_input: bool = False
    default_output: bool = False
    #: PulseAudio's own name and sound card (see ``app/pulse.py``); else empty.
    server_name: str = ""
    card: int = -1

    @property
    def loopback(self) -> bool:
        """Whether other programs can record what is played into it."""
        return any(name.lower() in self.name.lower() for name in LOOPBACKS)


@dataclass(frozen=True)
class Route:
    """From where to where sound goes."""

    input: Device
    output: Device
    #: Names that PortAudio takes, or None for its default.
    portaudio: tuple[str | None, str | None]
    #: What the sound server is to connect them to; None where there is none.
    server: tuple[str | None, str | None]

    @property
    def one_clock(self) -> bool:
        """Whether both ends stay in step, so that one stream can serve both.

        Ends of the sound server do if they are of one card; others if they are one device.
        """
        if self.portaudio[0] != self.portaudio[1]:
            return False
        if self.input.server_name or self.output.server_name:
            return self.input.card == self.output.card
        ends = ((end.name, end.host_api) for end in (self.input, self.output))
        return next(ends) == next(ends)


def sounddevice() -> ModuleType:
    """The sounddevice module.

    Raises
    ------
    DeviceError
        If PortAudio is missing, with the line that installs it.
    """
    try:
        module = importlib.import_module("sounddevice")
    except OSError as error:
        line = _INSTALL.get(sys.platform, "reinstall the sounddevice package")
        raise DeviceError(f"live sound needs PortAudio ({error}): {line}") from error
    return module


def opened(stream: Any) -> Any:
    """A stream of PortAudio's, which :func:`refresh` then spares until it is closed."""
    _STREAMS.add(stream)
    return stream


def refresh() -> None:
    """Look again which devices there are, unless a stream is open: that would end it.

    Raises
    ------
    DeviceError
        If PortAudio does not start again.
    """
    sd = sounddevice()
    with OPENING:
        if not all(stream.closed for stream in _STREAMS):
            return
        try:
            sd._terminate()  # PortAudio has no other way
            sd._initialize()
        except sd.PortAudioError as error:
            raise DeviceError(f"the audio system does not start: {error}") from error


def list_devices() -> list[Device]:
    """Every device PortAudio sees since it started or :func:`refresh`; may be empty.

    Where the sound server is reached through PortAudio, its own devices follow, each once for
    listening or playing.
    """
    sd = sounddevice()
    with OPENING:
        apis, devices = sd.query_hostapis(), sd.query_devices()
    default_input, default_output = sd.default.device
    found = [
        Device(
            raw["name"],
            apis[raw["hostapi"]]["name"],
            raw["max_input_channels"],
            raw["max_output_channels"],
            raw["default_samplerate"],
            index == default_input,
            index == default_output,
        )
        for index, raw in enumerate(devices)
    ]
    if any(device.name == pulse.PORTAUDIO_NAME for device in found):
        found += [_of_server(e, "input") for e in pulse.endpoints("input")]
        found += [_of_server(e, "output") for e in pulse.endpoints("output")]
    return found


def _of_server(end: pulse.Endpoint, kind: str) -> Device:
    inputs, outputs = (end.channels if kind == which else 0 for which in ("input", "output"))
    return Device(
        end.description,
        pulse.HOST_API,
        inputs,
        outputs,
        pulse.SAMPLERATE,
        end.default and bool(inputs),
        end.default and bool(outputs),
        end.name,
        end.card,
    )


def find_route(devices: list[Device], input_name: str | None, output_name: str | None) -> Route:
    """From and to the devices of these names, or the defaults.

    Parameters
    ----------
    devices
        All there are.
    input_name, output_name
        As :func:`find_device` takes them.

    Returns
    -------
    Route
        Input and output, each with its own samplerate.

    Raises
    ------
    DeviceError
        If nothing matches; the message lists what there is.
    """
    microphone = find_device(devices, input_name, "input")
    speaker = find_device(devices, output_name, "output")
    if input_name is None and microphone.server_name == f"{speaker.server_name}{_MONITOR}":
        raise DeviceError("there is no input device but the output's own monitor; plug one in")
    (in_index, source), (out_index, sink) = (
        address(microphone, input_name),
        address(speaker, output_name),
    )
    return Route(microphone, speaker, (in_index, out_index), (source, sink))


def find_stand_ins(
    devices: list[Device],
    names: tuple[str | None, str | None],
    fixed: tuple[bool, bool] = (False, False),
) -> tuple[Route, list[str]]:
    """A route in which the default replaces each end that is missing, and no other.

    Parameters
    ----------
    devices
        All there are now.
    names
        Of the input and output asked for; None: the default.
    fixed
        Which end must not be replaced.

    Returns
    -------
    The route, and the names of the devices that are missing.

    Raises
    ------
    DeviceError
        If a fixed end is missing, or there is no default.
    """
    found, gone = list(names), list[str]()
    for end, (name, kind) in enumerate(zip(names, ("input", "output"), strict=True)):
        try:
            find_device(devices, name, kind)
        except DeviceError:
            if name is None or fixed[end]:
                raise
            found[end] = None
            gone.append(name)
    return find_route(devices, found[0], found[1]), list(dict.fromkeys(gone))


def address(device: Device, asked: str | None) -> tuple[str | None, str | None]:
    """What PortAudio calls a device, None for its default, and the sound server behind it, if any.

    ``asked`` is the name by which people chose it, None if they did not.
    """
    if device.server_name:
        return pulse.PORTAUDIO_NAME, device.server_name
    return (f"{device.name}, {device.host_api}" if asked else None), None


def find_device(devices: list[Device], name: str | None, kind: str) -> Device:
    """The device of this name for ``kind`` ("input" or "output"), or the default one.

    The sound server's default goes before PortAudio's, but our own virtual devices are never a
    default: sound would go round in a circle. So it would if part of a headset's name found the
    monitor of its output once its microphone is gone: a monitor is found by what it is.

    Parameters
    ----------
    devices
        All there are.
    name
        Of the device, or a part of it, or ``NAME, HOST API``; None: the default.
    kind
        "input" or "output".

    Returns
    -------
    Device
        As :func:`list_devices` lists it.

    Raises
    ------
    DeviceError
        If nothing matches; the message lists what there is.
    """
    usable = [d for d in devices if (d.inputs if kind == "input" else d.outputs)]
    if not usable:
        raise DeviceError(f"there is no {kind} device; plug one in, or start the sound server")
    if name is None:
        return _default(usable, kind)
    exact = [d for d in usable if name in (d.name, f"{d.name}, {d.host_api}", d.server_name)]
    found = exact or [d for d in usable if _is_called(d, name.lower())]
    if not found:
        known = "; ".join(f"{d.name} ({d.host_api})" for d in usable)
        raise DeviceError(f"no {kind} device is called {name!r}; there are: {known}")
    return found[0]


def _is_called(device: Device, part: str) -> bool:
    """Whether this part of a name, in small letters, means the device."""
    monitor = device.server_name.endswith(_MONITOR)
    return part in device.name.lower() and (not monitor or "monitor" in part)


def _default(usable: list[Device], kind: str) -> Device:
    others = [d for d in usable if not d.server_name.startswith(pulse.OURS)] or usable
    chosen = [d for d in others if d.server_name] or others
    defaults = [d for d in chosen if (d.default_input if kind == "input" else d.default_output)]
    real = [d for d in chosen if not d.server_name.endswith(_MONITOR)]
    return (defaults or real or chosen)[-1]
