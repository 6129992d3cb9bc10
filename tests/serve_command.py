"""``resonance serve`` as a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

TOKEN = "open-sesame"


class Server:
    """A running server: where it is, and what it said."""

    def __init__(self, process: subprocess.Popen[str], facts: dict[str, str]) -> None:
        self.process, self.http, self.token = process, facts["http"].rstrip("/"), TOKEN
        self.wyoming = facts["wyoming"]
        self.ws = self.http.replace("http://", "ws://")
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.http, headers=self.headers, timeout=60, **options)

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.http}/health").json()
        return found

    def memory_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def serving(*arguments: str, words: Path) -> Iterator[Server]:
    """A server with these arguments, custom words in ``words``; stopped afterwards."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "resonance",
            "serve",
            "--http",
            "0",
            "--wyoming",
            "0",
            "--json",
            *arguments,
        ],
        env={
            **os.environ,
            "RESONANCE_WORDS": str(words),
            "RESONANCE_CONFIG": "/nowhere",
            "RESONANCE_TOKEN": TOKEN,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    try:
        yield Server(process, json.loads(process.stdout.readline() or process.stderr.read()))
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
        assert process.returncode == 0, said
        assert "Traceback" not in said, said
