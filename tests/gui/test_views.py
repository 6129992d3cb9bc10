"""Views: they show what is on the board, in both themes, and paint nothing that is hidden."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PyQt6.QtCore import QPoint, Qt
from PyQt6.QtGui import QImage
from scipy.integrate import solve_ivp

from resonance.app.errors import UserError
from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Feed
from resonance.app.gui.snapshot import demo_board
from resonance.app.gui.views.bank import FIRST_TOP_HZ, FIRST_WIDTH_HZ, Bank
from resonance.app.gui.views.frequency_scale import EAR, LINEAR, SHARP
from resonance.app.gui.views.levels import Levels, Meter
from resonance.app.gui.views.phase_wheel import SLOWER, PhaseWheel
from resonance.app.gui.views.resonogram import DIFFERENCE, PHASE, Resonogram
from resonance.app.gui.views.side_views import SIDE_VIEWS
from resonance.app.gui.views.synchronisation import Synchronisation, travelled
from resonance.app.live.board import Board
from resonance.app.live.processor import Processor, board_facts
from resonance.app.pipeline import Pipeline
from resonance.models.attention import trajectory
from resonance.models.denoiser import DenoiserConfig

VIEWS = {
    "resonogram": Resonogram,
    "levels": Levels,
    **{row.view.__module__.rpartition(".")[-1]: row.view for row in SIDE_VIEWS},
}


def pixels(image):
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    memory = image.constBits().asarray(image.sizeInBytes())
    return np.frombuffer(memory, np.uint32).reshape(image.height(), image.width()).copy()


def colours(image):
    return len(np.unique(pixels(image)))


def shown(qtbot, make, board, theme=themes.DARK, size=(700, 500)):
    view = make(theme)
    qtbot.addWidget(view)
    view.resize(*size)
    view.show()
    qtbot.waitExposed(view)
    view.show_frame(Feed().frame(board))
    view.grab()
    return view


def tone(denoiser, hz, seconds=1.5, rate=16000):
    pipeline = Pipeline(rate, denoiser=denoiser)
    board = Board(board_facts(pipeline, 5.0))
    processor = Processor(pipeline, board, clock=lambda: 0.0)
    time_s = np.arange(round(seconds * rate)) / rate
    sound = (0.3 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)
    played = np.empty(160, np.float32)
    for start in range(0, len(sound) - 159, 160):
        processor.process(sound[start : start + 160], played)
    return board


@pytest.mark.parametrize("theme", themes.THEMES.values(), ids=list(themes.THEMES))
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_shows_a_board_in_both_themes(qtbot, board, name, theme):
    view = shown(qtbot, VIEWS[name], board, theme)
    assert colours(view.grab().toImage()) > 60
    before = pixels(view.grab().toImage()).copy()
    other = themes.LIGHT if theme is themes.DARK else themes.DARK
    view.set_theme(other)
    view.show_frame(Feed().frame(demo_board(0.1)))
    assert np.mean(before != pixels(view.grab().toImage())) > 0.5
    assert view.accessibleName()
    assert view.accessibleDescription()


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_runs_alone(snapshot, tmp_path, name):
    picture = tmp_path / "picture.png"
    subprocess.run(
        [sys.executable, "-m", f"resonance.app.gui.views.{name}", snapshot, picture],
        env={**os.environ, "QT_SCALE_FACTOR": "1.5", "QT_QPA_PLATFORM": "offscreen"},
        check=True,
        capture_output=True,
        timeout=60,
    )
    image = QImage(str(picture))
    assert image.width() == 1350
    assert colours(image) > 60


def test_what_is_hidden_is_not_painted(qtbot, window):
    window.side.show_tab(0)
    qtbot.wait(50)
    hidden = (window.bank, window.view(Synchronisation))
    before = [view.paints for view in hidden]
    seen = window.wheel.paints
    qtbot.waitUntil(lambda: window.wheel.paints > seen + 10)
    assert [view.paints for view in hidden] == before


@pytest.mark.parametrize("ending", ["png", "svg"])
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_can_be_saved(qtbot, board, tmp_path, name, ending):
    view = shown(qtbot, VIEWS[name], board)
    path = tmp_path / "saved" / f"picture.{ending}"
    path.parent.mkdir()  # tmp_path is the home folder, where libraries keep settings of their own
    view.save(path)
    assert list(path.parent.iterdir()) == [path]
    if ending == "svg":
        assert "<svg" in path.read_text()
        assert len(path.read_text()) > 3000
    else:
        assert colours(QImage(str(path))) > 60


def test_pictures_need_a_known_ending_and_a_folder(qtbot, board, tmp_path):
    view = shown(qtbot, Bank, board)
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        view.save(tmp_path / "picture.gif")
    (tmp_path / "no-folder").touch()
    with pytest.raises(UserError, match="cannot write"):
        view.save(tmp_path / "no-folder" / "picture.png")


# Resonogram.


def test_a_tone_stands_at_its_frequency(qtbot, denoiser):
    view = shown(qtbot, Resonogram, tone(denoiser, 1000.0))
    for name in (SHARP, EAR, LINEAR):
        view.set_scale(name)
        column = view._pictures[0].scroll._pixels[:, (view._shown.end - 5) % 4000]
        bright = themes.amplitude_map(themes.DARK)
        level = [int(np.flatnonzero(bright == pixel)[0]) for pixel in column]
        at = 1.0 - np.argmax(level) / 255
        assert abs(at - view._scale.place(1000.0)) < 0.03


def test_it_reads_out_what_is_under_the_pointer(qtbot, denoiser):
    view = shown(qtbot, Resonogram, tone(denoiser, 1000.0))
    view.set_scale(EAR)
    said = []
    view.pointed.connect(said.append)
    plot = view._plots[0].vb
    where = plot.mapViewToScene(plot.viewRect().center().__class__(-0.1, view._scale.place(1000.0)))
    view._on_pointed(where)
    assert "Hz · original" in said[-1]
    hz = float(said[-1].split("·")[1].split()[0])
    assert abs(hz - 1000) < 40
    original_db = float(said[-1].split("original ")[1].split()[0].replace("−", "-"))
    assert abs(original_db - 20 * np.log10(0.3 / 2)) < 1.5, "half of a real tone turns as z does"
    assert "ζ" in said[-1]


def test_the_pointer_reads_the_column_that_is_drawn_below_it(qtbot, denoiser):
    view = shown(qtbot, Resonogram, tone(denoiser, 1000.0))
    view.set_scale(EAR)
    said = []
    view.pointed.connect(said.append)
    place, hop_s = view._scale.place(1000.0), view._pictures[0].hop_s
    view._shown.input[:] = 0
    view._shown.input[view._shown.end - 1 - 5] = 255  # one loud column, five hops ago
    plot = view._plots[0].vb
    levels = []
    for hops_ago in (4.9, 5.1, 5.4, 5.6, 5.9, 6.1):
        at = plot.viewRect().center().__class__(-hops_ago * hop_s, place)
        view._on_pointed(plot.mapViewToScene(at))
        levels.append(said[-1].split("original ")[1].split()[0])
    quiet, loud = levels[0], levels[1]
    assert quiet != loud
    assert levels == [quiet, loud, loud, loud, loud, quiet]


def test_frozen_it_stands_still_and_misses_nothing(qtbot, board):
    view = shown(qtbot, Resonogram, board)
    view.set_frozen(True)
    before = pixels(view._graphics.grab().toImage()).copy()
    other = demo_board(2.0)
    feed = Feed()
    feed.column = view._history.end
    view.show_frame(feed.frame(other))
    assert np.array_equal(before, pixels(view._graphics.grab().toImage()))
    view.set_frozen(False)
    assert not np.array_equal(before, pixels(view._graphics.grab().toImage()))
    assert view._shown.end > 1200


def test_zoom_pan_and_back_by_keys(qtbot, board):
    view = shown(qtbot, Resonogram, board)
    start = view._plots[0].viewRange()[0]
    qtbot.keyClick(view, Qt.Key.Key_Plus)
    zoomed = view._plots[0].viewRange()[0]
    assert zoomed[1] - zoomed[0] < 0.8 * (start[1] - start[0])
    qtbot.keyClick(view, Qt.Key.Key_Left)
    moved = view._plots[0].viewRange()[0]
    assert moved[0] < zoomed[0]
    assert moved[1] < zoomed[1]
    qtbot.keyClick(view, Qt.Key.Key_Home)
    np.testing.assert_allclose(view._plots[0].viewRange()[0], start)


def test_lower_pictures_differ(qtbot, board):
    view = shown(qtbot, Resonogram, board)
    found = []
    for what in ("cleaned", DIFFERENCE, PHASE):
        view.set_lower(what)
        found.append(view._pictures[1].scroll._pixels[:, : view._shown.end].copy())
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[1], found[2])


def test_keywords_are_written_where_they_were_detected(qtbot, board):
    view = shown(qtbot, Resonogram, board)
    words = {word: column * 0.008 for column, word in view._pictures[0].marks}
    assert abs(words["no"] - 4.1) < 0.5
    assert abs(words["left"] - 7.9) < 0.5


# Phase wheel.


def test_an_oscillator_at_the_tones_frequency_stands_still_and_others_turn(qtbot, denoiser):
    wheel = PhaseWheel(themes.DARK)
    qtbot.addWidget(wheel)
    narrow = np.flatnonzero(~denoiser.carriers)
    hz = float(denoiser.bank.f0_hz[narrow[20]])
    wheel.show_frame(Feed().frame(tone(denoiser, hz, seconds=3.0)))
    assert abs(wheel._rate_hz[narrow[20]]) < 0.5
    off_hz = hz - denoiser.bank.f0_hz[narrow[21]]
    assert abs(wheel._rate_hz[narrow[21]] - off_hz) < 1.0
    assert SLOWER > 10, "40 Hz off is still a readable turning"


def test_a_click_or_arrows_follow_an_oscillator(qtbot, board):
    wheel = shown(qtbot, PhaseWheel, board)
    loud = int(np.argmax(wheel._db))
    x, y = wheel._places[loud]
    qtbot.mouseClick(wheel, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
    assert wheel.followed is not None
    assert np.hypot(*(wheel._places[wheel.followed] - (x, y))) < 3
    for word in ("f0", "ζ", "Q ", "rings", "gain"):
        assert word in wheel._text.text()
    assert wheel._response.isVisible()
    before = wheel._bank.f0_hz[wheel.followed]
    qtbot.keyClick(wheel, Qt.Key.Key_Right)
    assert wheel._bank.f0_hz[wheel.followed] > before
    qtbot.keyClick(wheel, Qt.Key.Key_Escape)
    assert wheel.followed is None


# Bank.


def test_oscillators_move_from_where_training_starts():
    config = DenoiserConfig()
    assert (config.narrow_top_hz, config.narrow_width_hz) == (FIRST_TOP_HZ, FIRST_WIDTH_HZ)


def test_what_was_learned_can_be_seen(qtbot, board):
    view = shown(qtbot, Bank, board)
    before = view.grab().toImage()
    qtbot.mouseClick(view._buttons[1], Qt.MouseButton.LeftButton)
    assert view.changes
    assert view.grab().toImage() != before
    qtbot.keyClick(view, Qt.Key.Key_Left)
    assert not view.changes


# Levels.


def test_meters_show_level_and_hold_peaks():
    meter = Meter()
    for _ in range(200):
        meter.add(0.5, 1.0, 0.01)  # a sine of full scale
    assert abs(meter.db - -3.0) < 0.1
    assert meter.clipped
    for _ in range(100):
        meter.add(1e-6, 1e-3, 0.01)
    assert meter.peak_db == 0.0, "held for 1.5 s"
    for _ in range(300):
        meter.add(1e-6, 1e-3, 0.01)
    assert -61 < meter.peak_db < -40
    assert not meter.clipped


def test_levels_follow_the_sound(qtbot, denoiser):
    view = shown(qtbot, Levels, tone(denoiser, 500.0, seconds=2.0))
    assert abs(view.input.db - 20 * np.log10(0.3 / np.sqrt(2))) < 0.5
    assert view.removed_db >= 0


# Synchronisation.


def test_oscillators_travel_as_the_equation_says():
    rng = np.random.default_rng(1)
    angle, goal = rng.uniform(-3, 3, (2, 20))
    pull, time_s = rng.uniform(0.2, 3.0, 20), 0.7
    found = travelled(angle, goal, pull * time_s)
    for number in range(20):
        solved = solve_ivp(
            lambda _, phi, n=number: -pull[n] * np.sin(phi - goal[n]),
            (0, time_s),
            [angle[number]],
            rtol=1e-10,
            atol=1e-12,
        ).y[0, -1]
        assert abs(np.angle(np.exp(1j * (found[number] - solved)))) < 1e-6
    start = torch.tensor(np.stack([np.cos(angle), np.sin(angle)], -1))
    drive = torch.tensor(np.stack([np.cos(goal), np.sin(goal)], -1) * pull[:, None])
    other = trajectory(start, drive, time_s).numpy()
    assert np.abs(np.exp(1j * found) - (other[:, 0] + 1j * other[:, 1])).max() < 1e-6


def test_a_detected_word_is_marked_and_scores_are_drawn(qtbot, board):
    view = shown(qtbot, Synchronisation, board)
    assert "left" in view._marked
    assert view._scores.argmax() == view.words.index("left")
    assert view._heads == 4
    assert np.ptp(view._anchors) > 3, "anchors lie all round the circle"


def test_without_keywords_it_says_so(qtbot, denoiser):
    view = shown(qtbot, Synchronisation, tone(denoiser, 440.0))
    assert view.words == []
    assert colours(view.grab().toImage()) > 4
