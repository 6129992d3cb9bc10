"""What the window says about recordings, devices and settings is so."""

from dataclasses import replace

import pytest
from PyQt6.QtCore import Qt

from resonance.app.devices import Device
from resonance.app.errors import UserError
from resonance.app.gui.kept import Kept
from resonance.app.live.board import Board
from resonance.app.live.messages import State, StateChange
from tests.gui.conftest import CONNECTION, Recorded


def click_record(qtbot, window):
    qtbot.mouseClick(window.top.record, Qt.MouseButton.LeftButton)


def recording(window):
    """What the button says."""
    return window.top.record.isChecked(), window.top.record.text()


NO, YES = (False, "Record"), (True, "Stop recording")


# Recordings.


def test_nothing_is_recorded_before_anything_is_heard(qtbot, make_window):
    window = make_window(welcomed=True)
    window.session.engine = Recorded(None)
    window.session._become(State.LOADING, "loading")
    click_record(qtbot, window)
    assert recording(window) == NO
    assert "There is no input" in window.status.news.text()


def test_a_recording_that_ends_by_itself_is_over(qtbot, window):
    click_record(qtbot, window)
    assert recording(window) == YES
    engine = window.session.engine
    engine.board = Board({**engine.board.facts, "samplerate": 16000})
    qtbot.waitUntil(lambda: recording(window) == NO)
    assert "samplerate" in window.banner.text
    assert not window.session.recording


def test_a_recording_ends_with_the_engine(qtbot, window):
    click_record(qtbot, window)
    path = window.session.live.recorders[0].path
    window.session.live.receive(StateChange(State.STOPPED, "the engine failed"))
    window.session.tick()
    assert recording(window) == NO
    assert path.exists()
    assert str(path) in window.status.news.text()


# Off.


def test_off_looks_off(qtbot, window):
    called = replace(CONNECTION, virtual_mic="Resonance microphone")
    window.session.live.connection = called
    window.session.keep(virtual_mic=True)
    assert "Resonance microphone" in window.sound._virtual_text.text()
    assert window.levels.heard.db > -60
    window.session.stop()
    assert window.status.news.text() == "Off."
    assert "Start listening" in window.sound._virtual_text.text()
    for _ in range(400):
        window.on_frame()
    assert window.levels.heard.db < -60
    assert window.levels.voice == 0.0


def test_a_device_that_is_back_is_missed_no_longer(window):
    session = window.session
    session.keep(input="Headset")
    window.messages.warn("Headset is gone; using USB Microphone until it returns", "away")
    session._become(State.LISTENING, "listening")
    assert window.banner.isVisible(), "something stands in"
    session.live.connection = replace(CONNECTION, input="Headset")
    session._become(State.LISTENING, "listening")
    assert not window.banner.isVisible()


def test_boxes_are_left_alone_while_no_device_comes_or_goes(window):
    found = [Device("Headset", "ALSA", 1, 1, 48000.0)]
    box = window.sound.input
    window.sound._show_devices(found)
    box.setCurrentIndex(1)  # pointed at, not yet chosen
    window.sound._show_devices(list(found))
    assert box.currentIndex() == 1
    window.sound._show_devices([*found, Device("Late", "ALSA", 1, 0, 48000.0)])
    assert box.findText("Late") > 0


# Settings.


def test_settings_are_written_while_the_window_is_open(qtbot, make_window):
    window = make_window()
    window.session.keep(preset="studio")
    qtbot.waitUntil(lambda: Kept.load().preset == "studio")


def test_settings_that_cannot_be_written_are_told_once(qtbot, make_window, monkeypatch):
    def fail(_):
        raise UserError("the disk is full")

    window = make_window()
    told, tried = [], []
    window.session.warned.connect(lambda text, _: told.append(text))
    monkeypatch.setattr(Kept, "save", lambda kept: (tried.append(kept), fail(kept)))
    monkeypatch.setattr("resonance.app.gui.window_session.KEPT_AFTER_S", 0.0)
    for preset in ("studio", "live"):
        window.session.keep(preset=preset)
        qtbot.waitUntil(lambda: tried[-1:] == [window.session.kept])
    assert told == ["the disk is full"]


@pytest.mark.parametrize(
    ("about", "setting"), [("actions", "apply"), ("recording", "choose_folder")]
)
def test_a_message_leads_to_its_setting(qtbot, window, about, setting):
    window.messages.warn("something failed", about)
    window.banner.action.click()
    shown = getattr(window.sound, setting)
    qtbot.waitUntil(lambda: not shown.visibleRegion().isEmpty())
