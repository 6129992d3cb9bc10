"""HTTP and WebSocket, with httpx and websockets as clients."""

import asyncio
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from resonance import clean
from resonance.app.presets import LIVE_PRESET
from resonance.assets import DEMO
from tests.serve_command import serving
from tests.streamed import streamed


@pytest.fixture(scope="module")
def pcm(demo):
    """The demo recording as 16-bit PCM, and its samplerate."""
    noisy, _, samplerate = demo
    return (noisy * 32767).astype("<i2").tobytes(), samplerate


def truth():
    return [t["keyword"] for t in json.loads(DEMO.with_suffix(".json").read_text())]


def test_a_file_comes_back_cleaned(server, demo):
    noisy, _, samplerate = demo
    with server.client() as client:
        answer = client.post("/clean", content=DEMO.read_bytes())
        wav = client.post("/clean?format=wav&preset=live&limit_db=6", content=DEMO.read_bytes())
    assert answer.status_code == 200
    cleaned, rate = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    assert rate == samplerate
    np.testing.assert_allclose(cleaned, clean(noisy, samplerate), atol=1e-4)
    gentle, _ = soundfile.read(io.BytesIO(wav.content), dtype="float32")
    assert wav.headers["content-type"].endswith("wav")
    np.testing.assert_allclose(
        gentle, clean(noisy, samplerate, preset="live", limit_db=6), atol=1e-4
    )


def test_keywords_of_a_file(server):
    with server.client() as client:
        found = client.post("/spot?name=demo.flac", content=DEMO.read_bytes()).json()
    assert [k["keyword"] for k in found["keywords"]] == truth()
    assert list(found["keywords"][0]) == ["time_s", "keyword", "score"]


def test_a_file_is_searched_as_eagerly_as_the_server_was_told(words):
    with serving("--false-accepts", "1e-6", words=words) as server, server.client() as client:
        found = client.post("/spot?name=demo.flac", content=DEMO.read_bytes()).json()
    assert all(keyword["score"] > 0.9 for keyword in found["keywords"])  # else 0.64 to 0.74


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_what_ffmpeg_reads_is_taken_too(server, tmp_path):
    subprocess.run(["ffmpeg", "-v", "error", "-i", DEMO, tmp_path / "demo.m4a"], check=True)
    with server.client() as client:
        content = (tmp_path / "demo.m4a").read_bytes()
        answer = client.post("/clean?name=demo.m4a&format=flac", content=content)
    assert soundfile.info(io.BytesIO(answer.content)).duration == pytest.approx(17.5, abs=0.2)


def test_sound_is_cleaned_while_it_is_sent(server, pcm):
    content, samplerate = pcm
    curl = subprocess.Popen(
        [
            "curl",
            "-sSN",
            "-T",
            ".",
            "-X",
            "POST",
            "-H",
            f"Authorization: Bearer {server.token}",
            f"{server.http}/stream?samplerate={samplerate}",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    received = bytearray()

    def collect():
        while part := curl.stdout.read(1 << 16):
            received.extend(part)

    reader = threading.Thread(target=collect)
    reader.start()
    half = len(content) // 2 + 1  # in the middle of a sample
    curl.stdin.write(content[:half])
    deadline = time.monotonic() + 60
    while len(received) < half // 2:  # comes before the rest is sent
        assert time.monotonic() < deadline
        time.sleep(0.01)
    curl.stdin.write(content[half:])
    curl.stdin.close()
    reader.join(60)
    curl.stdout.close()
    assert curl.wait(60) == 0
    sound = np.frombuffer(content, "<i2").astype(np.float32) / 32768
    found = np.frombuffer(received, "<i2") / 32768
    np.testing.assert_allclose(found, streamed(sound, samplerate, LIVE_PRESET), atol=2 / 32768)


@pytest.mark.parametrize(("encoding", "kind"), [("f32le", "<f4"), ("s32le", "<i4"), ("u8", "u1")])
def test_two_channels_in_every_encoding(server, demo, encoding, kind):
    noisy, _, samplerate = demo
    sound = np.stack([noisy, np.zeros_like(noisy)], axis=1)[:samplerate]
    scale, silence = {"<f4": (1, 0), "<i4": (2.0**31, 0), "u1": (128, 128)}[kind]
    values = (sound * scale + silence).astype(kind)
    query = f"samplerate={samplerate}&channels=2&encoding={encoding}&preset=studio"
    with server.client() as client:
        answer = client.post(f"/stream?{query}", content=values.tobytes())
    cleaned = (np.frombuffer(answer.content, kind).reshape(-1, 2).astype(float) - silence) / scale
    assert len(cleaned) == len(sound), "the look-ahead is taken back"
    sound = (values.astype(np.float32) - silence) / np.float32(scale)
    np.testing.assert_allclose(cleaned, streamed(sound, samplerate, "studio"), atol=0.01)


def test_keywords_come_as_server_sent_events(server, pcm):
    content, samplerate = pcm
    with server.client() as client:
        answer = client.post(f"/listen?samplerate={samplerate}", content=content)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    facts = [json.loads(line.removeprefix("data: ")) for line in events]
    assert [fact["keyword"] for fact in facts] == truth()
    age = datetime.now().astimezone() - datetime.fromisoformat(facts[-1]["wall_time"])
    assert timedelta(0) < age < timedelta(minutes=1)


def test_a_websocket_carries_sound_and_keywords(server, pcm):
    content, samplerate = pcm

    async def talk():
        url = f"{server.ws}/stream?samplerate={samplerate}"
        sound, keywords = b"", []
        async with connect(url, additional_headers=server.headers) as socket:

            async def send():
                for start in range(0, len(content), 4096):
                    await socket.send(content[start : start + 4096])
                await socket.send("end")

            sending = asyncio.create_task(send())
            async for message in socket:
                if isinstance(message, bytes):
                    sound += message
                else:
                    keywords.append(json.loads(message)["keyword"])
            await sending
        return sound, keywords

    sound, keywords = asyncio.run(talk())
    assert len(sound) == len(content)
    assert keywords == truth()


def test_a_browser_may_send_the_token_in_the_address(server):
    async def talk():
        async with connect(f"{server.ws}/stream?denoise=false&token={server.token}") as socket:
            await socket.send(bytes(3200))
            await socket.send("end")
            return [message async for message in socket]

    assert asyncio.run(talk()) == []


def test_keywords_of_all_streams(server, pcm):
    content, samplerate = pcm
    detected, listening = [], threading.Event()

    def listen():
        with server.client() as client, client.stream("GET", "/events") as answer:
            for line in answer.iter_lines():
                listening.set()
                if line.startswith("data: "):
                    detected.append(json.loads(line.removeprefix("data: ")))
                if len(detected) == len(truth()):
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(10)
    with server.client() as client:
        client.post(f"/listen?samplerate={samplerate}", content=content)
    thread.join(20)
    assert [event["keyword"] for event in detected] == truth()
    assert detected[0]["client"].startswith("http 127.0.0.1:")


def test_nothing_without_the_token(server):
    for path in ("/words", "/events"):
        assert httpx.get(server.http + path).status_code == 401
    for path in ("/clean", "/spot", "/stream", "/listen"):
        answer = httpx.post(server.http + path, headers={"Authorization": "Bearer wrong"})
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]
    for query in ("", "?token=", "?token=wrong"):
        with pytest.raises(InvalidStatus, match="403"):
            asyncio.run(_open(f"{server.ws}/stream{query}"))


async def _open(url, **options):
    async with connect(url, **options) as socket:
        return [message async for message in socket]


def test_health_and_description_are_open(server):
    assert server.health()["status"] == "ok"
    described = httpx.get(f"{server.http}/openapi.json").json()
    page = httpx.get(server.http).text
    for path, methods in described["paths"].items():
        assert path in page
        for method in methods:
            answer = httpx.request(method, server.http + path)
            assert answer.status_code == (200 if path == "/health" else 401)
            wrong = httpx.request("PUT", server.http + path, headers=server.headers)
            assert wrong.status_code == 405, "what is described is there"
    assert "http://" not in page.replace("http://127.0.0.1", ""), (
        "nothing is fetched from elsewhere"
    )
    with server.client() as client:
        assert client.get("/words").json()["words"][:2] == ["yes", "no"]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("samplerate=1", "samplerate 1 Hz"),
        ("samplerate=fast", "samplerate=fast"),
        ("channels=9", "9 channels"),
        ("channels=0", "0 channels"),
        ("encoding=mp3", "encoding 'mp3'"),
        ("preset=loud", "choose one of: call, live, studio"),
        ("preset=../../live", "choose one of"),
        ("limit_db=nan", "limit_db=nan"),
    ],
)
def test_wrong_requests_get_a_sentence(server, query, complaint):
    with server.client() as client:
        answer = client.post(f"/stream?{query}", content=bytes(320))
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]

    with pytest.raises(ConnectionClosed, match="1008") as closed:
        asyncio.run(_open(f"{server.ws}/stream?{query}", additional_headers=server.headers))
    assert complaint in closed.value.rcvd.reason


@pytest.mark.parametrize(
    ("content", "query", "complaint"),
    [
        (b"", "", "empty"),
        (b"RIFF" + bytes(100), "name=x.wav", "x.wav cannot be read"),
        (b"fLaC" + bytes(range(256)) * 40, "name=../../x.flac", "cannot be read"),
        (b"junk", "name=x.m4a", "cannot be read"),
        (b"junk", "format=exe", "format=exe cannot be written"),
        (b"junk", "format=../../x", "cannot be written"),
        (DEMO.read_bytes(), "preset=nowhere", "choose one of"),
    ],
)
def test_files_that_are_none_harm_nobody(server, content, query, complaint):
    with server.client() as client:
        answer = client.post(f"/clean?{query}", content=content)
        assert answer.status_code in (400, 422)
        assert complaint in answer.json()["error"]
        assert "/tmp" not in answer.text
        assert client.post("/spot", content=DEMO.read_bytes()).status_code == 200
    assert server.health()["files"] == 0


def test_limits_hold(small_server):
    flac = io.BytesIO()  # a small file of much silence
    soundfile.write(flac, np.zeros(16000 * 40), 16000, format="FLAC")
    with small_server.client() as client:
        for path in ("/clean", "/spot"):
            large = client.post(path, content=bytes(2 << 20))
            assert (large.status_code, "larger than 1 MiB" in large.text) == (413, True)
            long = client.post(path, content=flac.getvalue())
            assert (long.status_code, "longer than 0.5 minutes" in long.text) == (422, True)

    async def fill():
        url, options = f"{small_server.ws}/stream", {"additional_headers": small_server.headers}
        async with connect(url, **options), connect(url, **options):
            with pytest.raises(ConnectionClosed, match="1013"):
                await _open(url, **options)
            answer = httpx.post(f"{small_server.http}/stream", headers=small_server.headers)
            assert answer.status_code == 503
            assert "all 2 streams are taken" in answer.json()["error"]

    asyncio.run(fill())
    with small_server.client() as client:
        assert client.post("/stream", content=bytes(320)).status_code == 200, "places are freed"


def test_clients_that_fall_silent_are_disconnected(small_server):
    """A header that never ends, a body that never ends, a WebSocket that says nothing."""
    host, port = small_server.http.removeprefix("http://").split(":")
    header = (
        f"POST /stream HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {small_server.token}\r\n"
    )
    for begun in ("", "POST /stream HT", header, f"{header}Content-Length: 9999\r\n\r\n"):
        with socket.create_connection((host, int(port)), 30) as client:
            client.sendall(begun.encode())
            answer = client.recv(4096)
            assert answer == b"" or b"408" in answer or b"200 OK" in answer
    url, options = f"{small_server.ws}/stream", {"additional_headers": small_server.headers}
    with pytest.raises(ConnectionClosed, match="nothing came for 4 s"):
        asyncio.run(_open(url, **options))
    assert small_server.health()["streams"] == 0


def test_the_token_is_kept_in_a_file_of_ones_own(tmp_path):
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "RESONANCE_CONFIG": "/nowhere"}
    process = subprocess.Popen(
        [sys.executable, "-m", "resonance", "serve", "--http", "0", "--wyoming", "0", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, process.stdout as said:
        facts = json.loads(said.readline())
        path = Path(facts["token_file"])
        assert path.is_relative_to(tmp_path)
        assert path.stat().st_mode & 0o077 == 0
        headers = {"Authorization": f"Bearer {path.read_text().strip()}"}
        assert httpx.get(f"{facts['http']}words", headers=headers, timeout=60).status_code == 200
        process.terminate()
