"""``resonance serve`` as a process."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

TOKEN = "open-sesame"


class Server:
    """A running server: where it is, and what it said."""

    def __init__(self, process, facts):
        self.process, self.http, self.token = process, facts["http"].rstrip("/"), TOKEN
        self.wyoming = facts["wyoming"]
        self.ws = self.http.replace("http://", "ws://")
        self.headers = {"Authorization": f"Bearer {self.token}"}

    def client(self, **options):
        return httpx.Client(base_url=self.http, headers=self.headers, timeout=60, **options)

    def health(self):
        return httpx.get(f"{self.http}/health").json()

    def memory_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def serving(*arguments, words):
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
    try:
        yield Server(process, json.loads(process.stdout.readline() or process.stderr.read()))
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=20)[1]
        assert process.returncode == 0, said
        assert "Traceback" not in said, said


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """Where the server's custom words are."""
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="session")
def server(words):
    with serving(words=words) as found:
        yield found


@pytest.fixture(scope="session")
def small_server(words):
    """One that soon has enough."""
    arguments = (
        "--most-streams",
        "2",
        "--most-files",
        "1",
        "--file-mb",
        "1",
        "--file-minutes",
        "0.5",
        "--idle-s",
        "4",
    )
    with serving(*arguments, words=words) as found:
        yield found
