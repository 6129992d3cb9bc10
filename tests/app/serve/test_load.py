"""A hundred clients at once: all served, in bounded memory, and nobody is forgotten."""

import asyncio
import json

import numpy as np
from websockets.asyncio.client import connect
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.wake import NotDetected

from resonance.app.presets import LIVE_PRESET
from tests.streamed import streamed

CLIENTS, RATE = 100, 16000


def test_a_hundred_clients_get_what_each_of_them_sent_cleaned(server, rng):
    """Half of them stream sound to be cleaned, half to be listened to."""
    sounds = 0.1 * rng.standard_normal((CLIENTS // 2, RATE // 4)).astype(np.float32)
    before, most = server.memory_mb(), 0.0

    async def clean(sound):
        url = f"{server.ws}/stream?samplerate={RATE}&encoding=f32le&spot=false"
        async with connect(
            url, additional_headers=server.headers, open_timeout=200, ping_interval=None
        ) as socket:
            for block in np.split(sound, 5):
                await socket.send(block.astype("<f4").tobytes())
            await socket.send("end")
            parts = [part async for part in socket]
        return np.frombuffer(b"".join(parts), "<f4")

    async def listen(sound):
        host, port = server.wyoming.removeprefix("tcp://").split(":")
        form = {"rate": RATE, "width": 2, "channels": 1}
        async with AsyncTcpClient(host, int(port), read_timeout=200) as client:
            await client.write_event(AudioStart(**form).event())
            pcm = (sound * 32767).astype("<i2").tobytes()
            await client.write_event(AudioChunk(**form, audio=pcm).event())
            await client.write_event(AudioStop().event())
            return await client.read_event()

    async def watch(done):
        nonlocal most
        while not done.is_set():
            most = max(most, server.memory_mb())
            await asyncio.sleep(0.2)

    async def together():
        done = asyncio.Event()
        watching = asyncio.create_task(watch(done))
        answers = await asyncio.gather(*map(clean, sounds), *map(listen, sounds))
        done.set()
        await watching
        return answers[: len(sounds)], answers[len(sounds) :]

    cleaned, answers = asyncio.run(together())
    for sound, found in zip(sounds, cleaned, strict=True):
        np.testing.assert_allclose(found, streamed(sound, RATE, LIVE_PRESET), atol=1e-6)
    assert all(NotDetected.is_type(event.type) for event in answers)
    assert server.health()["streams"] == 0
    assert most < before + 400, json.dumps({"before": before, "most": most})
