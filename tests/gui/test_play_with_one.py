"""Playing with one oscillator: what is seen is what the equation says, and it is heard."""

import numpy as np
import pytest
from PyQt6.QtCore import Qt

from resonance.app.gui import theme as themes
from resonance.app.gui.views.play_with_one import PlayWithOne
from resonance.app.live.one_oscillator import SAMPLERATE, SWEEP, TONE, Drive, OneOscillator
from resonance.dsp.oscillator import MovingOscillator, Oscillator

A = Oscillator(440.0, 0.01)


@pytest.fixture
def view(qtbot):
    made = PlayWithOne(themes.DARK)
    qtbot.addWidget(made)
    made.resize(390, 660)
    made.show()
    yield made
    made.close()


def test_sliders_change_the_equation_and_its_figures(qtbot, view):
    view.show_oscillator(A)
    assert "55.3 x′" in view._equation.text()
    assert "Q 50" in view._figures.text()
    before = view.drive.oscillator
    view.damping.setFocus()
    qtbot.keyClick(view.damping, Qt.Key.Key_Right)
    assert view.drive.oscillator.damping_ratio > before.damping_ratio
    assert view.drive.oscillator.f0_hz == pytest.approx(before.f0_hz, rel=0.01)
    qtbot.keyClick(view.f0, Qt.Key.Key_Left)
    assert view.drive.oscillator.f0_hz < before.f0_hz
    assert f"damping ζ {view.drive.oscillator.damping_ratio:.2g}" == view._damping_text.text()


def test_a_pluck_rings_inside_its_envelope(qtbot, view):
    view.show_oscillator(A)
    qtbot.mouseClick(view.pluck, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: view.one.plucked_at is not None, timeout=20_000)
    qtbot.waitUntil(lambda: view.one.count > view.one.plucked_at + 0.2 * SAMPLERATE, timeout=20_000)
    begin = view.one.plucked_at
    x = view.one.trace(begin, begin + round(0.2 * SAMPLERATE))[1]
    times_s = np.arange(1, len(x) + 1) / SAMPLERATE
    envelope = 0.5 * np.exp(-A.decay_per_s * times_s)
    assert np.all(np.abs(x) < 1.02 * envelope)
    assert np.abs(x[-200:]).max() > 0.7 * envelope[-1], "it does ring"
    view.tick()
    assert view.grab().toImage().width() == 390


def test_a_tone_leads_to_the_swing_and_the_lag_of_the_curves(qtbot, view):
    view.show_oscillator(Oscillator(440.0, 0.05))
    qtbot.mouseClick(view.kind.button(TONE), Qt.MouseButton.LeftButton)
    assert view.tone.isEnabled()
    qtbot.waitUntil(lambda: "behind" in _after_tick(view), timeout=20_000)
    assert "90° behind" in view._figures.text()
    qtbot.mouseClick(view.kind.button(SWEEP), Qt.MouseButton.LeftButton)
    start = view.one.tone_hz
    qtbot.waitUntil(lambda: view.one.tone_hz != start, timeout=20_000)


def _after_tick(view):
    for _ in range(6):
        view.tick()
    return view._figures.text()


def test_it_is_silent_while_nobody_sees_it(qtbot, view):
    assert view.one is not None
    view.hide()
    assert view.one is None


def test_steady_motion_is_what_the_response_says():
    oscillator = Oscillator(500.0, 0.03)
    times_s = np.arange(SAMPLERATE) / SAMPLERATE
    for hz in (250.0, 500.0, 700.0):
        drive = np.sin(2 * np.pi * hz * times_s).astype(np.float32)
        x = MovingOscillator(SAMPLERATE).move(oscillator, drive)[SAMPLERATE // 2 :]
        turning = np.exp(-2j * np.pi * hz * times_s[SAMPLERATE // 2 :])
        found = 2j * np.mean(x * turning)  # of a sine that is neither ahead nor behind: 1
        wanted = oscillator.response(np.array([hz]))[0] / oscillator.quality
        assert abs(found - wanted) < 0.05


def test_it_changes_while_it_rings_without_a_jump():
    moving = MovingOscillator(SAMPLERATE)
    silence = np.zeros(960, np.float32)
    parts = [moving.move(A, silence, pluck=0.5)]
    for f0_hz in np.geomspace(440, 460, 10):
        parts.append(moving.move(Oscillator(float(f0_hz), 0.01), silence))
    x = np.concatenate(parts)
    assert np.abs(np.diff(x[1:])).max() < 0.5 * 2 * np.pi * 470 / SAMPLERATE * 1.1


def test_a_sound_that_comes_in_drives_it(board):
    one = OneOscillator(Drive(A, kind="sound"), None, lambda: board)
    first = one.step()
    assert np.abs(first).max() < 1e-9, "nothing new comes in"
    sound = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050).astype(np.float32)
    for start in range(0, 4410, 441):
        board.sound.put(sound[start : start + 441], sound[start : start + 441])
    moved = np.concatenate([one.step() for _ in range(10)])
    assert np.abs(moved).max() > 0.1


@pytest.mark.parametrize(("f0_hz", "damping"), [(0.0, 0.1), (440.0, 0.0), (440.0, 1.0)])
def test_an_oscillator_that_cannot_ring_is_refused(f0_hz, damping):
    with pytest.raises(ValueError, match="damping_ratio"):
        Oscillator(f0_hz, damping)
