"""What people do every day: scroll, open, record, close; and what must not happen meanwhile."""

import configparser
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from PyQt6.QtCore import QObject, QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
    QSlider,
    QTabBar,
    QWidget,
)

from resonance.app.gui import desktop
from resonance.app.gui.cleaning import WAITING
from resonance.app.gui.tray import Tray
from resonance.app.gui.widgets import aside
from resonance.app.gui.window import Window
from resonance.app.live.board import Board
from resonance.app.live.messages import Keyword, State
from resonance.app.spotter import KeywordEvent
from tests.gui.conftest import CONNECTION, show_board

MS = 60_000


def turn_wheel(widget, notches=-1):
    """As a mouse does, over the middle of a widget; what the widget ignores, its parents get."""
    at = QPointF(widget.rect().center())
    while widget:
        event = QWheelEvent(
            at,
            QPointF(widget.mapToGlobal(at.toPoint())),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(widget, event)
        if event.isAccepted():
            return
        widget = widget.parentWidget()


def test_the_wheel_changes_no_control_that_has_not_the_focus(qtbot, window, talk):
    window.commands.play(talk)
    window.sound.keywords.each.click()
    window.sound.word_actions.add.click()
    found = 0
    for tab in range(window.side.tabs.count()):
        window.side.show_tab(tab)
        window.sound.setFocus()
        for kind in (QSlider, QComboBox, QAbstractSpinBox, QTabBar):
            for widget in window.findChildren(kind):
                if not widget.isVisible() or isinstance(widget, QScrollBar) or widget.hasFocus():
                    continue
                found += 1
                kept, value = window.session.kept, _value(widget)
                for notches in (-1, 1):
                    turn_wheel(widget, notches)
                    assert _value(widget) == value, widget.accessibleName()
                assert window.session.kept == kept
    assert found > 15
    window.side.show_panel(window.sound)
    scrolled = window.sound.verticalScrollBar()
    before = scrolled.value()
    turn_wheel(window.sound.cleaning.limit)
    assert scrolled.value() > before, "the panel scrolls under the pointer"
    window.sound.cleaning.limit.setFocus()
    limit = window.sound.cleaning.limit.value()
    turn_wheel(window.sound.cleaning.limit)
    assert window.sound.cleaning.limit.value() != limit, "with the focus it is wanted"


def _value(widget: QWidget):
    return widget.currentIndex() if isinstance(widget, QComboBox | QTabBar) else widget.value()


def test_a_file_is_looked_at_first_and_cleaned_on_request(qtbot, make_window, talk, tmp_path):
    window = make_window()
    window.commands.open_files([talk])
    assert window.session.player.path == talk
    (row,) = window.files.rows()
    assert row._text.text() == "not cleaned yet"
    qtbot.wait(300)
    assert [path.name for path in tmp_path.glob("*.wav")] == ["talk.wav"]
    qtbot.mouseClick(row.clean, Qt.MouseButton.LeftButton)
    assert row.job.state == WAITING
    qtbot.waitUntil((tmp_path / "talk-clean.wav").exists, timeout=MS)


def test_recording_while_a_file_plays_records_the_file(qtbot, window, talk, tmp_path):
    """The microphone goes on beside it, and is not what people see and hear."""
    window.session.keep(folder=str(tmp_path / "recordings"))
    window.commands.play(talk)
    player = window.session.player
    qtbot.waitUntil(lambda: player.place_s > 0.2, timeout=MS)
    qtbot.mouseClick(window.top.record, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: player.place_s > 1.5, timeout=MS)
    path = window.session.live.recorders[0].path
    qtbot.mouseClick(window.top.record, Qt.MouseButton.LeftButton)
    sound, samplerate = soundfile.read(path, dtype="float32")
    assert samplerate == player.samplerate
    played = player.board.sound.since(0)[1][:, 1]
    loud = int(np.abs(sound).argmax())
    piece = sound[max(0, loud - 1000) : loud + 1000]
    begin = int(np.correlate(played, piece).argmax())
    assert np.abs(piece).max() > 0.01
    np.testing.assert_allclose(piece, played[begin : begin + len(piece)], atol=1e-3)


def test_a_recording_of_a_file_ends_with_the_file(qtbot, window, talk, tmp_path):
    window.session.keep(folder=str(tmp_path / "recordings"))
    window.commands.play(talk)
    qtbot.waitUntil(lambda: window.session.board is not None, timeout=MS)
    window.top.record.click()
    assert window.top.record.text() == "Stop recording"
    window.session.end_playing()
    assert window.top.record.text() == "Record"


def test_the_title_says_whether_a_file_plays_is_paused_or_over(qtbot, make_window, talk):
    window = make_window()
    window.commands.play(talk)
    qtbot.waitUntil(lambda: window.top.state.text() == "Playing talk.wav", timeout=MS)
    window.session.player.pause(True)
    qtbot.waitUntil(lambda: window.top.state.text() == "Paused: talk.wav", timeout=MS)
    window.session.player.seek(4.9)
    window.session.player.pause(False)
    qtbot.waitUntil(lambda: window.top.state.text() == "Ended: talk.wav", timeout=MS)
    assert window.player_bar.pause.text() == "Play"


def test_the_microphone_is_not_opened_unasked(make_window):
    first = make_window()
    first.session.start()
    first.close()
    second = make_window()
    assert not second.session.listening
    second.sound.devices.listen_at_start.click()
    assert second.session.kept.listening


# Closing.


def test_the_window_is_gone_before_an_action_that_hangs_is(window):
    class Slow:
        name = "slow"
        seen = None

        def __call__(self, event):
            time.sleep(0.5)
            Slow.seen = window.isVisible()

        def close(self):
            pass

    window.session.live.start_actions([Slow])
    window.session.live.receive(Keyword(KeywordEvent(1.0, "stop", 0.9)))
    window.close()
    assert Slow.seen is False


@pytest.fixture
def in_a_call(window):
    window.session.keep(virtual_mic=True)
    window.session.live.connection = replace(CONNECTION, virtual_mic="Resonance microphone")
    window.session._become(State.LISTENING, "listening")
    return window


def test_the_microphone_of_a_call_outlives_the_window(qtbot, in_a_call):
    window, told = in_a_call, []
    window.hidden.connect(lambda: told.append("hidden"))
    window.closed.connect(lambda: told.append("closed"))
    window.close()
    assert not window.isVisible()
    assert window.session.listening
    assert told == ["hidden"]
    paints = window.resonogram.paints
    frames = window.frames
    qtbot.waitUntil(lambda: window.frames > frames + 3)
    assert window.resonogram.paints == paints, "nobody sees it"
    window.show_again()
    assert window.isVisible()
    qtbot.waitUntil(lambda: window.resonogram.paints > paints)
    window.close()
    window.quit()
    assert told == ["hidden", "hidden", "closed"]
    assert not window.session.listening


def test_closing_ends_all_if_nobody_is_called_or_wants_it_to_run_on(qtbot, in_a_call):
    window = in_a_call
    assert window.runs_on
    window.session.keep(virtual_mic=False)
    assert not window.runs_on
    window.session.keep(virtual_mic=True)
    window.sound.devices.keep_running.click()
    window.close()
    assert not window.session.listening


def test_the_tray_shows_the_state_and_changes_it(qtbot, in_a_call):
    session = in_a_call.session
    tray = Tray(session)
    assert "Listening" in tray.state.text()
    tray.bypass.trigger()
    assert session.bypass
    tray.presets["studio"].trigger()
    assert session.kept.preset == "studio"
    with qtbot.waitSignal(tray.quit_wanted):
        tray.quit.trigger()
    with qtbot.waitSignal(tray.window_wanted):
        tray.show_window.trigger()
    tray.power.trigger()
    assert not session.listening
    assert "Off" in tray.state.text()


# Calls.


def test_the_name_to_choose_in_other_programs_is_said(in_a_call):
    window = in_a_call
    window.session.live.connection = replace(CONNECTION, virtual_mic="Resonance microphone 2")
    window.session._become(State.LISTENING, "listening")
    assert "<b>Resonance microphone 2</b>" in window.sound.devices._virtual_text.text()
    window.sound.devices.hear_myself.click()
    assert window.session.settings.monitor
    assert window.session.settings.output_name is None
    window.session.keep(output_name="Headphones")
    assert window.session.settings.output_name == "Headphones"


def test_whose_delay_and_whose_load_the_numbers_are(window):
    window.status.show_health()
    text = window.status.health.text()
    assert "devices 30 ms, Resonance 0 ms" in text
    assert "Resonance uses" in text


def test_a_message_moves_nothing(qtbot, window):
    before = [widget.geometry() for widget in (window.top, window._pages, window.status)]
    window.banner.say("something is wrong", "device", None)
    QApplication.processEvents()
    assert window.banner.isVisible()
    after = [widget.geometry() for widget in (window.top, window._pages, window.status)]
    assert after == before
    assert window.centralWidget().rect().contains(window.banner.geometry())


def test_it_can_be_added_to_the_applications(window, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    window.commands.add_to_applications()
    entry = tmp_path / "data" / "applications" / "resonance.desktop"
    said = configparser.ConfigParser(interpolation=None)
    said.optionxform = str
    said.read(entry)
    assert said["Desktop Entry"]["Exec"].endswith(" gui %F")
    assert said["Desktop Entry"]["StartupWMClass"] == "resonance"
    assert not desktop.icon().pixmap(32).isNull()
    assert (tmp_path / "data/icons/hicolor/scalable/apps/resonance.svg").exists()
    assert str(entry) in window.status.news.text()


# Empty moments.


def test_a_silent_microphone_is_asked_about(qtbot, make_window, board):
    window = make_window(welcomed=True)
    silent = Board(board.facts)
    silent.sound.put(np.zeros(2205, np.float32), np.zeros(2205, np.float32))
    show_board(window, silent)
    for _ in range(400):
        window.on_frame()
    assert "muted" in window.banner.text
    assert window.banner.action.text() == "Choose another"
    show_board(window, board)
    for _ in range(30):
        window.on_frame()
    assert not window.banner.isVisible()


def test_teaching_shows_its_slots_and_plays_takes_back(qtbot, window, rng):
    window.commands.teach()
    teacher = window.commands.teacher
    assert [slot.isVisible() for slot in teacher.slots] == [True, True, True]
    sound = (1e-4 * rng.standard_normal(32000)).astype(np.float32)
    sound[9600:16000] += 0.3 * np.sin(np.arange(6400) / 5).astype(np.float32)
    teacher.add_take(sound, 16000)
    assert [slot.isVisible() for slot in teacher.slots] == [False, True, True]
    (take,) = teacher.takes
    take.play.click()
    assert not take.play.isEnabled()
    qtbot.waitUntil(take.play.isEnabled, timeout=MS)
    take.drop.click()
    assert [slot.isVisible() for slot in teacher.slots] == [True, True, True]
    teacher.close()


def test_a_window_closed_at_once_begins_nothing_more(qtbot, qapp):
    window = Window(qapp)
    qtbot.addWidget(window)
    window.quit()
    qtbot.wait(50)
    assert not {"aside", "sound server"} & {thread.name for thread in threading.enumerate()}


def test_parts_are_freed_in_the_thread_of_the_window_alone(qtbot, qapp):
    freed, done = [], []

    class Part(QObject):
        def __del__(self):
            freed.append(threading.current_thread())

    part = Part()
    part.itself = part  # garbage from the next line on
    del part
    aside(qapp, lambda: [[] for _ in range(100_000)], done.append, done.append)
    qtbot.waitUntil(lambda: len(freed) + len(done) == 2, timeout=5000)
    assert freed == [threading.main_thread()]
