"""Devices for other programs (PulseAudio, PipeWire): a microphone to record from, a loudspeaker.

Each is made of modules of the sound server. Their names stay the same from day to day, so that
other programs find them again; a note of the process that made them shows a later start what a
crash has left.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from resonance.app import pulse
from resonance.app.errors import DeviceError
from resonance.app.processes import alive

#: Delay of the monitor, ms.
MONITOR_MS = 20
_OWNER = re.compile(r"resonance\.owner=\W*(\d+)")
_NAME = re.compile(r"(?:sink_name|master|source|source_name)=(resonance_\w+)")


class VirtualDevice:
    """What both have in common: modules that exist from :meth:`ensure` to :meth:`close`.

    Parameters
    ----------
    owner
        Number of the process for which they exist; this one by default.
    """

    #: What other programs list it as.
    label = ""
    #: The sink's name: the microphone's hidden one, or the loudspeaker's own.
    base = ""

    def __init__(self, owner: int | None = None) -> None:
        self._owner = owner or os.getpid()
        self.sink = self.base
        self.exists = False

    def ensure(self, samplerate: float = 48000.0) -> None:
        """Make it, unless it is there.

        Raises
        ------
        DeviceError
            If there is no sound server to ask, or it refuses.
        """
        with pulse.connection() as server:
            clear_away(server)
            modules = _ours(server)
            mine = self._mine(modules)
            taken = {m.name for m in modules if m not in mine}
            self.sink = mine[0].name if mine else _free(self.base, taken)
            self._build(server, samplerate, mine)
        self.exists = True

    def _build(self, server: Any, samplerate: float, mine: list[_Module]) -> None:
        if not mine:
            self._load_sink(server, samplerate)

    def _load_sink(self, server: Any, samplerate: float) -> None:
        arguments = f"sink_name={self.sink} rate={round(samplerate)} channels=1 channel_map=mono "
        arguments += self._properties("sink")
        try:
            # Without norewinds a null sink stalls for a second at the start; PipeWire has none.
            _load(server, "module-null-sink", f"{arguments} norewinds=1")
        except DeviceError:
            _load(server, "module-null-sink", arguments)

    @property
    def name(self) -> str:
        """What other programs list it as: with a number, if there are several of a kind."""
        number = re.search(r"_\d+$", self.sink)
        return self.label + (number[0].replace("_", " ") if number else "")

    def _properties(self, kind: str, suffix: str = "") -> str:
        label = f"device.description='{self.name}{suffix}'"
        return f'{kind}_properties="{label} resonance.owner={self._owner}"'

    def _mine(self, modules: list[_Module]) -> list[_Module]:
        """Those that were loaded for this device."""
        return [m for m in modules if m.owner == self._owner and m.base == self.base]

    def close(self) -> None:
        """Take it away, if it exists."""
        if not self.exists:
            return
        self.exists = False
        try:
            with pulse.connection() as server:
                for module in reversed(self._mine(_ours(server))):
                    server.module_unload(module.index)
        except DeviceError:
            return


class VirtualMic(VirtualDevice):
    """A microphone that others record from (:attr:`source`); play into :attr:`sink`.

    Two modules: a sink that is not played, and a source that is its other end, since browsers hide
    the sinks' own monitors.
    """

    label = "Resonance microphone"
    base = "resonance_mic_input"

    @property
    def source(self) -> str:
        """Name of the microphone."""
        return self.sink.replace("_input", "")

    def _build(self, server: Any, samplerate: float, mine: list[_Module]) -> None:
        if len(mine) == 2:
            return
        for half in mine:
            server.module_unload(half.index)
        self._load_sink(server, samplerate)
        try:
            _load(
                server,
                "module-remap-source",
                f"master={self.sink}.monitor source_name={self.source} channels=1 "
                f"channel_map=mono {self._properties('source')}",
            )
        except DeviceError:
            self.exists = True
            self.close()
            raise

    def _properties(self, kind: str, suffix: str = "") -> str:
        return super()._properties(kind, " (input)" if kind == "sink" else suffix)


class ChosenChannel(VirtualDevice):
    """One channel of a device with several, as a source of its own (:attr:`source`).

    Asked for fewer channels than a device has, the server mixes them by their positions.
    """

    label = "Resonance: one channel"
    base = "resonance_channel"
    #: Number of the sound card that the device is on: both are in step.
    card = -1
    #: What the device is listed as.
    device_name = ""

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.sink

    def follow(self, master: str, channel: int) -> None:
        """Be channel number ``channel`` (from 1) of the source ``master``.

        Raises
        ------
        DeviceError
            If it has no such channel, or there is no sound server to ask, or it refuses.
        """
        with pulse.connection() as server:
            clear_away(server)
            ours = _ours(server)
            mine = self._mine(ours)
            self.sink = mine[0].name if mine else _free(self.base, {m.name for m in ours})
            device = server.get_source_by_name(master)
            positions, self.card = device.channel_list, device.card
            self.device_name = device.description
            if channel > len(positions):
                raise DeviceError(f"channel {channel}: {master} has {len(positions)}")
            arguments = (
                f"master={master} source_name={self.source} channels=1 channel_map=mono "
                f"master_channel_map={positions[channel - 1]} remix=no "
                f"{self._properties('source')}"
            )
            self.exists = bool(mine)
            _exchange(server, mine, "module-remap-source", arguments)
        self.exists = True


class Monitor(VirtualDevice):
    """What a virtual microphone carries, played into a loudspeaker, so that people hear it."""

    label = "Resonance: hear yourself"
    base = "resonance_mic"

    def follow(self, mic: VirtualMic, sink: str) -> None:
        """Play what ``mic`` carries into a sink; "" is the server's default.

        Raises
        ------
        DeviceError
            If there is no sound server to ask, or it refuses.
        """
        arguments = (
            f"source={mic.source} latency_msec={MONITOR_MS} sink_dont_move=false "
            f"{self._properties('source_output')} {self._properties('sink_input')}"
        )
        if sink:
            arguments += f" sink={sink}"
        with pulse.connection() as server:
            _exchange(server, self._mine(_ours(server)), "module-loopback", arguments)
        self.exists = True

    def _properties(self, kind: str, suffix: str = "") -> str:
        return super()._properties(kind, suffix).replace("device.description", "media.name")


class VirtualSpeaker(VirtualDevice):
    """A loudspeaker that others play into (:attr:`sink`); listen to :attr:`monitor`."""

    label = "Resonance loudspeaker"
    base = "resonance_speaker"

    @property
    def monitor(self) -> str:
        """Name of the source that records it."""
        return f"{self.sink}.monitor"


@dataclass(frozen=True)
class _Module:
    """One of our modules in the server."""

    index: int
    owner: int
    name: str  #: of the sink it makes or listens to
    argument: str  #: as it was loaded with

    @property
    def base(self) -> str:
        """The name without the number that distinguishes several of a kind."""
        return re.sub(r"_\d+$", "", self.name)


def clear_away(server: Any) -> None:
    """Unload what processes that are no more have left."""
    for module in reversed(_ours(server)):
        if not alive(module.owner):
            server.module_unload(module.index)


def _ours(server: Any) -> list[_Module]:
    found = []
    for raw in server.module_list():
        owner = _OWNER.search(raw.argument or "")
        name = _NAME.search(raw.argument or "")
        if owner and name:
            found.append(_Module(raw.index, int(owner[1]), name[1], raw.argument))
    return found


def _free(base: str, taken: set[str]) -> str:
    """The base, or the base with the first free number."""
    return next(n for n in (base, *(f"{base}_{k}" for k in range(2, 1000))) if n not in taken)


def _load(server: Any, module: str, arguments: str) -> None:
    try:
        server.module_load(module, arguments)
    except pulse.library().PulseError as error:
        raise DeviceError(f"the sound server refuses {module} ({error})") from error


def _exchange(server: Any, mine: list[_Module], module: str, arguments: str) -> None:
    """Load a module in place of ours, unless it is there with these arguments."""
    if any(there.argument == arguments for there in mine):
        return
    for there in mine:
        server.module_unload(there.index)
    _load(server, module, arguments)
