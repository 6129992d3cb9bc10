"""Audio devices, always by name and host API: indices change from day to day."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from types import ModuleType

from app.errors import DeviceError

_INSTALL = {
    "linux": "apt-get install libportaudio2 libasound2-plugins (or what your system calls it)",
    "darwin": "brew install portaudio",
}


@dataclass(frozen=True)
class Device:
    """One endpoint of PortAudio."""

    name: str
    host_api: str
    inputs: int
    outputs: int
    samplerate: float
    default_input: bool
    default_output: bool


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


def list_devices() -> list[Device]:
    """Every device PortAudio sees now; may be empty."""
    sd = sounddevice()
    apis = sd.query_hostapis()
    default_input, default_output = sd.default.device
    return [
        Device(
            raw["name"], apis[raw["hostapi"]]["name"],
            raw["max_input_channels"], raw["max_output_channels"], raw["default_samplerate"],
            index == default_input, index == default_output,
        )
        for index, raw in enumerate(sd.query_devices())
    ]  # fmt: skip


def find_device(name: str | None, kind: str) -> str | None:
    """A name PortAudio accepts for ``kind`` ("input" or "output"), or None for the default.

    Raises
    ------
    DeviceError
        If nothing matches; the message lists what there is.
    """
    usable = [d for d in list_devices() if (d.inputs if kind == "input" else d.outputs)]
    if not usable:
        raise DeviceError(f"there is no {kind} device; plug one in, or start the sound server")
    if name is None:
        return None
    exact = [d for d in usable if name in (d.name, f"{d.name}, {d.host_api}")]
    partial = [d for d in usable if name.lower() in d.name.lower()]
    found = exact or partial
    if not found:
        known = "; ".join(f"{d.name} ({d.host_api})" for d in usable)
        raise DeviceError(f"no {kind} device is called {name!r}; there are: {known}")
    return f"{found[0].name}, {found[0].host_api}"
