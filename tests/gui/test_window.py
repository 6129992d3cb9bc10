"""The window without devices: every control by mouse and by key, files, settings, looks."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest
import soundfile
from PyQt6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDragEnterEvent, QDropEvent
from PyQt6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLabel, QLineEdit, QSlider

from resonance.app import config
from resonance.app.gui import theme as themes
from resonance.app.gui.cleaning import CANCELLED, DONE, FAILED
from resonance.app.gui.kept import NATURAL_DB, Kept
from resonance.app.gui.shortcuts import all_keys
from resonance.app.gui.views.frequency_scale import LINEAR, SHARP
from resonance.app.gui.views.resonogram import DIFFERENCE
from resonance.app.live.messages import Keyword, State
from resonance.app.pipeline import Pipeline
from resonance.app.spotter import KeywordEvent
from resonance.assets import DEMO
from tests.gui.conftest import show_board

ROOT = Path(__file__).parents[2]
MS = 60_000


def press(qtbot, window, key, modifier=Qt.KeyboardModifier.NoModifier):
    """A key, wherever the focus is."""
    window.activateWindow()
    window.raise_()
    window.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is not None)
    qtbot.keyClick(QApplication.focusWidget(), key, modifier)


# Without a device.


def test_it_opens_with_three_things_to_do_and_says_so_when_there_is_no_device(qtbot, make_window):
    window = make_window()
    assert window.welcome.isVisible()
    assert window.top.state.text() == "Off"
    qtbot.mouseClick(window.welcome.buttons["calls"], Qt.MouseButton.LeftButton)
    assert window.session.state == State.LOADING
    qtbot.waitUntil(lambda: window.session.state == State.NO_DEVICE, timeout=MS)
    assert window.banner.isVisible()
    assert "device" in window.banner.text
    assert window.banner.text.endswith(".")
    assert window.banner.action.text() == "Choose a device"
    qtbot.mouseClick(window.banner.action, Qt.MouseButton.LeftButton)
    assert window.side.tabs.currentWidget() is window.sound
    assert window.top.state.text() == "No device"
    press(qtbot, window, Qt.Key.Key_Space)
    assert window.session.state == State.STOPPED
    assert not window.session.listening


def test_unreadable_settings_are_told_and_do_not_keep_it_from_opening(make_window, monkeypatch):
    config.path().parent.mkdir(parents=True)
    config.path().write_text("this is = no [TOML")
    window = make_window()
    assert window.banner.isVisible()
    assert "cannot be read" in window.banner.text


# Keys and controls.


def test_every_key_does_what_the_sheet_says(qtbot, window, tmp_path):
    session = window.session
    keys = {name: text for name, text, _ in all_keys()}
    assert set(window.commands.shortcuts) == set(keys) - {"toggle"}
    press(qtbot, window, Qt.Key.Key_B)
    assert session.bypass
    assert window.top.side.value == "original"
    press(qtbot, window, Qt.Key.Key_F)
    qtbot.waitUntil(lambda: window.resonogram.frozen)
    assert window.main.freeze.isChecked()
    assert window.resonogram.scale_name == SHARP == window.main.scale.value
    press(qtbot, window, Qt.Key.Key_L)
    press(qtbot, window, Qt.Key.Key_L)
    assert window.resonogram.scale_name == LINEAR == window.main.scale.value
    press(qtbot, window, Qt.Key.Key_D)
    assert window.resonogram.below == DIFFERENCE == window.main.below.value
    press(qtbot, window, Qt.Key.Key_BracketLeft)
    assert session.kept.limit_db == NATURAL_DB - 3
    press(qtbot, window, Qt.Key.Key_BracketRight)
    assert session.kept.limit_db == NATURAL_DB
    for preset in ("studio", "live", "call"):  # from call, the usual one, round to it
        press(qtbot, window, Qt.Key.Key_P)
        assert session.kept.preset == preset == window.sound.cleaning.preset.value
    press(qtbot, window, Qt.Key.Key_M)
    assert session.kept.virtual_mic
    assert window.sound.devices.virtual_mic.isChecked()
    assert not window.sound.devices.output.isEnabled()
    for number in range(6):
        press(qtbot, window, Qt.Key(Qt.Key.Key_1 + number))
        assert window.side.tabs.currentIndex() == number
    press(qtbot, window, Qt.Key.Key_A)
    of_the_sound = [view for view in window.views if view is not window.play_with_one]
    assert all(view.isVisible() for view in of_the_sound)
    window.banner.hide()
    press(qtbot, window, Qt.Key.Key_Escape)
    assert not window.bank.isVisible()
    press(qtbot, window, Qt.Key.Key_T)
    assert session.kept.theme in themes.THEMES
    press(qtbot, window, Qt.Key.Key_S)
    assert list(tmp_path.glob("*last 30 s.flac")), window.status.news.text()
    press(qtbot, window, Qt.Key.Key_E)
    assert window.commands.teacher.isVisible()
    window.commands.teacher.close()
    press(qtbot, window, Qt.Key.Key_Question)
    assert window.commands.sheet.isVisible()
    listed = [made.text() for made in window.commands.sheet.findChildren(QLabel)]
    assert all(f"<b>{text}</b>" in listed for text in keys.values())
    window.commands.sheet.close()


def test_space_presses_the_button_that_has_the_focus(qtbot, window):
    window.main.freeze.setFocus()
    qtbot.keyClick(window.main.freeze, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: window.resonogram.frozen)
    assert window.session.listening, "nothing was stopped"


def test_what_was_kept_and_what_is_frozen_can_be_seen(qtbot, make_window, board, talk):
    Kept(frequency_scale=LINEAR).save()
    window = make_window()
    assert window.resonogram.scale_name == LINEAR == window.main.scale.value
    window.main.freeze.click()
    assert not window.main.freeze.isChecked(), "there is nothing to be frozen"
    show_board(window, board)
    window.main.freeze.click()
    assert window.main.freeze.isChecked()
    window.commands.play(talk)
    assert not window.main.freeze.isChecked()
    assert not window.resonogram.frozen
    assert QApplication.focusWidget() is window.player_bar.pause, "Space pauses"


def test_escape_lets_go_of_an_oscillator_before_it_ends_the_file(qtbot, window, talk):
    window.commands.play(talk)
    window.side.show_tab(0)
    window.wheel.follow(3)
    window.wheel.setFocus()
    window.commands.go_back()
    assert window.wheel.followed is None
    assert window.session.player
    window.commands.go_back()
    assert window.session.player is None


def test_a_minimised_window_computes_no_views(qtbot, window, monkeypatch):
    window.showMinimized()
    qtbot.waitUntil(window.isMinimized)
    monkeypatch.setattr(window.feed, "frame", lambda board: pytest.fail("nobody sees it"))
    window.on_frame()


def test_letters_are_typed_into_fields(qtbot, window):
    window.side.show_panel(window.sound)
    field = window.sound.word_actions.fields["mqtt"]
    field.setFocus()
    qtbot.keyClicks(field, "mab")
    assert field.text() == "mab"
    assert not window.session.bypass


def test_controls_by_mouse(qtbot, window):
    click, left = qtbot.mouseClick, Qt.MouseButton.LeftButton
    session, sound = window.session, window.sound
    click(window.top.side.button("original"), left)
    assert session.bypass
    click(window.top.side.button("cleaned"), left)
    assert not session.bypass
    click(window.main.below.button("phase"), left)
    assert window.resonogram.below == "phase"
    window.side.show_panel(window.sound)
    click(sound.cleaning.preset.button("studio"), left)
    assert session.kept.preset == "studio"
    assert sound.cleaning.strength.value == "natural"
    click(sound.cleaning.strength.button("all"), left)
    assert session.settings.limit_db is None
    assert sound.cleaning._limit_text.text() == "Removes all it can"
    sound.cleaning.limit.setValue(18)
    assert session.settings.limit_db == 18
    assert "18 dB" in sound.cleaning._limit_text.text()
    assert sound.cleaning.strength.value == "", "none of the choices"
    sound.keywords.rate.setValue(sound.keywords.rate.maximum())
    assert session.settings.sensitivity.per_hour == 10
    click(sound.keywords.each, left)
    sliders = sound.keywords._each.findChildren(QSlider)
    assert len(sliders) == 10
    sliders[0].setValue(0)
    assert session.settings.sensitivity.words == {"yes": 0.1}
    sound.keywords.spot.click()
    assert not session.settings.spot
    sound.recordings.record.button("both").click()
    assert session.kept.record == "both"


def test_everything_that_takes_the_focus_has_a_name(window):
    for tab in range(window.side.tabs.count()):
        window.side.show_tab(tab)
        for kind in (QAbstractButton, QComboBox, QLineEdit, QSlider):
            for widget in window.findChildren(kind):
                if widget.focusPolicy() == Qt.FocusPolicy.NoFocus or not widget.isVisible():
                    continue
                name = widget.accessibleName() or getattr(widget, "text", str)()
                inner = isinstance(widget.parent(), QComboBox | QLineEdit)
                assert name or inner, f"{kind.__name__} without a name"


def test_settings_stay(qtbot, make_window):
    first = make_window()
    first.session.keep(
        preset="studio",
        limit_db=12.0,
        run=["stop=true"],
        false_accepts=2.5,
        false_accepts_of={"stop": 5.0},
        theme="light",
        virtual_mic=True,
    )
    first.close()
    kept = Kept.load()
    assert kept.preset == "studio"
    assert kept.limit_db == 12.0
    assert kept.false_accepts_of == {"stop": 5.0}
    text = config.path().read_text()
    assert "[window]" in text
    assert "output" not in text, "only what differs from the usual is written"
    second = make_window()
    assert second.theme is themes.LIGHT
    assert second.sound.word_actions.programs.texts() == ["stop=true"]


def test_the_rest_of_the_settings_file_survives(make_window):
    config.path().parent.mkdir(parents=True, exist_ok=True)
    config.path().write_text("# mine\n[live]\nlimit-db = 18\n")
    window = make_window()
    window.session.keep(limit_db=6.0)
    window.close()
    text = config.path().read_text()
    assert "# mine" in text
    assert "limit-db = 18" in text
    assert Kept.load().limit_db == 6.0


# Actions.


def test_actions_are_checked_and_run(qtbot, window, tmp_path):
    sound = window.sound
    window.side.show_panel(window.sound)
    sound.word_actions.add.click()
    row = sound.word_actions.programs.findChildren(QComboBox)[0]
    row.setCurrentIndex(row.findData("stop"))
    program = sound.word_actions.programs.findChildren(QLineEdit)[0]
    program.setText(f"touch {tmp_path}/stopped")
    sound.word_actions.fields["events"].setText(str(tmp_path / "words.jsonl"))
    sound.word_actions.apply.click()
    assert sound.word_actions._actions_text.text() == "In use."
    assert window.session.kept.run == [f"stop=touch {tmp_path}/stopped"]
    window.session.live.receive(Keyword(KeywordEvent(1.0, "stop", 0.9)))
    window.session.tick()
    qtbot.waitUntil((tmp_path / "stopped").exists)
    qtbot.waitUntil(lambda: "stop" in (tmp_path / "words.jsonl").read_text())
    assert "stop" in window.status.news.text()
    sound.word_actions.fields["websocket"].setText("no port")
    sound.word_actions.apply.click()
    assert "no address" in sound.word_actions._actions_text.text()


# Files.


def drop(window, *paths):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    facts = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton
    for kind, place in ((QDragEnterEvent, QPoint(50, 50)), (QDropEvent, QPointF(50, 50))):
        event = kind(place, *facts, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(window, event)


def test_dropped_files_are_cleaned_beside_the_originals(qtbot, make_window, talk, tmp_path):
    window = make_window()
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFFnothing")
    drop(window, talk, broken)
    jobs = window.cleaner.jobs
    assert len(jobs) == 2
    qtbot.mouseClick(window.files.clean_all, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: jobs[0].state == DONE and jobs[1].state == FAILED, timeout=MS)
    cleaned, samplerate = soundfile.read(tmp_path / "talk-clean.wav")
    original, _ = soundfile.read(talk)
    assert len(cleaned) == len(original)
    assert np.std(cleaned) < np.std(original)
    good, bad = window.files.rows()
    assert "talk-clean.wav" in good._text.text()
    assert bad.retry.isVisibleTo(window.files)
    assert "broken.wav" in bad._text.text()
    soundfile.write(broken, original, samplerate)
    qtbot.mouseClick(bad.retry, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: jobs[-1].state == DONE, timeout=MS)
    assert (tmp_path / "broken-clean.wav").exists()


def test_a_long_file_can_be_cancelled_and_leaves_nothing(qtbot, make_window, demo, tmp_path):
    noisy, _, samplerate = demo
    path = tmp_path / "long.flac"
    soundfile.write(path, np.tile(noisy, 60), samplerate)
    window = make_window()
    window.files.add([path])
    (job,) = window.cleaner.jobs
    (row,) = window.files.rows()
    row.clean.click()
    qtbot.waitUntil(lambda: job.share > 0, timeout=MS)
    qtbot.waitUntil(lambda: "left" in row._text.text(), timeout=MS)
    qtbot.mouseClick(row.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: job.state == CANCELLED, timeout=MS)
    assert [p.name for p in tmp_path.glob("*.flac")] == ["long.flac"]
    assert not list(tmp_path.glob(".*part"))


def test_an_existing_file_is_never_replaced(qtbot, make_window, talk, tmp_path):
    (tmp_path / "talk-clean.wav").write_bytes(b"precious")
    window = make_window()
    window.files.add([talk])
    assert window.cleaner.jobs[0].target.name == "talk-clean 2.wav"
    assert (tmp_path / "talk-clean.wav").read_bytes() == b"precious"


def test_files_that_bring_nothing_new_are_told(make_window, talk, tmp_path):
    window = make_window()
    (tmp_path / "empty").mkdir()
    drop(window, tmp_path / "empty")
    assert "no new sound files" in window.status.news.text()
    drop(window, talk, talk)
    drop(window, talk)
    assert len(window.cleaner.jobs) == 1
    assert window.session.player.path == talk


def test_files_of_one_name_get_a_place_each(make_window, talk, tmp_path, monkeypatch):
    other = tmp_path / "other" / "talk.wav"
    other.parent.mkdir()
    other.write_bytes(talk.read_bytes())
    window = make_window(clean_to=str(tmp_path / "clean"))
    jobs = window.files.add([talk, other])
    assert [job.target.name for job in jobs] == ["talk-clean.wav", "talk-clean 2.wav"]
    chosen = "resonance.app.gui.files.QFileDialog.getExistingDirectory"
    monkeypatch.setattr(chosen, lambda *_: "")
    window.files.folder.click()
    assert window.session.kept.clean_to == str(tmp_path / "clean"), "cancelled"
    window.files.beside.click()
    assert window.session.kept.clean_to == ""


def test_a_file_is_played_through_the_same_views(qtbot, make_window, talk, live_denoiser):
    window = make_window()
    window.commands.play(talk)
    player = window.session.player
    assert window.player_bar.isVisible()
    qtbot.waitUntil(lambda: window.resonogram.paints > 20, timeout=MS)
    qtbot.waitUntil(lambda: player.place_s > 0.5, timeout=MS)
    assert "talk.wav" in window.top.state.text()
    assert window.levels.input.db > -60
    assert "silence" in window.status.news.text(), "there is no loudspeaker, and it says so"
    press(qtbot, window, Qt.Key.Key_Space)
    assert player.paused
    assert window.player_bar.pause.text() in ("Play", "Pause")
    window.player_bar._seek(6000)
    assert abs(player.place_s - 3.0) < 0.1
    press(qtbot, window, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: player.place_s > 3.2, timeout=MS)
    press(qtbot, window, Qt.Key.Key_B)
    assert player.settings.bypass
    count = player.board.sound.count
    qtbot.waitUntil(lambda: player.board.sound.count > count + 0.3 * player.samplerate)
    late = Pipeline(player.samplerate, denoiser=live_denoiser).latency_samples
    sound = player.board.sound.last(late + round(0.1 * player.samplerate))
    np.testing.assert_allclose(sound[late:, 1], sound[: len(sound) - late, 0], atol=2e-3)
    qtbot.waitUntil(lambda: player.at_end, timeout=MS)
    press(qtbot, window, Qt.Key.Key_Escape)
    assert window.session.player is None
    assert not window.player_bar.isVisible()


def test_a_file_that_is_no_sound_is_told(qtbot, make_window, tmp_path):
    window = make_window()
    path = tmp_path / "letter.txt"
    path.write_text("dear all")
    window.commands.play(path)
    assert window.banner.isVisible()
    assert "letter.txt" in window.banner.text
    assert window.banner.action.text() == "Open another"


def test_keywords_of_a_file_stand_on_its_resonogram(qtbot, make_window, talk):
    window = make_window()
    window.commands.play(talk)
    qtbot.waitUntil(lambda: "“no”" in window.status.news.text(), timeout=MS)
    assert [word for _, word in window.resonogram._marks] == ["no"]


# Looks.


@pytest.mark.parametrize(
    ("theme", "scale", "width", "height"),
    [
        ("dark", 1.0, 1280, 800),
        ("light", 1.0, 1366, 768),
        ("light", 1.5, 1280, 720),
        ("dark", 2.0, 1024, 640),
    ],
)
def test_no_text_is_cut_on_small_screens(theme, scale, width, height, snapshot, tmp_path):
    """Width and height are in points, as programs see a screen that is scaled."""
    room = {"name": "small", "x": 0, "y": 0, "logicalDpi": 96, "logicalBaseDpi": 96, "dpr": 1}
    room |= {"width": round(width * scale), "height": round(height * scale)}
    screen = tmp_path / "screen.json"
    screen.write_text(json.dumps({"windowFrameMargins": True, "screens": [room]}))
    done = subprocess.run(
        [sys.executable, "-m", "tests.gui.looks", theme, str(snapshot)],
        cwd=ROOT,
        env={
            **os.environ,
            "QT_SCALE_FACTOR": str(scale),
            "QT_QPA_PLATFORM": f"offscreen:configfile={screen}",
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["cut"] == []
    assert report["outside"] == []
    assert report["beyond"] == [], "the whole window with its frame is on the screen"
    assert report["scale"] == scale
    assert min(report["colours"]) > 30


def test_the_theme_follows_the_system(window, qapp, monkeypatch):
    """Platforms without a desktop never change, so the system's answer is put in its mouth."""
    window.session.keep(theme="system")
    hints = qapp.styleHints()
    for scheme, theme in ((Qt.ColorScheme.Light, themes.LIGHT), (Qt.ColorScheme.Dark, themes.DARK)):
        monkeypatch.setattr(themes, "system_theme", lambda theme=theme: theme)
        hints.colorSchemeChanged.emit(scheme)
        assert window.theme is theme
        assert window.resonogram.theme is theme


def contrast(one, other):
    from PyQt6.QtGui import QColor

    def light(colour):
        parts = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in QColor(colour).getRgbF()[:3]
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", themes.THEMES.values(), ids=list(themes.THEMES))
def test_texts_stand_out(theme):
    """4.5 is what WCAG asks of text, 3 of signs."""
    for ground in (theme.ground, theme.surface, theme.raised):
        assert contrast(theme.text, ground) > 7
        assert contrast(theme.muted, ground) > 4.5
        for sign in (theme.good, theme.warning, theme.error, theme.original, theme.cleaned):
            assert contrast(sign, ground) > 3
    assert contrast(theme.on_accent, theme.accent) > 4.5


def test_menus_offer_a_picture_of_each_view(qtbot, window, tmp_path):
    names = [action.text() for action in window.menu.pictures.actions()]
    assert names == [view.title for view in window.views]
    window.commands.save_picture(window.wheel, tmp_path / "wheel.svg")
    assert (tmp_path / "wheel.svg").exists()
    window.menu.show_below(window.top.menu)
    assert window.menu.isVisible()
    window.menu.close()


def test_the_command_opens_the_window_plays_the_file_and_there_is_one_window(tmp_path):
    """The real program, on a real X server without a screen."""
    from bench.window.hidden_screen import screen

    source = tmp_path / "demo.flac"
    source.write_bytes(DEMO.read_bytes())
    kept = tmp_path / "settings" / "config.toml"
    command = [sys.executable, "-m", "resonance.app.cli", "gui", str(source)]
    with screen() as display:
        environment = {**os.environ, **display}
        program = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            deadline = monotonic() + 60
            while not (kept.exists() and "welcomed" in kept.read_text()):  # it plays
                assert program.poll() is None, program.stderr.read()
                assert monotonic() < deadline, "the file was not played"
                sleep(0.1)
            second = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=40
            )
            assert second.returncode == 0, second.stderr
            assert "open already" in second.stderr
            assert program.poll() is None
        finally:
            program.terminate()
            _, complaints = program.communicate(timeout=20)
    assert program.returncode == 0, complaints
    assert "Traceback" not in complaints
    assert [path.name for path in tmp_path.glob("*.flac")] == ["demo.flac"], "only looked at"
