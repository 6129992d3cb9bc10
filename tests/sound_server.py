"""A PulseAudio server without hardware, with a microphone that can be played into."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIG = """
load-module module-native-protocol-unix socket={root}/pulse.sock auth-anonymous=1
load-module module-null-sink sink_name=ci_out rate=48000 channels=2 norewinds=1
load-module module-null-sink sink_name=ci_mic rate=48000 channels=1 norewinds=1
load-module module-remap-source master=ci_mic.monitor source_name=mic channels=1 channel_map=mono
set-default-sink ci_out
set-default-source mic
"""
#: A microphone and a loudspeaker that PortAudio takes for two devices with clocks of their own.
ASOUNDRC = """
pcm.desk_mic {{ type pulse server "unix:{root}/pulse.sock" device "mic"
    hint {{ show on description "Desk microphone" }} }}
pcm.desk_out {{ type pulse server "unix:{root}/pulse.sock" device "ci_out"
    hint {{ show on description "Desk loudspeaker" }} }}
"""


class SoundServer:
    """One server; :attr:`environment` leads programs to it."""

    process: subprocess.Popen[bytes]  #: from :meth:`start` on

    def __init__(self, root: Path) -> None:
        for program in ("pulseaudio", "paplay", "parec", "pactl"):
            assert shutil.which(program), f"{program} is missing: ./system-packages.sh test"
        self.root = root
        root.chmod(0o700)
        (root / "ci.pa").write_text(CONFIG.format(root=root))
        (root / ".asoundrc").write_text(ASOUNDRC.format(root=root))
        self.environment = {
            **os.environ,
            "HOME": str(root),
            "XDG_RUNTIME_DIR": str(root),
            "PULSE_SERVER": f"unix:{root}/pulse.sock",
            "RESONANCE_CONFIG": str(root / "none.toml"),
        }

    def start(self) -> None:
        (self.root / "pulse.sock").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                "pulseaudio",
                "-n",
                "-F",
                str(self.root / "ci.pa"),
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
            ],
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not (self.root / "pulse.sock").exists() or "ci_mic" not in self.pactl(
            "list", "short", "sinks", check=False
        ):
            assert time.monotonic() < deadline, "the sound server did not start"
            time.sleep(0.05)

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(with_signal)
        self.process.wait(10)

    def pactl(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["pactl", *arguments], env=self.environment, capture_output=True, text=True, check=check
        )
        return done.stdout

    def our_modules(self) -> list[str]:
        modules = self.pactl("list", "short", "modules").splitlines()
        return [line for line in modules if "resonance_" in line]

    def plug_microphone(self, description: str) -> str:
        """Add a microphone that hears what the first one does; returns its module."""
        return self.pactl(
            "load-module",
            "module-remap-source",
            "master=ci_mic.monitor",
            "source_name=usb",
            "channels=1",
            "channel_map=mono",
            f"source_properties=\"device.description='{description}'\"",
        ).strip()

    @contextmanager
    def playing(
        self, sound: ArrayLike, samplerate: int, sink: str = "ci_mic", times: int = 1
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Play ``sound``, so many times, into the microphone meanwhile."""
        player = subprocess.Popen(
            [
                "paplay",
                "-d",
                sink,
                "--raw",
                "--format=float32le",
                f"--rate={samplerate}",
                "--channels=1",
                "--latency-msec=50",
            ],
            env=self.environment,
            stdin=subprocess.PIPE,
        )
        assert player.stdin
        pipe = player.stdin

        def feed() -> None:
            content = np.asarray(sound, "<f4").tobytes()
            with suppress(BrokenPipeError), pipe:
                for _ in range(times):
                    pipe.write(content)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            yield player
        finally:
            player.kill()
            player.wait()
            feeder.join()

    @contextmanager
    def recording(
        self, source: str = "ci_out.monitor", channels: int = 1
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Yields a list whose only item is, afterwards, what was recorded."""
        found: list[NDArray[np.float32]] = []
        recorder = subprocess.Popen(
            [
                "parec",
                "-d",
                source,
                "--format=float32le",
                "--rate=48000",
                f"--channels={channels}",
                "--latency-msec=20",
                "--raw",
            ],
            env=self.environment,
            stdout=subprocess.PIPE,
        )
        assert recorder.stdout
        pipe = recorder.stdout

        def read() -> None:
            sound = np.frombuffer(pipe.read(), "<f4")
            found.append(sound.reshape(-1, channels) if channels > 1 else sound)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            yield found
        finally:
            recorder.terminate()
            recorder.wait()
            reader.join()
            pipe.close()
