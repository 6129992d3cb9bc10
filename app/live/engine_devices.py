"""Which devices an engine uses: those asked for, virtual ones made for it, or substitutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from resonance.app.devices import (
    Device,
    Route,
    find_device,
    find_route,
    find_stand_ins,
    list_devices,
    refresh,
)
from resonance.app.errors import DeviceError
from resonance.app.live.settings import EngineSettings
from resonance.app.live.virtual_devices import ChosenChannel, Monitor, VirtualMic, VirtualSpeaker


class EngineDevices:
    """Finds a route, and finds out when it should be left.

    Parameters
    ----------
    owner
        Number of the process for which virtual devices exist; None: this one.
    warn
        Called with a kind and a sentence.
    """

    def __init__(self, owner: int | None, warn: Callable[[str, str], None]) -> None:
        self.mic, self.speaker = VirtualMic(owner), VirtualSpeaker(owner)
        self._monitor, self._channel = Monitor(owner), ChosenChannel(owner)
        self._warn = warn
        self._asked: tuple[str | None, str | None] = (None, None)  # names of the devices
        self._substituted = False

    def find(
        self, settings: EngineSettings, *, first: bool, substitutes: bool
    ) -> tuple[Route, int | None]:
        """The route asked for, and the channel that is to be taken of its input.

        A device that is missing at the moment is replaced by the default, but only where the sound
        server will report when it returns.

        Parameters
        ----------
        settings
            What is asked for.
        first
            Nothing was opened before, so that PortAudio knows all devices.
        substitutes
            Whether missing devices may be replaced.

        Returns
        -------
        Route, int or None
            The channel counts from 1; None: what the device gives as one channel.

        Raises
        ------
        DeviceError
            If there is no such route.
        """
        if not first:
            refresh()
        route = self._find(settings, substitutes)
        if self._channel.exists and route.input.server_name == self._channel.source:
            of, card = self._channel.device_name, self._channel.card
            # The sound server chooses the channel.
            return replace(route, input=replace(route.input, name=of, card=card)), None
        return route, settings.channel

    def _find(self, settings: EngineSettings, substitutes: bool) -> Route:
        self._asked = self._names(settings)
        self._substituted = False
        devices = list_devices()
        try:
            return find_route(devices, *self._asked)
        except DeviceError:
            if not substitutes or not any(d.server_name and d.outputs for d in devices):
                raise
        own = {self.mic.sink, self.speaker.monitor}
        fixed = (
            # With direction out, the default microphone would be played into the room.
            self._asked[0] in own or settings.direction == "out",
            self._asked[1] in own,
        )
        route, gone = find_stand_ins(devices, self._asked, fixed)
        self._substituted = True
        are = f"{' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"
        self._warn("away", f"{are}; using {between(route)} until it returns")
        return route

    def _names(self, wanted: EngineSettings) -> tuple[str | None, str | None]:
        """Of the devices asked for; virtual ones are made, or taken away when not asked for."""
        input_name, output_name = wanted.input_name, wanted.output_name
        if wanted.virtual_mic:
            self.mic.ensure()
            self._let_hear(output_name, wanted)
            output_name = self.mic.sink
        else:
            self._monitor.close()
            self.mic.close()
        if wanted.direction == "out" and not input_name:
            self.speaker.ensure()
            input_name = self.speaker.monitor
        else:
            self.speaker.close()
        return self._one_channel(input_name, wanted.channel), output_name

    def _one_channel(self, input_name: str | None, channel: int | None) -> str | None:
        """The input's name, or that of a source which is the channel of it that is asked for."""
        if not channel:
            self._channel.close()
            return input_name
        device = find_device(list_devices(), input_name, "input")
        if not device.server_name:
            return input_name
        self._channel.follow(device.server_name, channel)
        return self._channel.source

    def _let_hear(self, output_name: str | None, wanted: EngineSettings) -> None:
        """Play what the virtual microphone carries into the output, if that is wanted."""
        if not wanted.monitor:
            self._monitor.close()
            return
        try:
            output = find_device(list_devices(), output_name, "output")
            self._monitor.follow(self.mic, output.server_name)
        except DeviceError as error:  # the caller gets it all the same
            self._warn("monitor", f"you cannot hear yourself: {error}")

    def look(self, route: Route) -> tuple[str, str]:
        """Look again, since the server has reported changes.

        Parameters
        ----------
        route
            In use.

        Returns
        -------
        str, str
            Why it no longer works, and why another one should be taken; empty if not so.
        """
        devices = list_devices()
        sources = {d.server_name for d in devices if d.inputs} - {""}
        sinks = {d.server_name for d in devices if d.outputs} - {""}
        source, sink = route.server
        if (source and source not in sources) or (sink and sink not in sinks):
            return "a device is gone" if sources or sinks else "the sound server went away", ""
        if self.mic.exists and sources and self.mic.source not in sources:
            self.mic.ensure()  # somebody took away what others record from
        return "", self._why_another(route, devices)

    def _why_another(self, route: Route, devices: list[Device]) -> str:
        try:
            found = find_route(devices, *self._asked)
        except DeviceError:
            return ""
        if self._substituted:
            return "the device asked for is back"
        if found.server != route.server:
            return "the system's default device is another one now"
        return ""

    def close(self) -> None:
        """Take virtual devices away."""
        for device in (self._monitor, self.mic, self.speaker, self._channel):
            device.close()


def between(route: Route) -> str:
    """Its ends, for people."""
    return f"{route.input.name} → {route.output.name}"
