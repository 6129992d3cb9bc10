"""What devices, servers and processes do to a running engine, and what the user sees of it."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from resonance.app.live.board import Board
from tests.live_command import Live, hears

pytestmark = pytest.mark.audio


@pytest.fixture
def live(server):
    """Starts commands and ends those that a failed test has left."""
    started = []

    def start(*arguments):
        started.append(Live(server, *arguments))
        started[-1].wait_listening(30)
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
            command.process.wait()
            command._reader.join()
            command.process.stderr.close()


def test_the_server_is_killed_and_comes_back(server, live):
    command = live()
    count = len(command.said)
    server.end(signal.SIGKILL)
    line, _ = command.wait_for(lambda line: line.get("state") == "reconnecting", 15)
    assert "went away" in line["text"] or "no sound" in line["text"]
    command.wait_for(lambda line: line.get("state") == "no device", 20)
    time.sleep(1)
    server.start()
    back = time.monotonic()
    _, at = command.wait_listening(20, count)
    assert at - back < 10.0
    time.sleep(0.5)
    assert hears(server)
    assert command.end()["restarts"] == 0, "the engine itself lived on"


def plug_sink(server, name, description):
    return server.pactl(
        "load-module",
        "module-null-sink",
        f"sink_name={name}",
        f"sink_properties=device.description={description}",
    ).strip()


def test_the_microphone_asked_for_is_pulled_out_and_put_back(server, live):
    module = server.plug_microphone("USB microphone")
    hall = plug_sink(server, "hall", "Hall")
    command = live("--input", "USB microphone", "--output", "Hall")
    count = len(command.said)
    server.pactl("unload-module", module)
    command.wait_for(lambda line: "USB microphone is gone" in line.get("warning", ""), 15, count)
    line, _ = command.wait_listening(15, count)
    assert line["input"] != "USB microphone"
    assert line["output"] == "Hall", "what is still there stays"
    count = len(command.said)
    module = server.plug_microphone("USB microphone")
    line, _ = command.wait_listening(15, count)
    assert line["input"] == "USB microphone", "the preferred one is taken back"
    assert hears(server, source="hall.monitor")
    command.end()
    server.pactl("unload-module", module)
    server.pactl("unload-module", hall)


def test_a_headset_without_its_microphone_plays_on_and_does_not_hear_itself(server, live):
    """What is played into it is an input, too, whose name holds the headset's."""
    module, sink = server.plug_microphone("Headset"), plug_sink(server, "headset", "Headset")
    command = live("--input", "Headset", "--output", "Headset")
    count = len(command.said)
    server.pactl("unload-module", module)
    command.wait_for(lambda line: "Headset is gone" in line.get("warning", ""), 15, count)
    line, _ = command.wait_listening(15, count)
    assert line["output"] == "Headset", "not the room's loudspeakers"
    assert "Headset" not in line["input"], line
    time.sleep(1)
    assert hears(server, 3, source="headset.monitor")
    command.end()
    server.pactl("unload-module", sink)


def test_another_default_is_followed_and_our_own_microphone_is_never_one(server, live):
    hall = plug_sink(server, "hall", "Hall")
    command = live()
    count = len(command.said)
    server.pactl("set-default-sink", "hall")
    line, _ = command.wait_listening(15, count)
    assert line["output"] == "Hall"
    count = len(command.said)
    server.pactl("set-default-sink", "ci_out")
    command.wait_listening(15, count)
    command.end()
    command = live("--virtual-mic")
    server.pactl("set-default-source", "resonance_mic")
    time.sleep(1.5)
    assert hears(server, source="resonance_mic"), "it does not listen to itself"
    command.end()
    server.pactl("set-default-source", "mic")
    server.pactl("unload-module", hall)


def test_the_microphone_in_use_stays_when_ours_becomes_the_default(server, live):
    """Also at the next start, though another one is listed behind it."""
    webcam = server.pactl(
        "load-module",
        "module-remap-source",
        "master=ci_out.monitor",
        "source_name=webcam",
        "channels=1",
    ).strip()
    try:
        command = live("--virtual-mic", "--no-spot")
        first, _ = command.wait_listening()
        server.pactl("set-default-source", "resonance_mic")
        time.sleep(1.5)
        assert command.states().count("listening") == 1
        command.end()
        command = live("--virtual-mic", "--no-spot")
        server.pactl("set-default-source", "resonance_mic")
        time.sleep(1.5)
        inputs = {line["input"] for line in command.said if line.get("state") == "listening"}
        assert inputs == {first["input"]}
        command.end()
    finally:
        server.pactl("set-default-source", "mic")
        server.pactl("unload-module", webcam)


def test_a_signal_while_loading_is_not_the_end(server):
    command = Live(server, "--no-spot")
    command.wait_for(lambda line: line.get("state") == "loading", 60)
    command.process.send_signal(signal.SIGUSR1)
    command.wait_listening(60)
    time.sleep(0.5)
    command.end()


def test_a_suspended_microphone_is_told_and_taken_up_again(server, live):
    command = live()
    count = len(command.said)
    server.pactl("suspend-source", "mic", "1")
    server.pactl("suspend-sink", "ci_mic", "1")
    line, _ = command.wait_for(lambda line: line.get("state") == "reconnecting", 15)
    assert "no sound from the device" in line["text"]
    server.pactl("suspend-source", "mic", "0")
    server.pactl("suspend-sink", "ci_mic", "0")
    command.wait_listening(20, count)
    time.sleep(0.5)
    assert hears(server)
    command.end()


def blocks_so_far(listening):
    return Board.attach(Path(listening["board"])).counters()["blocks"]


def test_the_engine_process_is_killed_and_recording_goes_on(server, live, tmp_path):
    command = live("--record", tmp_path / "clean.wav")
    time.sleep(2)
    blocks = blocks_so_far(command.wait_listening()[0])
    count = len(command.said)
    os.kill(command.engine_pid(), signal.SIGKILL)
    line, _ = command.wait_for(lambda line: line.get("died"), 10, count)
    assert "ended unexpectedly (signal 9); starting it again" in line["text"]
    again, _ = command.wait_listening(20, count)
    assert blocks_so_far(again) >= blocks > 100, "the totals go on"
    time.sleep(2)
    assert hears(server)
    assert command.end()["restarts"] == 1
    assert soundfile.info(tmp_path / "clean.wav").duration > 4.0
    assert [path.name for path in tmp_path.iterdir()] == ["clean.wav"]


def test_all_is_stopped_for_two_seconds_and_goes_on(server, live):
    command = live("--no-spot")
    time.sleep(1)
    pids = (command.process.pid, command.engine_pid())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1.5)
    assert hears(server)
    summary = command.end()
    assert summary["restarts"] == 0
    assert summary["dry_blocks"] < 200


def test_a_server_that_hangs_is_survived(server, live):
    command = live()
    count = len(command.said)
    server.process.send_signal(signal.SIGSTOP)
    try:
        command.wait_for(lambda line: line.get("state") == "reconnecting", 20, count)
        time.sleep(4)
    finally:
        server.process.send_signal(signal.SIGCONT)
    command.wait_listening(25, count)
    time.sleep(0.5)
    assert hears(server)
    command.end()


def test_two_devices_with_clocks_of_their_own_are_bridged(server, live):
    command = live("--input", "desk_mic", "--output", "desk_out")
    (line,) = [line for line in command.said if line.get("state") == "listening"]
    assert line["bridge_s"] > 0
    time.sleep(1)
    assert hears(server, 3)
    summary = command.end()
    assert summary["ring_empty"] <= 10


def test_what_is_not_a_number_does_not_stay(server, live):
    command = live("--no-spot")
    broken = np.full(24000, np.nan, np.float32)
    with server.playing(broken, 48000):
        time.sleep(1)
    assert hears(server)
    command.end()


def test_scripts_see_saved_clips_and_signals_save_the_last_seconds(server, live, demo, tmp_path):
    noisy, _, samplerate = demo
    command = live("--clips", "--folder", tmp_path)
    with server.playing(np.tile(noisy[int(6.5 * samplerate) :], 3), samplerate):
        detection, _ = command.wait_for(lambda line: "keyword" in line, 30)
        saved, _ = command.wait_for(lambda line: "saved" in line, 15)
    assert f"keyword {detection['keyword']}" in saved["saved"]
    sound, rate = soundfile.read(saved["saved"])
    assert 1.5 < len(sound) / rate < 3.1, "less only at the very start"
    assert np.abs(sound).max() > 0.05, "the word is on it"
    command.process.send_signal(signal.SIGUSR1)
    last, _ = command.wait_for(lambda line: "last 30 s" in line.get("saved", ""), 15)
    assert 1 < last["seconds"] <= 30
    command.end()


def test_nobody_listens_so_nothing_is_done(server, live):
    """With a virtual microphone and no keywords, the engine rests until a program records."""
    command = live("--virtual-mic", "--no-spot")
    time.sleep(2)
    resting = cpu_s(command.engine_pid())
    time.sleep(2)
    resting = cpu_s(command.engine_pid()) - resting
    t = np.arange(4 * 48000) / 48000
    with (
        server.recording("resonance_mic") as found,
        server.playing(0.5 * np.sin(2 * np.pi * 400 * t), 48000),
    ):
        time.sleep(1)
        working = cpu_s(command.engine_pid())
        time.sleep(2)
        working = cpu_s(command.engine_pid()) - working
    assert np.abs(found[0]).max() > 0.02
    assert resting < 0.75 * working
    command.end()


def test_a_recording_is_made_also_while_nobody_listens(server, live, tmp_path):
    command = live("--virtual-mic", "--no-spot", "--record", tmp_path / "a.wav")
    t = np.arange(2 * 48000) / 48000
    with server.playing(0.5 * np.sin(2 * np.pi * 400 * t), 48000):
        time.sleep(2)
    command.end()
    assert np.abs(soundfile.read(tmp_path / "a.wav")[0]).max() > 0.02


def cpu_s(pid):
    import psutil

    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
