"""Live sound beside a server that is asked by a hundred: ``python -m bench.live.server_load``.

``resonance live`` on a sound server without hardware, first alone, then beside ``resonance serve``
with a hundred streaming clients and others that send rubbish: blocks lost, and what clients get.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import soundfile
from websockets.asyncio.client import connect
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

from bench.report import table, write_section
from resonance.assets import DEMO
from tests.live_command import Live
from tests.serve_command import Server, serving
from tests.sound_server import SoundServer

#: Of the clients' sound; length of the pieces that they send, s.
RATE, PIECE_S = 16000, 0.1
#: Longest wait for an answer, s.
PATIENCE_S = 120.0
#: What no client should send: to Wyoming, and to HTTP.
RUBBISH = (
    b"\xff" * 100_000,
    b"[" * 60_000 + b"\n",
    b'{"type": "audio-chunk", "payload_length": 1000000000000}\n' + bytes(1 << 18),
    b'{"type": "audio-start", "data": {"rate": 1e99, "width": 2, "channels": 1}}\n',
    b"POST /clean HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + bytes(1 << 18),
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"",
)


@dataclass
class Clients:
    """What a hundred got, and how many others there were."""

    waits_s: list[float] = field(default_factory=list)  #: for the answer to each piece
    sound_s: float = 0.0
    broken: int = 0  #: of the hundred: that met an error
    hostile: int = 0
    memory_mb: float = 0.0  #: of the server, at most


async def _clean(server: Server, found: Clients, until: float) -> None:
    piece = (0.1 * np.random.default_rng(0).standard_normal(round(PIECE_S * RATE))).astype("<f4")
    # Without look-ahead each piece has its whole answer at once.
    url = f"{server.ws}/stream?samplerate={RATE}&encoding=f32le&spot=false&preset=live"
    headers = server.headers
    async with connect(
        url, additional_headers=headers, open_timeout=PATIENCE_S, ping_interval=None
    ) as stream:
        while time.monotonic() < until:
            begin, wanted = time.monotonic(), piece.nbytes
            await stream.send(piece.tobytes())
            while wanted > 0:
                wanted -= len(await stream.recv())
            await _pace(found, begin)


async def _listen(server: Server, found: Clients, until: float) -> None:
    host, port = server.wyoming.removeprefix("tcp://").split(":")
    form = {"rate": RATE, "width": 2, "channels": 1}
    pcm = bytes(2 * round(PIECE_S * RATE))
    async with AsyncTcpClient(host, int(port), read_timeout=PATIENCE_S) as client:
        while time.monotonic() < until:
            begin = time.monotonic()
            await client.write_event(AudioStart(**form).event())
            await client.write_event(AudioChunk(**form, audio=pcm).event())
            await client.write_event(AudioStop().event())
            await client.read_event()
            await _pace(found, begin)


async def _pace(found: Clients, begin: float) -> None:
    """Count one answer; clients send no faster than they speak."""
    found.waits_s.append(time.monotonic() - begin)
    found.sound_s += PIECE_S
    await asyncio.sleep(max(0.0, begin + PIECE_S - time.monotonic()))


def _attack(server: Server, found: Clients, ended: threading.Event) -> None:
    """Rubbish to both doors, some of it cut off as if by a cable."""
    chance = random.Random(0)
    doors = [server.http.removeprefix("http://"), server.wyoming.removeprefix("tcp://")]
    while not ended.is_set():
        host, port = chance.choice(doors).split(":")
        with suppress(OSError), socket.create_connection((host, int(port)), 5) as client:
            client.settimeout(1.0)
            if chance.random() < 0.3:
                reset = struct.pack("ii", 1, 0)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            found.hostile += 1
            client.sendall(chance.choice(RUBBISH))
            client.recv(1000)
        found.memory_mb = max(found.memory_mb, server.memory_mb())
        time.sleep(0.02)


async def _together(server: Server, found: Clients, count: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    kinds = (_clean, _listen)
    talks = [kinds[i % 2](server, found, until) for i in range(count)]
    for outcome in await asyncio.gather(*talks, return_exceptions=True):
        found.broken += outcome is not None


@contextmanager
def _asked(words: Path, count: int, seconds: float) -> Iterator[Clients]:
    """A server under attack; its clients talk while the block runs, and are waited for."""
    found, ended = Clients(), threading.Event()
    with serving(words=words) as server:
        attack = threading.Thread(target=_attack, args=(server, found, ended))
        talk = threading.Thread(
            target=lambda: asyncio.run(_together(server, found, count, seconds))
        )
        attack.start()
        talk.start()
        try:
            yield found
        finally:
            talk.join()
            ended.set()
            attack.join()
        if server.health()["streams"] != 0:
            raise RuntimeError("the server still holds streams")


def _live(sound: SoundServer, seconds: float) -> dict[str, Any]:
    """What ``resonance live`` says after so long."""
    live = Live(sound, "--no-spot")
    live.wait_listening(PATIENCE_S)
    time.sleep(seconds)
    return live.end()


@click.command()
@click.option("--clients", default=100, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="Of each of both parts.")
def main(clients: int, seconds: float) -> None:
    """Measure, and write it into docs/benchmarks.md."""
    noisy, samplerate = soundfile.read(DEMO, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        sound = SoundServer(Path(folder))
        sound.start()
        try:
            with sound.playing(noisy, samplerate, times=20):
                alone = _live(sound, seconds)
                with _asked(Path(folder) / "words", clients, seconds + 10) as found:
                    beside = _live(sound, seconds)
        finally:
            sound.end()
    write_section("server-load", _report(clients, seconds, alone, beside, found))


def _report(
    clients: int, seconds: float, alone: dict[str, Any], beside: dict[str, Any], found: Clients
) -> str:
    names = {"blocks": "blocks", "lost": "lost_blocks", "late": "late_blocks"}
    names["uncleaned"] = "dry_blocks"
    parts = {"alone": alone, f"beside {clients} clients": beside}
    rows = [[name, *(str(facts[key]) for key in names.values())] for name, facts in parts.items()]
    wait = 1000 * np.array(found.waits_s)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        "## Live sound beside a busy server\n\n"
        f"{table(('`resonance live`, ' + f'{seconds:g} s', *names), rows)}\n\n"
        f"Meanwhile {clients} clients at once stream to `resonance serve` on the same machine, "
        "half to be cleaned (WebSocket), half to be listened to (Wyoming), in pieces of "
        f"{1000 * PIECE_S:g} ms: {len(wait):,} pieces answered, {found.sound_s:.0f} s of sound, "
        f"each after {np.median(wait):.0f} ms (median; 95 % within {np.percentile(wait, 95):.0f} "
        f"ms), {found.broken} clients met an error. {found.hostile} hostile connections (rubbish, "
        f"lengths of a terabyte, resets) at both doors; the server held at most "
        f"{found.memory_mb:.0f} MB and no stream afterwards (`python -m bench.live.server_load`, "
        f"{psutil.cpu_count()} cores, shared with other work: load averages at the end {load})."
    )


if __name__ == "__main__":
    main()
