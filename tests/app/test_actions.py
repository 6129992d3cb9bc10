"""Actions against real files, programs, sockets and a real broker."""

import json
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import paho.mqtt.subscribe
import pytest
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from resonance.app.actions import (
    JsonLines,
    Known,
    Mqtt,
    Osc,
    Program,
    WebSocket,
    Worker,
    address,
    makers,
    start_all,
)
from resonance.app.errors import UserError
from resonance.app.live.messages import Keyword
from resonance.app.live.session import LiveSession
from resonance.app.spotter import KeywordEvent

STOP = KeywordEvent(1.5, "stop", 0.9)
GO = KeywordEvent(2.5, "go", 0.8)


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def told():
    return []


def test_events_are_lines_of_json_after_those_already_there(tmp_path, told):
    path = tmp_path / "events.jsonl"
    path.write_text("{}\n")
    worker = Worker(JsonLines(path), told.append)
    worker.put(STOP)
    worker.put(GO)
    worker.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {},
        {"time_s": 1.5, "keyword": "stop", "score": 0.9},
        {"time_s": 2.5, "keyword": "go", "score": 0.8},
    ]
    assert told == []


def test_commands_get_arguments_not_a_shell(tmp_path, told):
    script = tmp_path / "note.py"
    script.write_text(
        "import os, sys; open(sys.argv[1], 'a').write("
        "' '.join([*sys.argv[2:], os.environ['RESONANCE_KEYWORD'], os.environ['RESONANCE_SCORE']]))"
    )
    target = tmp_path / "out put"
    command = f"{sys.executable} {script} '{target}' $HOME '; echo x'"
    worker = Worker(Program(command, "stop"), told.append)
    worker.put(GO)
    worker.put(STOP)
    wait_for(lambda: target.exists() and target.read_text())
    worker.close()
    assert target.read_text() == "$HOME ; echo x stop 0.9"


def test_a_failing_action_is_told_once_and_disturbs_no_other(tmp_path, told):
    path, program = tmp_path / "events.jsonl", tmp_path / "program"
    program.write_text("")
    program.chmod(0o755)
    workers = start_all([partial(Program, str(program)), partial(JsonLines, path)], told.append)
    program.unlink()
    for _ in range(3):
        for worker in workers:
            worker.put(STOP)
    for worker in workers:
        worker.close()
    assert len(told) == 1
    assert str(program) in told[0]
    assert workers[0].failed == 3
    assert len(path.read_text().splitlines()) == 3


def test_a_hanging_action_never_blocks_the_giver():
    class Hanging:
        name = "hanging"

        def __call__(self, event):
            time.sleep(60)

        def close(self):
            pass

    worker = Worker(Hanging(), print)
    begin = time.monotonic()
    for _ in range(1000):
        worker.put(STOP)
    assert time.monotonic() - begin < 0.5
    assert worker.dropped > 500
    worker.close()
    assert time.monotonic() - begin < 6


def test_clients_with_the_token_hear_events(told):
    action = WebSocket("127.0.0.1", 0, "secret")
    worker = Worker(action, told.append)
    url = f"ws://127.0.0.1:{action.port}"
    for wrong in (url, f"{url}/?token=guess"):
        with pytest.raises(InvalidStatus, match="401"):
            connect(wrong)
    headers = {"Authorization": "Bearer secret"}
    with connect(f"{url}/?token=secret") as one, connect(url, additional_headers=headers) as two:
        wait_for(lambda: len(action._clients) == 2)
        worker.put(STOP)
        for client in (one, two):
            assert json.loads(client.recv(5))["keyword"] == "stop"
        two.close()
        worker.put(GO)
        assert json.loads(one.recv(5))["keyword"] == "go"
        worker.close()
    assert told == []


def test_a_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}"):
            WebSocket("127.0.0.1", port, "t")


def test_osc_messages_arrive(told):
    received = queue.Queue()
    dispatcher = Dispatcher()
    dispatcher.map("/resonance/keyword", lambda *message: received.put(message))
    with BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        worker = Worker(Osc(*server.server_address), told.append)
        worker.put(STOP)
        _, word, score, time_s = received.get(timeout=5)
        worker.close()
        server.shutdown()
    assert (word, round(score, 3), time_s) == ("stop", 0.9, 1.5)


@contextmanager
def running_broker(folder, *, anonymous):
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program, "mosquitto is missing: ./system-packages.sh test"
    port, settings = free_port(), folder / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous {str(anonymous).lower()}\n")
    server = subprocess.Popen([program, "-c", settings], stderr=subprocess.DEVNULL)

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(answers)
        yield port
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def broker(tmp_path):
    with running_broker(tmp_path, anonymous=True) as port:
        yield port


def test_a_broker_that_refuses_a_password_is_told_as_that(tmp_path, told):
    with running_broker(tmp_path, anonymous=False) as port:
        worker = Worker(Mqtt(f"mqtt://me:wrong@127.0.0.1:{port}"), told.append)
        worker.put(STOP)
        wait_for(lambda: told)
        worker.close()
    assert "the broker refuses: " in told[0]


def test_a_broker_passes_events_on(broker, told):
    received = queue.Queue()

    def listen():
        received.put(paho.mqtt.subscribe.simple("home/#", port=broker, hostname="127.0.0.1"))

    threading.Thread(target=listen, daemon=True).start()
    worker = Worker(Mqtt(f"mqtt://127.0.0.1:{broker}/home"), told.append)
    deadline = time.monotonic() + 10
    while received.empty() and time.monotonic() < deadline:
        worker.put(STOP)  # again until the subscription stands
        time.sleep(0.1)
    message = received.get(timeout=1)
    worker.close()
    assert message.topic == "home/stop"
    assert json.loads(message.payload)["score"] == 0.9


def test_a_silent_broker_is_told(told):
    worker = Worker(Mqtt(f"mqtt://me:secret@127.0.0.1:{free_port()}"), told.append)
    worker.put(STOP)
    wait_for(lambda: told)
    assert "broker does not answer" in told[0]
    worker.close()


def test_addresses():
    assert address("8765") == ("127.0.0.1", 8765)
    assert address("0.0.0.0:9000") == ("0.0.0.0", 9000)
    for wrong in ("", "host", "host:99999", "host:-1"):
        with pytest.raises(UserError, match="HOST:PORT"):
            address(wrong)
    with pytest.raises(UserError, match="mqtt://"):
        Mqtt("broker.local")


def test_options_become_actions(tmp_path):
    made = [
        make()
        for make in makers(
            {"events": tmp_path / "e.jsonl", "run": ("stop=true", "true a=b"), "osc": "9000"},
            Known(["stop"]),
        )
    ]
    for action in made:
        action.close()
    kinds = [type(action) for action in made]
    assert kinds == [JsonLines, Program, Program, Osc]
    assert [made[1].word, made[2].word] == ["stop", None]
    for wrong in ("", "'"):
        with pytest.raises(UserError):
            Program(wrong)
    with pytest.raises(UserError, match="no-such-folder"):
        JsonLines(tmp_path / "no-such-folder" / "e.jsonl")


HANDSHAKE = b"""GET /?token=t HTTP/1.1\r
Host: here\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r
Sec-WebSocket-Version: 13\r
\r
"""


def test_replacing_actions_does_not_wait_for_a_client_that_does_not_read(tmp_path):
    session, port = LiveSession(tmp_path), free_port()
    make = partial(WebSocket, "127.0.0.1", port, "t")
    session.start_actions([make])
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(HANDSHAKE)
        before = session.workers[0]
        wait_for(lambda: before.action._clients)
        long = KeywordEvent(1.0, 1_000_000 * "stop", 0.9)
        while all(waiting.empty() for waiting in before.action._queues()):
            before.put(long)
            time.sleep(0.02)
        begin = time.monotonic()
        session.start_actions([make])
        assert time.monotonic() - begin < 0.5
    session.close()


def test_replacing_actions_does_not_wait_for_one_that_hangs(tmp_path):
    class Slow:
        name = "slow"

        def __call__(self, event):
            time.sleep(1.5)

        def close(self):
            pass

    session = LiveSession(tmp_path)
    port = free_port()
    session.start_actions([Slow, partial(WebSocket, "127.0.0.1", port, "t")])
    session.receive(Keyword(STOP))
    begin = time.monotonic()
    session.start_actions([partial(WebSocket, "127.0.0.1", port, "t")])  # its port is free again
    assert time.monotonic() - begin < 1.0
    session.close()
