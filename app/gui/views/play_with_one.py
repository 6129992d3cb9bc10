"""Play with one: an oscillator to pluck and to drive, with its curves and its equation."""

from __future__ import annotations

import math
from collections.abc import Callable

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QHideEvent, QPainter, QShowEvent
from PyQt6.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from resonance.app.gui.controls import Slider
from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.oscillator_curves import OscillatorCurves
from resonance.app.gui.views.oscillator_figures import equation, figures, hz_text
from resonance.app.gui.views.view import View, run_alone
from resonance.app.gui.widgets import Choice, button, row
from resonance.app.live.board import Board
from resonance.app.live.one_oscillator import NOTHING, SOUND, SWEEP, TONE, Drive, OneOscillator
from resonance.dsp.bank import OscillatorBank
from resonance.dsp.oscillator import Oscillator

#: Ends of the sliders: f0 in Hz, damping ratio; and their steps.
F0_HZ, DAMPING, STEPS = (20.0, 8000.0), (0.0005, 0.9), 1000
#: What is shown first: a string, about.
FIRST = Oscillator(440.0, 0.01)
#: Frames between two changes of the text.
TEXT_FRAMES = 6


class PlayWithOne(View):
    """Sliders for f0 and damping, pluck and drive, x(t), resonance and phase curves, figures."""

    title = "Play with one"
    description = (
        "One oscillator by itself. Change its frequency and damping, pluck it, drive it with a "
        "tone, a sweep or the microphone, see and hear what it does."
    )

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        #: Into which device it plays; asked when it begins to sound.
        self.output_name: Callable[[], str | None] = lambda: None
        self.one: OneOscillator | None = None  #: runs while the view can be seen
        self.drive = Drive(FIRST)
        self._board: Board | None = None
        self._bank: OscillatorBank | None = None
        self._frames = 0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 8)
        layout.setSpacing(6)
        layout.addLayout(self._make_sliders())
        layout.addLayout(self._make_buttons())
        self._equation = QLabel()
        self._equation.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._equation.setToolTip(
            "γ is the damping, ω0 = 2π f0, F(t) what drives it, x(t) how far it is from rest"
        )
        self._figures = QLabel()
        self._figures.setWordWrap(True)
        self._plots = QWidget()
        self._plots.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout.addWidget(self._equation)
        layout.addWidget(self._plots, 1)
        layout.addWidget(self._figures)
        self._show_drive()

    # Controls.

    def _make_sliders(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        self.f0, self.damping, self.tone = (
            Slider(name, 0, STEPS)
            for name in ("Resonance frequency f0", "Damping ratio", "Frequency of the driving tone")
        )
        self._f0_text, self._damping_text, self._tone_text = QLabel(), QLabel(), QLabel()
        for line, (text, slider) in enumerate(
            (
                (self._f0_text, self.f0),
                (self._damping_text, self.damping),
                (self._tone_text, self.tone),
            )
        ):
            text.setMinimumWidth(text.fontMetrics().horizontalAdvance("damping ζ 0.00000"))
            grid.addWidget(text, line, 0)
            grid.addWidget(slider, line, 1)
        self.f0.valueChanged.connect(lambda _: self._choose_oscillator())
        self.damping.valueChanged.connect(lambda _: self._choose_oscillator())
        self.tone.valueChanged.connect(
            lambda step: self._change(tone_hz=_value(F0_HZ, step / STEPS))
        )
        return grid

    def _make_buttons(self) -> QVBoxLayout:
        self.pluck = button("Pluck", self._pluck, "Pull it aside and let go", "primary")
        self.kind = Choice(
            "What drives it",
            (
                (NOTHING, "Nothing", "It only rings when it is plucked"),
                (TONE, "Tone", "A steady tone; choose its frequency"),
                (SWEEP, "Sweep", "A tone that glides through the resonance and back"),
                (SOUND, "Voice", "The microphone, or the file that is played"),
            ),
        )
        self.kind.chosen.connect(lambda kind: self._change(kind=kind))
        self.audible = QCheckBox("Hear it")
        self.audible.setToolTip("Play x(t) through the output")
        self.audible.setChecked(True)
        self.audible.clicked.connect(lambda on: self._change(audible=on))
        column = QVBoxLayout()
        column.addLayout(row(self.kind, 1))
        column.addLayout(row(self.pluck, self.audible, 1))
        return column

    def show_oscillator(self, oscillator: Oscillator) -> None:
        """Play with this one; its damping and frequency as near as the sliders go."""
        f0_hz = min(max(oscillator.f0_hz, F0_HZ[0]), F0_HZ[1])
        damping = min(max(oscillator.damping_ratio, DAMPING[0]), DAMPING[1])
        self._change(oscillator=Oscillator(f0_hz, damping), tone_hz=f0_hz)

    def on_followed(self) -> None:
        """Play with the one that is followed."""
        if self._bank is not None and self.followed is not None:
            self.show_oscillator(
                Oscillator(
                    float(self._bank.f0_hz[self.followed]),
                    float(self._bank.damping_ratio[self.followed]),
                )
            )

    def _choose_oscillator(self) -> None:
        self._change(
            oscillator=Oscillator(
                _value(F0_HZ, self.f0.value() / STEPS),
                _value(DAMPING, self.damping.value() / STEPS),
            )
        )

    def _change(self, **changes: object) -> None:
        self.drive = Drive(**{**self.drive.__dict__, **changes})
        if self.one:
            self.one.change(**changes)
        self._show_drive()

    def _pluck(self) -> None:
        if self.one:
            self.one.pluck()

    def _show_drive(self) -> None:
        drive, oscillator = self.drive, self.drive.oscillator
        for slider, value in (
            (self.f0, _share(F0_HZ, oscillator.f0_hz)),
            (self.damping, _share(DAMPING, oscillator.damping_ratio)),
            (self.tone, _share(F0_HZ, drive.tone_hz)),
        ):
            blocked = slider.blockSignals(True)
            slider.setValue(round(STEPS * value))
            slider.blockSignals(blocked)
        self._f0_text.setText(f"f0 {hz_text(oscillator.f0_hz)}")
        self._damping_text.setText(f"damping ζ {oscillator.damping_ratio:.2g}")
        self._tone_text.setText(f"tone {hz_text(drive.tone_hz)}")
        self.tone.setEnabled(drive.kind == TONE)
        self.kind.set_value(drive.kind)
        self.audible.setChecked(drive.audible)
        self._equation.setText(equation(oscillator))
        self._say()
        self.renew_backdrop()

    def _say(self) -> None:
        self._figures.setText(figures(self.drive, self.one))

    # Running.

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 (Qt's name)
        """It moves as long as it can be seen."""
        super().showEvent(event)
        self.one = OneOscillator(self.drive, self.output_name(), lambda: self._board)
        self.one.start()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Silence."""
        super().hideEvent(event)
        self.stop()

    def stop(self) -> None:
        """End the sound."""
        if self.one:
            one, self.one = self.one, None
            one.close()

    def take(self, frame: Frame) -> None:
        """Whose sound may drive it."""
        self._board, self._bank = frame.board, frame.bank

    def tick(self) -> None:
        """Paint what moves; also while nothing is listened to."""
        if not self.isVisible():
            return
        self._frames += 1
        if self._frames % TEXT_FRAMES == 0:
            self._say()
        self.update(self._curves().motion.toAlignedRect().adjusted(-4, -4, 4, 4))
        if self.drive.kind == SWEEP:
            self.update()

    # Drawing.

    def _curves(self) -> OscillatorCurves:
        line = float(self.fontMetrics().height())
        room = QRectF(self._plots.geometry()).adjusted(44, line, -4, -1.2 * line)
        return OscillatorCurves.within(room, 1.2 * line, self.drive, self.theme)

    def backdrop_key(self) -> object:
        """Text below the curves takes room from them."""
        return [area.getRect() for area in self._curves().areas()]

    def draw_backdrop(self, painter: QPainter) -> None:
        """Axes, resonance curve and phase curve."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self.small_font())
        self._curves().draw_axes(painter)

    def draw(self, painter: QPainter) -> None:
        """What moves."""
        if self.one:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._curves().draw_motion(painter, self.one)


def _value(ends: tuple[float, float], share: float) -> float:
    """The value at a share of a slider that multiplies."""
    return float(ends[0] * (ends[1] / ends[0]) ** share)


def _share(ends: tuple[float, float], value: float) -> float:
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])


if __name__ == "__main__":
    run_alone(PlayWithOne)
