"""What the window says about recordings, devices and settings is so."""

from dataclasses import replace
from operator import attrgetter

import pytest
from PyQt6.QtCore import Qt

from resonance.app import config
from resonance.app.devices import Device
from resonance.app.errors import UserError
from resonance.app.gui import theme as themes
from resonance.app.gui.kept import NATURAL_DB, Kept
from resonance.app.gui.views.frequency_scale import EAR, LINEAR, SHARP
from resonance.app.live.board import Board
from resonance.app.live.messages import State, StateChange
from resonance.app.setting import settings_of
from tests.gui.conftest import CONNECTION, Recorded


def click_record(qtbot, window):
    qtbot.mouseClick(window.top.record, Qt.MouseButton.LeftButton)


def recording(window):
    """What the button says."""
    return window.top.record.isChecked(), window.top.record.text()


NO, YES = (False, "Record"), (True, "Stop recording")


# Recordings.


def test_nothing_is_recorded_before_any_sound_comes_in(qtbot, make_window):
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
    assert "Resonance microphone" in window.sound.devices._virtual_text.text()
    assert window.levels.input.db > -60
    window.session.stop()
    assert window.status.news.text() == "Off."
    assert "Start listening" in window.sound.devices._virtual_text.text()
    for _ in range(400):
        window.on_frame()
    assert window.levels.input.db < -60
    assert window.levels.voice == 0.0


def test_a_device_that_is_back_is_missed_no_longer(window):
    session = window.session
    session.keep(input_name="Headset")
    window.messages.warn("Headset is gone; using USB Microphone until it returns", "away")
    session._become(State.LISTENING, "listening")
    assert window.banner.isVisible(), "something stands in"
    session.live.connection = replace(CONNECTION, input="Headset")
    session._become(State.LISTENING, "listening")
    assert not window.banner.isVisible()


def test_boxes_are_left_alone_while_no_device_comes_or_goes(window):
    found = [Device("Headset", "ALSA", 1, 1, 48000.0)]
    box = window.sound.devices.input
    window.sound.devices._show_devices(found)
    box.setCurrentIndex(1)  # pointed at, not yet chosen
    window.sound.devices._show_devices(list(found))
    assert box.currentIndex() == 1
    window.sound.devices._show_devices([*found, Device("Late", "ALSA", 1, 0, 48000.0)])
    assert box.findText("Late") > 0


# Settings.


def test_settings_are_written_while_the_window_is_open(qtbot, make_window):
    window = make_window()
    window.session.keep(preset="studio")
    qtbot.waitUntil(lambda: Kept.load().preset == "studio")


WRONG = """[window]
theme = "drak" # at night
limit_db = "loud"
run = [1]
mqtt = 5
token = 7
widht = 900
tab = 2
"""


def write_settings(text):
    config.path().parent.mkdir(parents=True, exist_ok=True)
    config.path().write_text(text)


def test_settings_that_make_no_sense_are_reported(make_window):
    write_settings(WRONG)
    window = make_window()
    said = window.banner.text
    assert str(config.path()) in said
    assert "theme = 'drak': choose one of: system, dark, light" in said
    assert "limit_db = 'loud': choose a number from 0 to 200" in said
    assert "run = [1]: choose a list of texts" in said
    assert "and 3 more" in said
    assert window.session.kept.limit_db == NATURAL_DB
    assert window.session.kept.tab == 2, "the others count"


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("mqtt = 5", "mqtt = …: choose a text"),
        ("preset = 'nowhere'", "preset = 'nowhere': choose one of: call, live, studio, vowels"),
        ("block_ms = 9000.0", "block_ms = 9000.0: choose a number from 1 to 200"),
        ("false_accepts_of.no = 0", "{'no': 0}: choose a table of numbers from 1e-09 to 1e+06"),
        ("spot = 1", "spot = 1: choose true or false"),
        ("tab = -1", "tab = -1: choose a whole number from 0"),
        ("width = 1e3", "width = 1000.0: choose a whole number from 1 to 100000"),
        ("widht = 900", "widht = 900: there is no such setting"),
    ],
)
def test_a_complaint_names_what_can_be_chosen(written, complaint):
    write_settings(f"[window]\n{written}\n")
    assert Kept.load().complaint.endswith(complaint)


def test_a_wrong_setting_stays_in_the_file_until_it_is_chosen(make_window):
    write_settings(WRONG)
    window = make_window()
    window.session.keep(tab=3)
    window.close()
    assert config.path().read_text() == WRONG.replace("tab = 2", "tab = 3")
    window = make_window()
    window.sound.theme.button("system").click()  # the usual one, and what there is already
    window.sound.cleaning.limit.setValue(18)
    window.session.keep(tab=2)
    window.close()
    text = WRONG.replace('theme = "drak" # at night\n', "")
    assert config.path().read_text() == text.replace('"loud"', "18.0")


def test_no_limit_is_kept(make_window):
    window = make_window()
    window.sound.cleaning.strength.button("all").click()
    window.close()
    assert "limit_db = -1.0" in config.path().read_text()
    kept = Kept.load()
    assert kept.limit_db is None
    assert not kept.complaint


def test_names_of_scales_are_those_that_can_be_kept():
    row = settings_of(Kept)["frequency_scale"]
    assert row.texts() == [SHARP, EAR, LINEAR]
    assert set(settings_of(Kept)["theme"].texts()) - {"system"} == set(themes.THEMES)


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
    ("about", "setting"),
    [("actions", "word_actions.apply"), ("recording", "recordings.choose_folder")],
)
def test_a_message_leads_to_its_setting(qtbot, window, about, setting):
    window.messages.warn("something failed", about)
    window.banner.action.click()
    shown = attrgetter(setting)(window.sound)
    qtbot.waitUntil(lambda: not shown.visibleRegion().isEmpty())
