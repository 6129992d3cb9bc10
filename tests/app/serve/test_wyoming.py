"""Wake words, with the Wyoming library's own client."""

import asyncio
import json
import os
import socket
import struct

import numpy as np
import pytest
import soundfile
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import async_read_event, async_write_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.wake import Detect, Detection, NotDetected

from resonance.app import enrolment
from resonance.assets import DEMO
from resonance.models.synthetic_voices import speak

RATE = 16000
LONG_S = 60


def address(server):
    host, port = server.wyoming.removeprefix("tcp://").rsplit(":", 1)
    return host, int(port)


@pytest.fixture(scope="module")
def word():
    """ "left" out of the demo recording, 16-bit PCM, and its samplerate."""
    sound, samplerate = soundfile.read(DEMO, dtype="float32")
    spoken = next(
        t for t in json.loads(DEMO.with_suffix(".json").read_text()) if t["keyword"] == "left"
    )
    end = round((spoken["end_s"] + 0.6) * samplerate)
    return (sound[end - 3 * samplerate : end] * 32767).astype("<i2").tobytes(), samplerate


def hiss(seconds=1.0):
    noise = 300 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    return noise.astype("<i2").tobytes(), RATE


async def send(client, pcm, samplerate, start=True, stop=True, channels=1):
    """Sound as Home Assistant sends it: a start, pieces of 64 ms, a stop."""
    form = {"rate": samplerate, "width": 2, "channels": channels}
    if start:
        await client.write_event(AudioStart(**form).event())
    size = 2 * channels * 1024
    for begin in range(0, len(pcm), size):
        timestamp = 500 * begin // (samplerate * channels)
        chunk = AudioChunk(**form, audio=pcm[begin : begin + size], timestamp=timestamp)
        await client.write_event(chunk.event())
    if stop:
        await client.write_event(AudioStop().event())


async def ask(server, talk):
    async with AsyncTcpClient(*address(server), connect_timeout=5, read_timeout=LONG_S) as client:
        return await talk(client)


async def detect(server, names, pcm, samplerate):
    async def talk(client):
        await client.write_event(Detect(names).event())
        await send(client, pcm, samplerate)
        return await client.read_event()

    return await ask(server, talk)


def test_it_describes_its_words(server):
    async def talk(client):
        await client.write_event(Describe().event())
        return Info.from_event(await client.read_event())

    (program,) = asyncio.run(ask(server, talk)).wake
    assert program.name == "resonance"
    assert program.installed
    names = [model.name for model in program.models]
    assert names[:10] == ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
    assert all(model.phrase == model.name and model.languages for model in program.models)


def test_a_word_is_detected(server, word):
    for names in (None, ["left"], ["right", "left"]):
        event = asyncio.run(detect(server, names, *word))
        found = Detection.from_event(event)
        assert (event.type, found.name) == ("detection", "left")
        assert 1500 < found.timestamp < 3100, "the timestamp of the piece, ms"


def test_other_words_are_not_told(server, word):
    event = asyncio.run(detect(server, ["stop"], *word))
    assert NotDetected.is_type(event.type)
    assert NotDetected.is_type(asyncio.run(detect(server, None, *hiss())).type)


def test_stereo_and_sound_without_a_start(server, word):
    """Satellites send pieces alone, and go on after a detection."""
    pcm, samplerate = word
    stereo = np.repeat(np.frombuffer(pcm, "<i2"), 2).tobytes()

    async def talk(client):
        await client.write_event(Detect(["left"]).event())
        found = []
        for _ in range(2):
            await send(client, stereo, samplerate, start=False, stop=False, channels=2)
            found.append(Detection.from_event(await client.read_event()).name)
        return found

    assert asyncio.run(ask(server, talk)) == ["left", "left"]


def test_one_connection_for_several_sounds(server, word):
    async def talk(client):
        types = []
        await client.write_event(Ping("there?").event())
        assert Pong.from_event(await client.read_event()).text == "there?"
        for pcm, samplerate in (word, hiss(), word):
            await send(client, pcm, samplerate)
            types.append((await client.read_event()).type)
        return types

    assert asyncio.run(ask(server, talk)) == ["detection", "not-detected", "detection"]


def test_several_clients_at_once(server, word):
    async def talk():
        sounds = [word, hiss(2.0)] * 3
        return await asyncio.gather(*(detect(server, None, *sound) for sound in sounds))

    assert [e.type for e in asyncio.run(talk())] == ["detection", "not-detected"] * 3


def test_words_of_ones_own(server, words, monkeypatch, tmp_path, spotter):
    """They are known as soon as they are learnt."""
    monkeypatch.setenv("RESONANCE_WORDS", str(words))
    rng = np.random.default_rng(0)
    takes = []
    for number, voice in enumerate(["en-us", "en-us+m3", "en-gb", "en-us+m1", "en-us+f2"]):
        sound = speak("marvin", voice=voice, words_per_minute=150)
        takes.append(tmp_path / f"{number}.wav")
        soundfile.write(takes[-1], sound + 0.001 * rng.standard_normal(len(sound)), RATE)
    enrolment.save(enrolment.learn("marvin", takes, spotter), takes)
    try:
        said = speak("we saw. Marvin. at the house", voice="en-us+m2", words_per_minute=150)
        said = np.concatenate([said, np.zeros(RATE)]) + 0.001 * rng.standard_normal(
            len(said) + RATE
        )
        pcm = (said * 32767).astype("<i2").tobytes()
        event = asyncio.run(detect(server, ["marvin"], pcm, RATE))
        assert Detection.from_event(event).name == "marvin"
    finally:
        enrolment.forget("marvin")


def test_unknown_words_and_formats_are_refused_with_a_sentence(server):
    async def choose(client):
        await client.write_event(Detect(["ok_nabu"]).event())
        return await client.read_event(), await client.read_event()

    async def start(client, **form):
        await client.write_event(AudioStart(**form).event())
        return await client.read_event()

    error, end = asyncio.run(ask(server, choose))
    assert "no keyword 'ok_nabu'; there are: yes, no" in Error.from_event(error).text
    assert end is None, "it hangs up"
    for form in (
        {"rate": 1, "width": 2, "channels": 1},
        {"rate": RATE, "width": 3, "channels": 1},
        {"rate": RATE, "width": 2, "channels": 99},
    ):
        error = asyncio.run(ask(server, lambda client, form=form: start(client, **form)))
        assert Error.from_event(error).text


def test_too_many_streams_are_refused(small_server):
    async def talk():
        async with (
            AsyncTcpClient(*address(small_server)) as one,
            AsyncTcpClient(*address(small_server)) as two,
            AsyncTcpClient(*address(small_server), read_timeout=LONG_S) as three,
        ):
            for client in (one, two):
                await send(client, *hiss(), stop=False)
                await client.write_event(Ping().event())
                assert Pong.is_type((await client.read_event()).type)
            await send(three, *hiss(0.1), stop=False)
            return Error.from_event(await three.read_event())

    error = asyncio.run(talk())
    assert (error.code, error.text) == ("busy", "all 2 streams are taken; try again later")


def test_a_refused_client_that_still_sends_can_read_why(server):
    """As one that sends a recording of a minute in a format that is not taken."""

    async def talk():
        reader, writer = await asyncio.open_connection(*address(server))
        form = {"rate": RATE, "width": 3, "channels": 1}
        for _ in range(50):
            await async_write_event(AudioChunk(**form, audio=bytes(30_000)).event(), writer)
            await asyncio.sleep(0.002)  # the answer comes meanwhile
        error = Error.from_event(await async_read_event(reader))
        writer.close()
        return error

    assert "samples of 3 bytes" in asyncio.run(talk()).text


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b"[" * 50_000 + b"\n",
        b"x" * 200_000,
        b'{"type": "audio-chunk"}\n',
        b'{"type": "audio-chunk", "payload_length": 1000000000000}\n' + bytes(1 << 20),
        b'{"type": "describe", "data_length": 1000000000000}\n' + bytes(1 << 20),
        b'{"type": "describe", "data_length": "x"}\n',
        b'{"type": "audio-start", "data": {"rate": "x", "width": 2, "channels": 1}}\n',
        b'{"type": "audio-start", "data": {"rate": 1e99, "width": 2, "channels": 1}}\n',
        b'{"type": "detect", "data": {"names": 5}}\n',
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=range(14),
)
def test_hostile_clients_harm_nobody(server, content, word):
    before = server.memory_mb()
    with socket.create_connection(address(server), 5) as client:
        client.settimeout(20)
        try:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        except OSError:
            pass  # hung up on
    assert server.memory_mb() < before + 30
    assert server.process.poll() is None


def test_a_client_that_vanishes_frees_its_place(server):
    async def vanish():
        _, writer = await asyncio.open_connection(*address(server))
        form = {"rate": RATE, "width": 2, "channels": 1}
        event = AudioStart(**form).event()
        data = json.dumps(event.data).encode()
        header = json.dumps({"type": event.type, "data_length": len(data)}).encode()
        writer.write(header + b"\n" + data)
        await writer.drain()
        for _ in range(200):
            await asyncio.sleep(0.05)
            if server.health()["streams"] == 1:
                break
        linger = struct.pack("ii", 1, 0)  # as if the cable were cut: a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        for _ in range(200):
            await asyncio.sleep(0.05)
            if server.health()["streams"] == 0:
                return True
        return False

    assert asyncio.run(vanish())
    assert os.path.exists(f"/proc/{server.process.pid}")
