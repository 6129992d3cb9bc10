"""One oscillator followed through all views, and what stands under the pointer."""

import numpy as np
import pytest
from PyQt6.QtCore import QEvent, QPoint, QPointF, Qt
from PyQt6.QtWidgets import QApplication

from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Feed
from resonance.app.gui.snapshot import demo_board
from resonance.app.gui.views.frequency_scale import EAR, SHARP
from resonance.app.gui.views.phase_wheel import PhaseWheel
from resonance.app.gui.views.resonogram import Resonogram
from resonance.app.gui.views.synchronisation import Synchronisation
from tests.gui.test_views import pixels, shown


def click(qtbot, view, x, y):
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))


@pytest.mark.parametrize("where", ["wheel", "bank", "resonogram"])
def test_a_click_anywhere_follows_an_oscillator_everywhere(qtbot, window, where):
    window.side.set_all_views(True)
    window.on_frame()
    for view in window.views:
        view.grab()
    wheel, bank, picture = window.wheel, window.bank, window.resonogram
    number = int(np.argmax(np.where(wheel._carriers, -200.0, wheel._db)))
    if where == "wheel":
        click(qtbot, wheel, *wheel._places[number])
    elif where == "bank":
        click(qtbot, bank, bank._xs[number], bank._ys[number])
    else:
        plot = picture._plots[0].vb
        place = picture._scale.place(wheel._bank.f0_hz[number])
        at = plot.mapViewToScene(QPointF(-0.5, place))
        viewport = picture._graphics.viewport()
        spot = picture._graphics.mapFromScene(at)
        qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=spot)
    followed = wheel.followed
    assert followed is not None
    f0_hz = wheel._bank.f0_hz
    assert abs(f0_hz[followed] - f0_hz[number]) < 0.1 * f0_hz[number]
    assert {view.followed for view in window.views} == {followed}
    assert picture._mark[0].isVisible()
    assert f"f0 {f0_hz[followed]:.0f} Hz" in wheel._text.text()
    assert window.play_with_one.drive.oscillator.f0_hz == pytest.approx(f0_hz[followed])
    window.commands.go_back()
    assert {view.followed for view in window.views} == {None}


def test_dots_and_rings_share_a_centre_also_while_one_is_followed(qtbot, board):
    wheel = shown(qtbot, PhaseWheel, board, size=(390, 660))
    wheel.follow(100)
    for _ in range(3):
        QApplication.processEvents()
        wheel.grab()
    seen = pixels(wheel.grab().toImage())
    wheel.renew_backdrop()
    assert np.array_equal(seen, pixels(wheel.grab().toImage()))


def point(view, seconds_ago, hz):
    plot = view._plots[0].vb
    view._on_pointed(plot.mapViewToScene(QPointF(-seconds_ago, view._scale.place(hz))))


def test_numbers_under_the_pointer_follow_the_picture_and_vanish(qtbot, board):
    view = shown(qtbot, Resonogram, board)
    said = []
    view.pointed.connect(said.append)
    point(view, 0.5, 500.0)
    before = said[-1]
    feed = Feed()
    feed.column = view._history.end
    view.show_frame(feed.frame(demo_board(3.0)))
    assert said[-1] != before, "other sound stands there now"
    assert said[-1].startswith("0.50 s ago")
    view.set_scale(SHARP if view.scale_name == EAR else EAR)
    after = said[-1]
    point(view, 0.5, view._scale.hz(view._pointer[1]))
    assert said[-1] == after, "as if pointed at anew"
    QApplication.sendEvent(view, QEvent(QEvent.Type.Leave))
    assert said[-1] == ""
    assert not view._cross[0][0].isVisible()
    view.show_frame(feed.frame(demo_board(0.5)))
    assert said[-1] == ""


def test_the_sharp_picture_shows_the_harmonics_of_a_voice(qtbot, board):
    view = shown(qtbot, Resonogram, board)
    assert view.scale_name == SHARP
    bank = view._facts["bank"]
    shown_hz = bank.f0_hz[view._scale.oscillators]
    assert np.diff(shown_hz[shown_hz < 4000]).max() < 60
    assert shown_hz.max() > 7000
    assert np.all(np.diff(shown_hz) > 0)


def test_the_way_back_to_now_and_the_colours_are_offered(qtbot, window):
    picture = window.resonogram
    assert not picture.back.isVisible()
    qtbot.keyClick(picture, Qt.Key.Key_Plus)
    assert picture.back.isVisible()
    qtbot.mouseClick(picture.back, Qt.MouseButton.LeftButton)
    assert not picture.back.isVisible()
    assert picture._follows
    before = picture._pictures[0].scroll._pixels.copy()
    picture.colours.setLevels((-60.0, -30.0))
    picture.colours.sigLevelsChanged.emit(picture.colours)
    assert not np.array_equal(before, picture._pictures[0].scroll._pixels)
    assert (window.session.kept.low_db, window.session.kept.high_db) == (-60.0, -30.0)


def test_signs_are_explained_where_they_are(qtbot, window):
    window.side.set_all_views(True)
    window.on_frame()
    words = window.view(Synchronisation)
    centre, radius = words._circles()[0]
    assert "Anchors" in words.explain(QPointF(centre.x() + radius, centre.y()))
    assert "Order" in words.explain(QPointF(centre.x(), centre.y() + radius + 10))
    window.bank.grab()
    bank = window.bank
    number = int(np.flatnonzero(bank._carriers)[20])
    assert "carries the sound" in bank.explain(QPointF(bank._xs[number], bank._ys[number]))
    assert "low to high" in window.wheel._legend.text()
    assert themes.PHASE[1] in window.wheel._legend.text()
