"""What others wrote is checked: words, models, records, addresses, clients."""

import base64
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from resonance.app import enrolment
from resonance.app.actions import JsonLines, Program, WebSocket, address, broker
from resonance.app.batch.worker import Outcome
from resonance.app.custom_words import PARTS, Background, CustomWord
from resonance.app.errors import UserError
from resonance.app.model_facts import DEFAULTS, has_external_data, wrong_fact
from resonance.app.pipeline import Pipeline
from resonance.app.spotter import KeywordEvent

EVENT = KeywordEvent(1.0, "stop", 0.9)


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.setenv("RESONANCE_WORDS", str(tmp_path / "words"))
    return tmp_path / "words"


@pytest.fixture
def good(spotter):
    background = Background(spotter)
    places = background.map.shape[1]
    return {
        "word": "otter",
        "direction": [places**-0.5] * places * PARTS,
        "threshold": 0.9,
        "per_hour": 1.0,
        "model": background.sha256,
        "agreement": [0.8],
    }


def write_word(folder, facts):
    (folder / "otter").mkdir(parents=True, exist_ok=True)
    (folder / "otter" / "word.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("word", "../otter"),
        ("word", "go"),
        ("word", ["otter"]),
        ("word", "a\x1b[2J"),
        ("direction", [1.0]),
        ("direction", [320**-0.5] * 320),  # one part, as earlier versions had
        ("direction", "x"),
        ("direction", None),
        ("threshold", "high"),
        ("threshold", -5),
        ("threshold", True),
        ("per_hour", float("nan")),
        ("agreement", 3),
        ("span_s", -1),
        ("model", 7),
    ],
)
def test_words_that_make_no_sense_are_refused(words, good, spotter, name, value):
    write_word(words, {**good, name: value})
    with pytest.raises(UserError, match="otter"):
        enrolment.load_all(spotter)


def test_remains_of_a_kill_are_not_in_the_way(words, good, spotter, tmp_path):
    write_word(words, good)
    (words / ".otter.old").mkdir()
    (words / ".otter.old" / "word.json").write_text(json.dumps(good))
    (words / "otter" / "9.flac").write_bytes(b"half a recording")
    assert [word.word for word in enrolment.load_all(spotter)] == ["otter"]
    take = tmp_path / os.fsdecode(b"t\xffke.wav")
    soundfile.write(os.fsencode(take), np.full(8000, 0.1), 16000)
    enrolment.save(CustomWord(**good), [take])
    assert [word.word for word in enrolment.load_all(spotter)] == ["otter"]
    listed = json.loads((words / "otter" / "word.json").read_text())["recordings"]
    assert [(words / "otter" / name).stat().st_mode & 0o777 for name in listed] == [0o600]


def test_forgetting_touches_only_what_enroll_made(words, good, tmp_path):
    write_word(words, good)
    (words / "otter" / "notes.txt").write_text("mine")
    (tmp_path / "word.json").write_text("{}")
    for name in ("..", ".", "", "a/b"):
        with pytest.raises(UserError, match="no custom word"):
            enrolment.forget(name)
    enrolment.forget("otter")
    assert [path.name for path in (words / "otter").iterdir()] == ["notes.txt"]
    assert (tmp_path / "word.json").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hop_s", 0),
        ("hop_s", None),
        ("f0_hz", []),
        ("f0_hz", [1, "x"]),
        ("damping_ratio", [2.0]),
        ("carriers", [False] * 160),
        ("lookahead_s", -1),
        ("parts", 0),
        ("parts", 17),
        ("parts", 2.5),
        ("updates", 0),
        ("updates", 3),
        ("ramp_s", float("inf")),
    ],
)
def test_facts_of_a_model_are_checked(denoiser, name, value):
    assert wrong_fact(denoiser.facts, "denoiser") is None
    assert wrong_fact({**denoiser.facts, name: value}, "denoiser")
    without = {key: fact for key, fact in denoiser.facts.items() if key != name}
    assert wrong_fact(without, "denoiser") or name in DEFAULTS


def test_models_that_lead_to_other_files_are_known(denoiser):
    assert not has_external_data(denoiser.path.read_bytes())
    assert has_external_data(b"\x6a\x15\n\x08location\x12\x09/etc/motd")


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null", '{"levels": 3, "warnings": "x"}'])
def test_damaged_records_are_read_as_far_as_they_make_sense(text):
    outcome = Outcome.from_json("a", "b", text)
    assert (outcome.source, outcome.levels) == ("a", None)
    assert isinstance(outcome.warnings, list)


@pytest.mark.parametrize("text", ["mqtt://[::1", "mqtt://h:²", "mqtt://u:hush@/x", "mqtt://h/a+b"])
def test_addresses_are_checked_and_passwords_not_shown(text):
    with pytest.raises(UserError) as caught:
        broker(text)
    assert "hush" not in str(caught.value)
    for wrong in ("²", "1:99999", "a b:80", "-1"):
        with pytest.raises(UserError):
            address(wrong)
    assert address("[::1]:80") == ("::1", 80)


def test_programs_get_no_token_and_print_beside_the_events(tmp_path):
    code = (
        "import time\n"
        "from resonance.app.actions import Program\n"
        "from resonance.app.spotter import KeywordEvent\n"
        "c = Program('sh -c \"echo heard $RESONANCE_KEYWORD token:$RESONANCE_TOKEN.\"')\n"
        "c(KeywordEvent(1.0, 'stop', 0.9)); time.sleep(1); c.close()\n"
    )
    environment = {**os.environ, "RESONANCE_TOKEN": "hush"}
    program = [sys.executable, "-c", code]
    done = subprocess.run(program, capture_output=True, text=True, env=environment)
    assert done.stdout == ""
    assert done.stderr == "heard stop token:.\n"
    assert Program("true").word is None
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        JsonLines(tmp_path / "link")


def test_clients_that_vanish_or_do_not_read_disturb_nobody(capfd):
    server = WebSocket("127.0.0.1", 0, "t")
    key = base64.b64encode(b"k" * 16).decode()

    def client(extra=""):
        peer = socket.create_connection(("127.0.0.1", server.port))
        peer.sendall(
            f"GET /?token=t HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n".encode()
        )
        peer.settimeout(5)
        return peer, peer.recv(300)

    gone, _ = client()
    gone.close()
    refused, answer = client("Authorization: a\r\nAuthorization: b\r\n")
    assert b"401" in answer
    slow, _ = client()
    begin = time.monotonic()
    for _ in range(5000):
        server(EVENT)
    assert time.monotonic() - begin < 5
    strangers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    time.sleep(0.5)
    assert server._waiting <= 16
    for peer in (refused, slow, *strangers):
        peer.close()
    begin = time.monotonic()
    server.close()
    assert time.monotonic() - begin < 20, "nobody keeps it from ending"
    assert "Traceback" not in capfd.readouterr().err


def test_channels_share_one_solution_of_the_bank(denoiser):
    Pipeline(48000, 1, denoiser=denoiser)
    begin = time.process_time()
    Pipeline(48000, 40, denoiser=denoiser)
    assert time.process_time() - begin < 1.5
