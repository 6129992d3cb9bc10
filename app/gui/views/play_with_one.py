"""Play with one: an oscillator to pluck and to drive, with its curves and its equation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QHideEvent, QPainter, QPen, QPolygonF, QShowEvent
from PyQt6.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from resonance.app.gui.controls import Slider
from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme, with_alpha
from resonance.app.gui.views.view import View, figure, run_alone
from resonance.app.gui.widgets import Choice, button, row
from resonance.app.live.board import Board
from resonance.app.live.one_oscillator import (
    NOTHING,
    PLUCK_LEVEL,
    SAMPLERATE,
    SOUND,
    SWEEP,
    TONE,
    TONE_LEVEL,
    Drive,
    OneOscillator,
)
from resonance.dsp.bank import OscillatorBank
from resonance.dsp.oscillator import Oscillator

#: Ends of the sliders: f0 in Hz, damping ratio; and their steps.
F0_HZ, DAMPING, STEPS = (20.0, 8000.0), (0.0005, 0.9), 1000
#: What is shown first: a string, about.
FIRST = Oscillator(440.0, 0.01)
#: The curves reach from f0 / SPAN to f0 * SPAN.
SPAN = 4.0
#: Lower end of the resonance curve, dB; room above its peak, dB.
LOWEST_DB, ABOVE_DB = -30.0, 6.0
#: Periods of the driving tone that are shown; share of the ring time after a pluck.
PERIODS, RING_SHARE = 6.0, 0.5
#: Shortest and longest stretch of time shown, s.
SHOWN_S = (0.004, 3.0)
#: What is drawn over time, by what drives it.
MOTIONS = {
    NOTHING: "x(t), and its envelope e^(−γt)",
    TONE: "x(t), F(t) in blue, and the swing it leads to",
    SWEEP: "x(t), and F(t) in blue",
    SOUND: "x(t), and F(t) in blue",
}
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
        self._f0_text.setText(f"f0 {_hz(oscillator.f0_hz)}")
        self._damping_text.setText(f"damping ζ {oscillator.damping_ratio:.2g}")
        self._tone_text.setText(f"tone {_hz(drive.tone_hz)}")
        self.tone.setEnabled(drive.kind == TONE)
        self.kind.set_value(drive.kind)
        self.audible.setChecked(drive.audible)
        omega = 2 * math.pi * oscillator.f0_hz
        self._equation.setText(
            f"<b>x″ + {_number(2 * oscillator.decay_per_s)} x′ + {_number(omega)}² x = F(t)</b>"
        )
        self._say()
        self.renew_backdrop()

    def _say(self) -> None:
        oscillator, one = self.drive.oscillator, self.one
        text = (
            f"<b>Q {_number(oscillator.quality)}</b> · rings "
            f"<b>{_seconds(oscillator.ring_time_s)}</b> (−60 dB) · "
            f"γ {_number(oscillator.decay_per_s)} /s · {_hz(oscillator.width_hz)} wide · "
            f"rings at {_hz(oscillator.damped_hz)}"
        )
        if one and self.drive.kind in (TONE, SWEEP):
            answer = complex(oscillator.response(np.array([one.tone_hz]))[0])
            text += (
                f"<br>driven at {_hz(one.tone_hz)}: {figure(_db(abs(answer)), 1, plus=True)} dB, "
                f"{figure(-math.degrees(np.angle(answer)))}° behind"
            )
        elif one and one.complaint:
            text += f"<br>{one.complaint}"
        self._figures.setText(text)

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
        self.update(self._areas()[0].toAlignedRect().adjusted(-4, -4, 4, 4))
        if self.drive.kind == SWEEP:
            self.update()

    # Geometry.

    def _areas(self) -> tuple[QRectF, QRectF, QRectF]:
        """Of x(t), the resonance curve and the phase curve."""
        line = float(self.fontMetrics().height())
        room = QRectF(self._plots.geometry()).adjusted(44, line, -4, -1.2 * line)
        gap = 1.2 * line
        height = room.height() - 2 * gap
        tops = np.cumsum([0.0, 0.42 * height + gap, 0.36 * height + gap])
        return tuple(  # type: ignore[return-value]
            QRectF(room.left(), room.top() + top, room.width(), share * height)
            for top, share in zip(tops, (0.42, 0.36, 0.22), strict=True)
        )

    def _x_of(self, area: QRectF, hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
        ratio = np.log(np.asarray(hz) / self.drive.oscillator.f0_hz) / math.log(SPAN)
        return np.asarray(area.center().x() + ratio * area.width() / 2)

    def _top_db(self) -> float:
        return _db(self.drive.oscillator.quality) + ABOVE_DB

    def _y_of_db(self, area: QRectF, db: NDArray[np.float64] | float) -> NDArray[np.float64]:
        share = (np.asarray(db) - LOWEST_DB) / (max(self._top_db(), ABOVE_DB) - LOWEST_DB)
        return np.asarray(area.bottom() - np.clip(share, 0, 1) * area.height())

    @staticmethod
    def _y_of_lag(area: QRectF, degrees: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(area.top() + np.asarray(degrees) / 180 * area.height())

    # Drawing.

    def backdrop_key(self) -> object:
        """Text below the curves takes room from them."""
        return [area.getRect() for area in self._areas()]

    def draw_backdrop(self, painter: QPainter) -> None:
        """Axes, resonance curve and phase curve."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self.small_font())
        motion, resonance, phase = self._areas()
        if phase.height() < 10:
            return
        oscillator = self.drive.oscillator
        for area, text in (
            (motion, MOTIONS[self.drive.kind]),
            (resonance, "resonance, dB"),
            (phase, "x behind F, degrees"),
        ):
            painter.setPen(QColor(self.theme.line))
            painter.drawRect(area)
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(QPointF(area.left(), area.top() - 3), text)
        self._draw_ticks(painter, resonance, phase)
        hz = np.geomspace(oscillator.f0_hz / SPAN, oscillator.f0_hz * SPAN, 600)
        hz = np.unique(np.append(hz, _near(oscillator)))
        answer = oscillator.response(hz)
        x = self._x_of(resonance, hz)
        painter.setPen(QPen(QColor(self.theme.cleaned), 1.6))
        painter.drawPolyline(_line(x, self._y_of_db(resonance, 20 * np.log10(np.abs(answer)))))
        painter.drawPolyline(_line(x, self._y_of_lag(phase, -np.degrees(np.angle(answer)))))
        half = np.array([-0.5, 0.5]) * oscillator.width_hz + oscillator.f0_hz
        if half[0] > oscillator.f0_hz / SPAN:
            level = float(self._y_of_db(resonance, _db(oscillator.quality) - 3))
            painter.setPen(QPen(QColor(self.theme.accent), 2.0))
            left, right = self._x_of(resonance, half)
            painter.drawLine(QPointF(left, level), QPointF(right, level))

    def _draw_ticks(self, painter: QPainter, resonance: QRectF, phase: QRectF) -> None:
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        step = 20 if self._top_db() < 45 else 40
        rows = [
            (resonance, figure(db), float(self._y_of_db(resonance, db)))
            for db in range(round(LOWEST_DB) // step * step + step, round(self._top_db()), step)
        ] + [(phase, str(lag), float(self._y_of_lag(phase, lag))) for lag in (0, 90, 180)]
        for area, text, y in rows:
            painter.setPen(with_alpha(self.theme.line, 0.8))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(QRectF(area.left() - 44, y - 9, 40, 18), right, text)
        f0_hz = self.drive.oscillator.f0_hz
        for ratio, flag in (
            (1 / SPAN, Qt.AlignmentFlag.AlignLeft),
            (1.0, Qt.AlignmentFlag.AlignHCenter),
            (SPAN, Qt.AlignmentFlag.AlignRight),
        ):
            x = float(self._x_of(phase, ratio * f0_hz))
            painter.setPen(with_alpha(self.theme.line, 0.8))
            for area in (resonance, phase):
                painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.setPen(QColor(self.theme.muted))
            shift = {Qt.AlignmentFlag.AlignLeft: 0, Qt.AlignmentFlag.AlignRight: -120}.get(
                flag, -60
            )
            painter.drawText(
                QRectF(x + shift, phase.bottom() + 2, 120, 20), flag, _hz(ratio * f0_hz)
            )

    def draw(self, painter: QPainter) -> None:
        """What moves: x(t), the envelope, and where the tone is on the curves."""
        motion, resonance, phase = self._areas()
        if not self.one or phase.height() < 10:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        start, stop = self._window(self.one)
        drive, x = self.one.trace(start, stop)
        size = max(float(np.abs(x).max()), 0.05)
        if self.drive.kind != NOTHING:
            self._draw_trace(
                painter,
                motion,
                drive,
                max(float(np.abs(drive).max()), 0.05),
                with_alpha(self.theme.original, 0.6),
            )
        self._draw_trace(painter, motion, x, size, QColor(self.theme.cleaned))
        self._draw_envelope(painter, motion, start, stop, size)
        self._draw_tone(painter, resonance, phase)

    def _window(self, one: OneOscillator) -> tuple[int, int]:
        """Samples to be drawn: from the pluck, or from a rising zero of the driving tone."""
        oscillator = self.drive.oscillator
        if self.drive.kind in (TONE, SWEEP):
            span = _samples(PERIODS / one.tone_hz)
            period = round(SAMPLERATE / one.tone_hz)
            begin = one.count - span - period
            drive = one.trace(begin, begin + period + 1)[0]
            rising = np.flatnonzero((drive[:-1] < 0) & (drive[1:] >= 0))
            start = begin + (int(rising[0]) if len(rising) else 0)
            return start, start + span
        span = _samples(max(RING_SHARE * oscillator.ring_time_s, 8 / oscillator.f0_hz))
        plucked = one.plucked_at
        if self.drive.kind == NOTHING and plucked is not None and one.count - plucked < 20 * span:
            return plucked, plucked + span
        return one.count - span, one.count

    def _draw_trace(
        self,
        painter: QPainter,
        area: QRectF,
        values: NDArray[np.float32],
        size: float,
        colour: QColor,
    ) -> None:
        """A line; where there are many samples to a pixel, from the lowest to the highest."""
        columns = max(2, int(area.width()))
        scale = 0.46 * area.height() / size
        painter.setPen(QPen(colour, 1.2))
        if len(values) <= 2 * columns:
            x = area.left() + np.linspace(0, area.width(), len(values))
            painter.drawPolyline(_line(x, area.center().y() - scale * values))
            return
        edges = np.linspace(0, len(values), columns + 1).astype(int)[:-1]
        low, high = np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)
        x = np.repeat(area.left() + np.arange(columns), 2)
        y = np.column_stack([high, low]).ravel()
        painter.drawPolyline(_line(x, area.center().y() - scale * y))

    def _draw_envelope(
        self, painter: QPainter, area: QRectF, start: int, stop: int, size: float
    ) -> None:
        """What the equation says: the fall after a pluck, the swing that a tone leads to."""
        assert self.one
        oscillator = self.drive.oscillator
        times_s = np.linspace(0, (stop - start) / SAMPLERATE, 120)
        if self.drive.kind == NOTHING and start == self.one.plucked_at:
            envelope = PLUCK_LEVEL * np.exp(-oscillator.decay_per_s * times_s)
        elif self.drive.kind == TONE:
            answer = abs(oscillator.response(np.array([self.one.tone_hz]))[0])
            envelope = np.full(120, TONE_LEVEL * answer / oscillator.quality)
        else:
            return
        x = np.linspace(area.left(), area.right(), 120)
        painter.setPen(QPen(QColor(self.theme.accent), 1.4, Qt.PenStyle.DashLine))
        for side in (1, -1):
            y = area.center().y() - side * 0.46 * area.height() / size * envelope
            painter.drawPolyline(_line(x, np.clip(y, area.top(), area.bottom())))

    def _draw_tone(self, painter: QPainter, resonance: QRectF, phase: QRectF) -> None:
        if not self.one or self.drive.kind not in (TONE, SWEEP):
            return
        hz, oscillator = self.one.tone_hz, self.drive.oscillator
        if not oscillator.f0_hz / SPAN <= hz <= oscillator.f0_hz * SPAN:
            return
        answer = oscillator.response(np.array([hz]))
        x = float(self._x_of(resonance, hz))
        painter.setPen(QPen(QColor(self.theme.original), 1.4))
        painter.setBrush(QColor(self.theme.original))
        for area, y in (
            (resonance, self._y_of_db(resonance, 20 * np.log10(np.abs(answer)))),
            (phase, self._y_of_lag(phase, -np.degrees(np.angle(answer)))),
        ):
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.drawEllipse(QPointF(x, float(y[0])), 4.0, 4.0)


def _near(oscillator: Oscillator) -> NDArray[np.float64]:
    """Frequencies close to the peak, which may be very narrow, Hz."""
    away = np.geomspace(0.02, 20, 60) * oscillator.width_hz
    near = np.concatenate([-away[::-1], [0.0], away]) + oscillator.f0_hz
    inside = (near > oscillator.f0_hz / SPAN) & (near < oscillator.f0_hz * SPAN)
    return np.asarray(near[inside])


def _samples(seconds: float) -> int:
    return round(min(max(seconds, SHOWN_S[0]), SHOWN_S[1]) * SAMPLERATE)


def _line(x: NDArray[np.floating], y: NDArray[np.floating]) -> QPolygonF:
    return QPolygonF([QPointF(*point) for point in zip(x.tolist(), y.tolist(), strict=True)])


def _value(ends: tuple[float, float], share: float) -> float:
    """The value at a share of a slider that multiplies."""
    return float(ends[0] * (ends[1] / ends[0]) ** share)


def _share(ends: tuple[float, float], value: float) -> float:
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])


def _db(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", " ")


def _hz(value: float) -> str:
    return f"{_number(value)} Hz"


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.3g} ms"


if __name__ == "__main__":
    run_alone(PlayWithOne)
