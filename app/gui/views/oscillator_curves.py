"""Curves of one oscillator: x(t), its resonance and its phase."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPen, QPolygonF

from resonance.app.gui.theme import Theme, with_alpha
from resonance.app.gui.views.oscillator_figures import decibels, hz_text
from resonance.app.gui.views.view import figure
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
from resonance.dsp.oscillator import Oscillator

#: The curves reach from f0 / SPAN to f0 * SPAN.
SPAN = 4.0
#: Lower end of the resonance curve, dB; room above its peak, dB.
LOWEST_DB, ABOVE_DB = -30.0, 6.0
#: Periods of the driving tone that are shown; share of the ring time after a pluck.
PERIODS, RING_SHARE = 6.0, 0.5
#: Shortest and longest stretch of time shown, s.
SHOWN_S = (0.004, 3.0)
#: Shares of the height: x(t), resonance, phase.
SHARES = (0.42, 0.36, 0.22)
#: Least height of the phase curve at which anything is drawn, pixels.
LEAST_HEIGHT = 10
#: What is drawn over time, by what drives it.
MOTIONS = {
    NOTHING: "x(t), and its envelope e^(−γt)",
    TONE: "x(t), F(t) in blue, and the swing it leads to",
    SWEEP: "x(t), and F(t) in blue",
    SOUND: "x(t), and F(t) in blue",
}


@dataclass(frozen=True)
class OscillatorCurves:
    """Places and painting of the three curves, for one drive, one theme and one size."""

    drive: Drive
    theme: Theme
    motion: QRectF  #: of x(t)
    resonance: QRectF
    phase: QRectF

    @classmethod
    def within(cls, room: QRectF, gap: float, drive: Drive, theme: Theme) -> OscillatorCurves:
        """The three below each other.

        Parameters
        ----------
        room
            For all of them, without the texts beside it.
        gap
            Between two of them, pixels.
        drive
            The oscillator, and what drives it.
        theme
            Colours.

        Returns
        -------
        OscillatorCurves
            Ready to paint.
        """
        height, top, areas = room.height() - 2 * gap, room.top(), []
        for share in SHARES:
            areas.append(QRectF(room.left(), top, room.width(), share * height))
            top += share * height + gap
        return cls(drive, theme, *areas)

    def areas(self) -> tuple[QRectF, QRectF, QRectF]:
        """Of x(t), the resonance curve and the phase curve."""
        return self.motion, self.resonance, self.phase

    def draw_axes(self, painter: QPainter) -> None:
        """Axes, resonance curve and phase curve: what changes with the oscillator only."""
        if self.phase.height() < LEAST_HEIGHT:
            return
        oscillator = self.drive.oscillator
        titles = MOTIONS[self.drive.kind], "resonance, dB", "x behind F, degrees"
        for area, text in zip(self.areas(), titles, strict=True):
            painter.setPen(QColor(self.theme.line))
            painter.drawRect(area)
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(QPointF(area.left(), area.top() - 3), text)
        self._draw_levels(painter)
        self._draw_frequencies(painter)
        hz = np.geomspace(oscillator.f0_hz / SPAN, oscillator.f0_hz * SPAN, 600)
        hz = np.unique(np.append(hz, _near(oscillator)))
        answer = oscillator.response(hz)
        x = self._x_of(hz)
        painter.setPen(QPen(QColor(self.theme.cleaned), 1.6))
        painter.drawPolyline(_line(x, self._y_of_db(20 * np.log10(np.abs(answer)))))
        painter.drawPolyline(_line(x, self._y_of_lag(-np.degrees(np.angle(answer)))))
        half = np.array([-0.5, 0.5]) * oscillator.width_hz + oscillator.f0_hz
        if half[0] > oscillator.f0_hz / SPAN:
            level = float(self._y_of_db(decibels(oscillator.quality) - 3))
            painter.setPen(QPen(QColor(self.theme.accent), 2.0))
            left, right = self._x_of(half)
            painter.drawLine(QPointF(left, level), QPointF(right, level))

    def draw_motion(self, painter: QPainter, one: OneOscillator) -> None:
        """What moves: x(t), the envelope, and where the tone is on the curves."""
        if self.phase.height() < LEAST_HEIGHT:
            return
        start, stop = self._window(one)
        drive, x = one.trace(start, stop)
        size = max(float(np.abs(x).max()), 0.05)
        if self.drive.kind != NOTHING:
            colour = with_alpha(self.theme.original, 0.6)
            self._draw_trace(painter, drive, max(float(np.abs(drive).max()), 0.05), colour)
        self._draw_trace(painter, x, size, QColor(self.theme.cleaned))
        self._draw_envelope(painter, one, start, stop, size)
        if self.drive.kind in (TONE, SWEEP):
            self._draw_tone(painter, one.tone_hz)

    # Geometry.

    def _x_of(self, hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
        ratio = np.log(np.asarray(hz) / self.drive.oscillator.f0_hz) / math.log(SPAN)
        return np.asarray(self.phase.center().x() + ratio * self.phase.width() / 2)

    def _top_db(self) -> float:
        return decibels(self.drive.oscillator.quality) + ABOVE_DB

    def _y_of_db(self, db: NDArray[np.float64] | float) -> NDArray[np.float64]:
        share = (np.asarray(db) - LOWEST_DB) / (max(self._top_db(), ABOVE_DB) - LOWEST_DB)
        return np.asarray(self.resonance.bottom() - np.clip(share, 0, 1) * self.resonance.height())

    def _y_of_lag(self, degrees: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(self.phase.top() + np.asarray(degrees) / 180 * self.phase.height())

    # Axes.

    def _draw_levels(self, painter: QPainter) -> None:
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        step = 20 if self._top_db() < 45 else 40
        rows = [
            (self.resonance, figure(db), float(self._y_of_db(db)))
            for db in range(round(LOWEST_DB) // step * step + step, round(self._top_db()), step)
        ] + [(self.phase, str(lag), float(self._y_of_lag(lag))) for lag in (0, 90, 180)]
        for area, text, y in rows:
            painter.setPen(with_alpha(self.theme.line, 0.8))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(QRectF(area.left() - 44, y - 9, 40, 18), right, text)

    def _draw_frequencies(self, painter: QPainter) -> None:
        for ratio, flag, shift in (
            (1 / SPAN, Qt.AlignmentFlag.AlignLeft, 0),
            (1.0, Qt.AlignmentFlag.AlignHCenter, -60),
            (SPAN, Qt.AlignmentFlag.AlignRight, -120),
        ):
            hz = ratio * self.drive.oscillator.f0_hz
            x = float(self._x_of(hz))
            painter.setPen(with_alpha(self.theme.line, 0.8))
            for area in (self.resonance, self.phase):
                painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.setPen(QColor(self.theme.muted))
            room = QRectF(x + shift, self.phase.bottom() + 2, 120, 20)
            painter.drawText(room, flag, hz_text(hz))

    # What moves.

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
        self, painter: QPainter, values: NDArray[np.float32], size: float, colour: QColor
    ) -> None:
        """A line; where there are many samples to a pixel, from the lowest to the highest."""
        area = self.motion
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
        self, painter: QPainter, one: OneOscillator, start: int, stop: int, size: float
    ) -> None:
        """What the equation says: the fall after a pluck, the swing that a tone leads to."""
        area, oscillator = self.motion, self.drive.oscillator
        times_s = np.linspace(0, (stop - start) / SAMPLERATE, 120)
        if self.drive.kind == NOTHING and start == one.plucked_at:
            envelope = PLUCK_LEVEL * np.exp(-oscillator.decay_per_s * times_s)
        elif self.drive.kind == TONE:
            answer = abs(oscillator.response(np.array([one.tone_hz]))[0])
            envelope = np.full(120, TONE_LEVEL * answer / oscillator.quality)
        else:
            return
        x = np.linspace(area.left(), area.right(), 120)
        painter.setPen(QPen(QColor(self.theme.accent), 1.4, Qt.PenStyle.DashLine))
        for side in (1, -1):
            y = area.center().y() - side * 0.46 * area.height() / size * envelope
            painter.drawPolyline(_line(x, np.clip(y, area.top(), area.bottom())))

    def _draw_tone(self, painter: QPainter, hz: float) -> None:
        oscillator = self.drive.oscillator
        if not oscillator.f0_hz / SPAN <= hz <= oscillator.f0_hz * SPAN:
            return
        answer = oscillator.response(np.array([hz]))
        x = float(self._x_of(hz))
        painter.setPen(QPen(QColor(self.theme.original), 1.4))
        painter.setBrush(QColor(self.theme.original))
        for area, y in (
            (self.resonance, self._y_of_db(20 * np.log10(np.abs(answer)))),
            (self.phase, self._y_of_lag(-np.degrees(np.angle(answer)))),
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
