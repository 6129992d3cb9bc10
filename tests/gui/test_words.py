"""Own words in the window: what they start, how easily they are detected, teaching them."""

import time

import numpy as np
import pytest
from PyQt6 import sip
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QComboBox, QMessageBox, QPushButton

from resonance.app.custom_words import CustomWord
from resonance.app.errors import UserError
from resonance.app.gui.kept import Kept
from resonance.app.gui.sound_keywords import RATE_STEPS, _rate_words, rate_of, step_of
from resonance.app.live.messages import Keyword
from resonance.app.spotter import KeywordEvent
from tests.gui.conftest import Recorded

MARVIN = CustomWord("marvin", [1.0, 0.0], 0.5, 1.0, "model", [0.9, 0.05, 0.8])


def hear(window, word):
    window.session.live.receive(Keyword(KeywordEvent(1.0, word, 0.9)))
    window.session.tick()


# Programs.


def test_programs_belong_to_their_words_after_a_restart(make_window, monkeypatch):
    lines = ["marvin=true", "vlc --rate=2", "stop=env A=1 true"]
    Kept(run=lines).save()
    monkeypatch.setattr("resonance.app.gui.window.load_words", lambda: [MARVIN])
    programs = make_window().sound.word_actions.programs
    chosen = [box.currentText() for box in programs.findChildren(QComboBox)]
    assert chosen == ["marvin", "any word", "stop"]
    assert programs.texts() == lines


def test_the_program_of_a_word_that_is_not_there_waits_for_it(
    qtbot, make_window, monkeypatch, tmp_path
):
    lines = [f"marvin=touch {tmp_path}/marvin", f"touch {tmp_path}/any"]
    Kept(run=lines).save()

    def fail():
        raise UserError("a word cannot be read")

    monkeypatch.setattr("resonance.app.gui.window.load_words", fail)
    window = make_window()
    box = window.sound.word_actions.programs.findChildren(QComboBox)[0]
    assert box.currentText() == "marvin (not there)"
    assert window.session.kept.run == lines
    hear(window, "yes")
    qtbot.waitUntil((tmp_path / "any").exists)
    time.sleep(0.1)
    assert not (tmp_path / "marvin").exists()
    window.session.set_custom([MARVIN])
    assert box.currentText() == "marvin"
    hear(window, "marvin")
    qtbot.waitUntil((tmp_path / "marvin").exists)


# Sensitivity.


def test_only_words_that_are_there_have_a_sensitivity(window, spotter):
    session, engine = window.session, window.session.engine
    session.keep(false_accepts_of={"marvin": 5.0, "stop": 2.0})
    assert session.settings.sensitivity.words == {"stop": 2.0}
    session.settings.sensitivity.thresholds(spotter)
    session.set_custom([MARVIN])
    assert session.settings.sensitivity.words == {"stop": 2.0, "marvin": 5.0}
    session.set_custom([])
    assert engine.changes[-1].keys() == {"custom", "sensitivity"}, "together, or it would fail"
    assert session.kept.false_accepts_of["marvin"] == 5.0, "kept for its return"


def test_the_rate_for_all_words_is_also_that_of_ones_own(qtbot, window):
    sound, session = window.sound, window.session
    session.set_custom([MARVIN])
    sound.keywords.each.click()
    assert list(sound.keywords._rates)[-1] == "marvin"
    sound.keywords.rate.setValue(RATE_STEPS)
    assert {slider.value() for slider, _ in sound.keywords._rates.values()} == {RATE_STEPS}
    assert session.settings.sensitivity.words == {"marvin": 10.0}
    sound.keywords._rates["marvin"][0].setValue(0)
    assert session.settings.sensitivity.words == {"marvin": 0.1}


def test_rates_are_said_as_they_are():
    assert all(step_of(rate_of(step)) == step for step in range(RATE_STEPS + 1))
    said = [_rate_words(rate) for rate in (0.1, 0.79, 1.0, 2.5)]
    assert said == ["one in 10 hours", "one in 1.3 hours", "one an hour", "2.5 an hour"]


@pytest.mark.parametrize("sure", [False, True])
def test_forgetting_a_word_asks_first(qtbot, window, monkeypatch, sure):
    answer = QMessageBox.StandardButton.Yes if sure else QMessageBox.StandardButton.No
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answer)
    window.session.set_custom([MARVIN])
    window.sound.keywords.each.click()
    (forget,) = window.sound.keywords._custom.findChildren(QPushButton)
    forget.click()
    assert ("marvin" not in window.sound.keywords._rates) == sure


# Teaching.


@pytest.fixture
def engines(monkeypatch, board):
    """No engine is a process here."""
    monkeypatch.setattr(
        "resonance.app.live.session.EngineProcess", lambda settings: Recorded(board)
    )


@pytest.mark.usefixtures("engines")
def test_escape_leaves_the_microphone_as_it_was(qtbot, make_window):
    window = make_window()
    window.commands.teach()
    first = window.commands.teacher
    assert window.session.listening
    window.commands.teach()
    assert window.commands.teacher is first, "one is enough"
    qtbot.waitUntil(first.isActiveWindow)
    qtbot.keyClick(first, Qt.Key.Key_Escape)
    assert not window.session.listening
    qtbot.waitUntil(lambda: sip.isdeleted(first))
    window.commands.teach()
    assert window.commands.teacher is not first


@pytest.mark.usefixtures("engines")
def test_so_does_closing_the_window(make_window):
    window = make_window()
    window.commands.teach()
    window.close()
    assert not Kept.load().listening


def said(samplerate=48000):
    """A second of sound with something like a word in its middle."""
    sound = 1e-4 * np.random.default_rng(0).standard_normal(samplerate)
    sound[samplerate // 3 : samplerate // 2] *= 1000
    return sound.astype(np.float32)


def test_a_take_dropped_while_it_is_learnt_is_not_judged(qtbot, window):
    window.commands.teach()
    teacher = window.commands.teacher
    for _ in range(3):
        teacher.add_take(said(), 48000)
    takes = list(teacher.takes)
    takes[0].drop.click()
    qtbot.waitUntil(lambda: sip.isdeleted(takes[0]))
    teacher._on_learnt(takes, MARVIN)
    assert "unlike" in takes[1].text.text()
    assert "like the others" in takes[2].text.text()
    assert window.session.custom == (MARVIN,)


def test_takes_come_from_the_microphone_also_while_a_file_plays(window, talk):
    window.commands.teach()
    window.commands.play(talk)
    window.commands.teacher.begin_take()
    assert window.commands.teacher._since[0] is window.session.engine.board
    window.commands.teacher.close()
