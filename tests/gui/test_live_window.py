"""The window on a real sound server: live sound, keywords, devices that come and go, crashes."""

import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
import soundfile
from PyQt6.QtCore import Qt

from resonance.app import devices
from resonance.app.live.messages import State
from resonance.app.pipeline import Pipeline
from tests.sound_server import SoundServer

pytestmark = pytest.mark.audio
MS = 30_000


@pytest.fixture
def calm(server, monkeypatch, make_window, qtbot):
    """A window that listens to silence."""
    for name in ("PULSE_SERVER", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, server.environment[name])
    window = make_window(folder=str(server.root / "music"))
    qtbot.mouseClick(window.welcome.buttons["calls"], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.state == State.LISTENING, timeout=MS)
    yield window
    window.close()
    shutil.rmtree(server.root / "music", ignore_errors=True)


@pytest.fixture
def live(calm, server, demo):
    """The same, and the demo recording is played into the microphone."""
    noisy, _, samplerate = demo
    with server.playing(np.tile(noisy, 20), samplerate):
        yield calm


def test_sound_is_seen_played_recorded_and_saved(live, qtbot, server, live_denoiser):
    window, session = live, live.session
    assert window.top.state.text() == "Listening"
    assert "→" in window.top.devices.text()
    qtbot.waitUntil(lambda: window.levels.input.db > -50, timeout=MS)
    qtbot.waitUntil(lambda: window.status.health.text() != "", timeout=MS)
    assert "delay" in window.status.health.text()
    qtbot.mouseClick(window.top.record, Qt.MouseButton.LeftButton)
    assert window.top.record.text() == "Stop recording"
    qtbot.waitUntil(lambda: "Heard" in window.status.news.text(), timeout=MS)
    qtbot.waitUntil(lambda: window.resonogram._marks != [], timeout=MS)
    recorded = session.live.recorders[0].path
    qtbot.mouseClick(window.top.record, Qt.MouseButton.LeftButton)
    assert soundfile.info(recorded).duration > 0.5
    qtbot.mouseClick(window.top.last, Qt.MouseButton.LeftButton)
    (saved,) = recorded.parent.glob("*last 30 s.flac")
    assert soundfile.info(saved).duration > 1.0
    qtbot.mouseClick(window.top.side.button("original"), Qt.MouseButton.LeftButton)
    board = session.board
    count = board.sound.count
    qtbot.waitUntil(lambda: board.sound.count > count + 48000, timeout=MS)
    late = Pipeline(48000, denoiser=live_denoiser).latency_samples
    sound = board.sound.last(4800 + late)
    np.testing.assert_allclose(sound[:4800, 0], sound[late:, 1], atol=5e-3)
    qtbot.mouseClick(window.top.power, Qt.MouseButton.LeftButton)
    assert window.top.state.text() == "Off"


def test_an_engine_that_is_killed_comes_back_and_the_window_goes_on(live, qtbot):
    window, session = live, live.session
    qtbot.waitUntil(lambda: window.resonogram.paints > 10, timeout=MS)
    first = session.engine.pid
    os.kill(first, signal.SIGKILL)
    qtbot.waitUntil(lambda: session.state == State.RECONNECTING, timeout=MS)
    assert window.top.state.text() == "Reconnecting"
    paints = window.frames
    qtbot.waitUntil(lambda: session.state == State.LISTENING, timeout=MS)
    assert session.engine.pid != first
    assert window.frames > paints, "the window never stood still"
    seen = window.resonogram.paints
    qtbot.waitUntil(lambda: window.resonogram.paints > seen + 10, timeout=MS)


def test_devices_appear_by_name_when_plugged_in_and_the_virtual_microphone_is_made(
    live, qtbot, server
):
    window = live
    sound = window.sound
    qtbot.waitUntil(lambda: sound.devices.output.count() > 1, timeout=MS)
    assert "Resonance microphone" in window.top.devices.text(), "that is what calls are for"
    sound.devices.virtual_mic.click()
    module = server.pactl(
        "load-module",
        "module-null-sink",
        "sink_name=late",
        "sink_properties=device.description=Late",
    ).strip()
    qtbot.waitUntil(lambda: sound.devices.output.findText("Late") >= 0, timeout=MS)
    sound.devices.output.setCurrentIndex(sound.devices.output.findText("Late"))
    sound.devices.output.activated.emit(sound.devices.output.currentIndex())
    qtbot.waitUntil(lambda: "Late" in window.top.devices.text(), timeout=MS)
    server.pactl("unload-module", module)
    qtbot.waitUntil(lambda: sound.devices.output.findText("Late (not there)") >= 0, timeout=MS)
    window.session.keep(output_name=None)
    sound.devices.virtual_mic.click()
    qtbot.waitUntil(lambda: "Resonance microphone" in window.top.devices.text(), timeout=MS)
    assert "Resonance" in server.pactl("list", "sources")


def test_a_sound_server_that_comes_after_the_window_is_seen(
    tmp_path_factory, monkeypatch, make_window, qtbot
):
    server = SoundServer(tmp_path_factory.mktemp("late"))
    for name in ("PULSE_SERVER", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, server.environment[name])
    devices.refresh()
    window = make_window()
    assert window.sound.devices.output.count() == 1, "only the system's default"
    server.start()
    try:
        qtbot.waitUntil(lambda: window.sound.devices.output.count() > 1, timeout=MS)
        assert window.sound.devices.input.findText("Monitor of Null Output") >= 0
    finally:
        window.close()
        server.end()


def test_a_word_is_taught_and_detected(calm, qtbot, server, tmp_path):
    """Three takes by three voices through the microphone, then a fourth voice says it."""
    window = calm
    window.commands.teach()
    teacher = window.commands.teacher
    qtbot.keyClicks(teacher.name, "marvin")
    for number, voice in enumerate(("en-us", "en-gb", "en-us+f3")):
        sound, samplerate = say("marvin", voice, tmp_path / f"{number}.wav")
        padded = np.concatenate([np.zeros(samplerate // 2), sound, np.zeros(samplerate)])
        teacher.add_take(padded.astype(np.float32), samplerate)
    assert len(teacher.takes) == 3
    assert teacher.learn.isEnabled()
    qtbot.mouseClick(teacher.learn, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: teacher.learnt is not None, timeout=MS)
    assert all("others" in take.text.text() for take in teacher.takes)
    qtbot.waitUntil(
        lambda: (
            window.session.board is not None and "marvin" in window.session.board.facts["words"]
        ),
        timeout=MS,
    )
    qtbot.waitUntil(lambda: window.session.state == State.LISTENING, timeout=MS)
    sound, samplerate = say("marvin", "en-us", tmp_path / "again.wav")
    padded = np.concatenate([np.zeros(samplerate), sound, np.zeros(2 * samplerate)])
    with server.playing(0.5 * np.tile(padded, 5), samplerate):
        qtbot.waitUntil(lambda: "Heard" in teacher.outcome.text(), timeout=MS)
    teacher.close()
    window.side.show_panel(window.sound)
    assert [word.word for word in window.session.custom] == ["marvin"]
    window.sound.keywords.forget("marvin")
    assert window.session.custom == ()


def test_a_take_is_recorded_from_the_microphone(live, qtbot):
    live.commands.teach()
    teacher = live.commands.teacher
    qtbot.waitUntil(teacher.record.isEnabled, timeout=MS)
    qtbot.mouseClick(teacher.record, Qt.MouseButton.LeftButton)
    assert "now" in teacher.record.text()
    qtbot.waitUntil(lambda: teacher.record.text() == "Record", timeout=MS)
    assert teacher.takes or teacher.says.text() != ""
    teacher.close()


def say(word, voice, path):
    subprocess.run(["espeak-ng", "-v", voice, "-w", path, word], check=True)
    sound, samplerate = soundfile.read(path)
    return sound, samplerate


def test_a_take_ends_when_the_word_is_over(tmp_path):
    from resonance.app.takes import TAKE_S, has_ended, trimmed

    word, rate = say("marvin", "en-us", tmp_path / "word.wav")
    noise = 1e-3 * np.random.default_rng(0).standard_normal(round(TAKE_S * rate))
    sound = noise.copy()
    sound[rate : rate + len(word)] += 0.5 * word
    sound = sound.astype(np.float32)
    ends = [stop for stop in range(0, len(sound), rate // 20) if has_ended(sound[:stop], rate)]
    spoken = np.flatnonzero(np.abs(word) > 0.05)
    assert ends[0] > rate + spoken[-1]
    assert ends[0] < rate + len(word) + 0.6 * rate
    kept = trimmed(sound[: ends[0]], rate)
    assert abs(len(kept) - np.ptp(spoken)) < 0.45 * rate
    assert not has_ended(noise.astype(np.float32), rate)
