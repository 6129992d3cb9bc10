"""A microphone for other programs: what is played into it, they record (PulseAudio, PipeWire).

Two modules of the sound server: a sink that nobody hears, and a source that is its other end
(browsers hide the sinks' own monitors). Their names carry the owner's process number, so that a
later start can clear away what a crash has left.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import DeviceError
from app.processes import alive

_PREFIX = "resonance"


class VirtualMic:
    """The sink :attr:`sink` to play into and the source :attr:`source` to record from.

    Other programs list the source as :attr:`label`.

    Use as a context manager: both are gone afterwards.

    Raises
    ------
    DeviceError
        If there is no sound server to ask, or it refuses.
    """

    label = "Resonance_microphone"

    def __init__(self, samplerate: int = 48000) -> None:
        clear_away()
        self.sink, self.source = (f"{_PREFIX}_{end}_{os.getpid()}" for end in ("sink", "mic"))
        quiet = f"sink_name={self.sink} rate={samplerate} channels=1 channel_map=mono "
        quiet += f'sink_properties=device.description="{self.label}_input"'
        try:
            # Without norewinds a null sink stalls for a second at the start; PipeWire has none.
            self._modules = [_load("module-null-sink", *quiet.split(), "norewinds=1")]
        except DeviceError:
            self._modules = [_load("module-null-sink", *quiet.split())]
        try:
            self._modules.append(
                _load(
                    "module-remap-source", f"master={self.sink}.monitor",
                    f"source_name={self.source}", "channels=1", "channel_map=mono",
                    f'source_properties=device.description="{self.label}"',
                )
            )  # fmt: skip
        except DeviceError:
            self.close()
            raise

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Streams that are opened now and name no sink play into this one."""
        before = os.environ.get("PULSE_SINK")
        os.environ["PULSE_SINK"] = self.sink
        try:
            yield
        finally:
            del os.environ["PULSE_SINK"]
            if before is not None:
                os.environ["PULSE_SINK"] = before

    def close(self) -> None:
        """Unload both."""
        while self._modules:
            _unload(self._modules.pop())

    def __enter__(self) -> VirtualMic:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clear_away() -> None:
    """Unload what processes that are no more have left."""
    for line in _pactl("list", "short", "modules").splitlines():
        number, *facts = line.split("\t")
        owner = re.search(rf"(?:sink|source)_name={_PREFIX}_(?:sink|mic)_(\d+)", " ".join(facts))
        if owner and not alive(int(owner[1])):
            _unload(int(number))


def _load(module: str, *arguments: str) -> int:
    return int(_pactl("load-module", module, *arguments))


def _unload(number: int) -> None:
    try:
        _pactl("unload-module", str(number))
    except DeviceError:
        return  # gone with its server, or with the module it stood on


def _pactl(*arguments: str) -> str:
    if not shutil.which("pactl"):
        raise DeviceError(
            "a virtual microphone needs pactl and a PulseAudio or PipeWire server: "
            "apt-get install pulseaudio-utils"
        )
    try:
        done = subprocess.run(
            ["pactl", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip() or f"exit code {error.returncode}"
        raise DeviceError(f"the sound server refuses a virtual microphone: {reason}") from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError("the sound server does not answer; restart it") from error
    return done.stdout
