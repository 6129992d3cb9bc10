"""``resonance live`` as a process, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile

from resonance.assets import DEMO
from tests.sound_server import SoundServer

#: A line of its output.
Line = dict[str, Any]


class Live:
    """``resonance live --json`` and what it has said."""

    def __init__(self, server: SoundServer, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resonance", "live", "--json", *map(str, arguments)],
            env=server.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # also in background
        )
        self.said: list[Line] = []
        self.times: list[float] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.said.append(json.loads(line))
                self.times.append(time.monotonic())

    def states(self) -> list[str]:
        return [line["state"] for line in self.said if "state" in line]

    def wait_for(
        self, matches: Callable[[Line], object], seconds: float = 15.0, since: int = 0
    ) -> tuple[Line, float]:
        """The first line from ``since`` on that matches, and when it came."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line, at in list(zip(self.said, self.times, strict=False))[since:]:
                if matches(line):
                    return line, at
            time.sleep(0.02)
        raise AssertionError(f"not within {seconds} s; said: {self.said}")

    def wait_listening(self, seconds: float = 15.0, since: int = 0) -> tuple[Line, float]:
        return self.wait_for(lambda line: line.get("state") == "listening", seconds, since)

    def engine_pid(self) -> int:
        children = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "spawn_main"],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(children.stdout.split()[0])

    def end(self) -> Line:
        """Ctrl-C, as a person would; the summary."""
        assert self.process.stderr
        self.process.send_signal(signal.SIGINT)
        self.process.wait(15)
        self._reader.join()
        complaints = self.process.stderr.read()
        self.process.stderr.close()
        assert self.process.returncode == 0, complaints
        assert "Traceback" not in complaints
        summary: Line = self.said[-1]["summary"]
        return summary


def hears(server: SoundServer, seconds: float = 1.5, source: str = "ci_out.monitor") -> bool:
    """Whether a voice in the microphone comes out now, of the loudspeaker if not told."""
    voice, samplerate = soundfile.read(DEMO.with_name("demo-clean.flac"), dtype="float32")
    loud = int(np.argmax(np.abs(voice)))
    word = voice[max(0, loud - samplerate // 2) :][: samplerate // 2 + samplerate // 4]
    word = np.tile(word / np.abs(word).max() / 2, 4)
    with server.recording(source) as found, server.playing(word, samplerate):
        time.sleep(seconds)
    return len(found[0]) > 0 and bool(np.abs(found[0]).max() > 0.1)
