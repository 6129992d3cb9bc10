"""The bank: where every oscillator sits, how loud it rings, how much of it is in the output."""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPen
from PyQt6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.dots import Dots
from resonance.app.gui.views.view import View, figure, run_alone
from resonance.dsp.bank import OscillatorBank, hz_to_erb, narrow_bank

#: Where training starts for the narrow oscillators: evenly spaced up to this, this wide, Hz.
FIRST_TOP_HZ, FIRST_WIDTH_HZ = 4000.0, 35.0
#: Damping ratios at the lower and upper end of the picture.
DAMPING = (0.0016, 0.8)
#: Changes of the bandwidth at both ends, %.
CHANGE = 40.0
#: Those that have a line, %.
CHANGES = (-30, -15, 0, 15, 30)
#: From the smallest dot to the largest, dBFS.
LEVELS_DB = (-78.0, -15.0)
#: Of the dots, pixels; and how many shades there are.
RADII = tuple(1.6 + 0.4 * step for step in range(17))
COLOURS = 32
#: What dots mean.
LEGEND = "Size: how loud it rings. Colour: how much of it is in the output."


class Bank(View):
    """f0 against damping, amplitude as size, gain as colour; or what learning has changed."""

    title = "Bank"
    description = (
        "Every oscillator by its frequency and damping. Size is amplitude, brightness is how much "
        "of it is played. The second button shows how far learning moved the narrow ones."
    )

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.changes = False  #: show what learning has changed
        self._bank: OscillatorBank | None = None
        self._dots: Dots | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 10, 10, 10)
        row = QHBoxLayout()
        row.setSpacing(0)
        self._buttons = []
        for text, changes, side in (
            ("Where they sit", False, "left"),
            ("What was learned", True, "right"),
        ):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setAutoExclusive(True)
            button.setChecked(changes == self.changes)
            button.setProperty("segment", side)
            button.clicked.connect(lambda _, wanted=changes: self.set_changes(wanted))
            row.addWidget(button)
            self._buttons.append(button)
        row.addStretch(1)
        layout.addLayout(row)
        layout.addStretch(1)

    def set_changes(self, changes: bool) -> None:
        """Show what learning has changed, or where the oscillators sit."""
        self.changes = changes
        self._buttons[int(changes)].setChecked(True)
        self._place()
        self.renew_backdrop()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Left and right choose."""
        assert event
        if event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.set_changes(event.key() == Qt.Key.Key_Right)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Follow the dot that was meant."""
        assert event
        self.follow(self._nearest(event.position()))

    def _nearest(self, at: QPointF) -> int | None:
        """Number of the dot that is meant by a place."""
        if self._bank is None:
            return None
        away = np.hypot(self._xs - at.x(), self._ys - at.y())
        nearest = int(away.argmin())
        return nearest if away[nearest] < 25 else None

    def explain(self, at: QPointF) -> str:
        """Which oscillator a dot is."""
        number = self._nearest(at)
        if number is None or self._bank is None:
            return ""
        kind = "carries the sound" if self._carriers[number] else "resolves harmonics"
        f0_hz, damping = self._bank.f0_hz[number], self._bank.damping_ratio[number]
        return f"f0 {f0_hz:.0f} Hz, damping {damping:.4f}, {kind}. Click to follow it."

    def take(self, frame: Frame) -> None:
        """Amplitudes and gains now."""
        if frame.fresh or self._bank is None:
            self._bank = frame.bank
            self._carriers = np.array(frame.board.facts["carriers"], dtype=bool)
            self._power = np.zeros(len(frame.bank), np.float32)
            self._in_output = np.zeros(len(frame.bank), np.float32)
            self._start = self._first_bank()
            self._place()
            self.renew_backdrop()
        for row in frame.hops:
            self._power += 0.25 * (row["power"] - self._power)
            # A gain of 1 lets a broad oscillator sound and keeps a narrow one silent.
            sounds = np.abs(row["gain"] - np.where(self._carriers, 0.0, 1.0))
            self._in_output += 0.25 * (np.minimum(sounds, 1.0) - self._in_output)

    def _first_bank(self) -> OscillatorBank | None:
        """The narrow oscillators before training, if this bank has them."""
        assert self._bank
        count = int((~self._carriers).sum())
        if count < 2:
            return None
        return narrow_bank(count, high_hz=FIRST_TOP_HZ, width_hz=FIRST_WIDTH_HZ)

    # Geometry.

    def _area(self) -> QRectF:
        line = self.fontMetrics().height()
        top = self._buttons[0].geometry().bottom() + 14 + line
        left, bottom = 58, self.legend_box(LEGEND).top() - 2.4 * line
        return QRectF(left, top, self.width() - left - 16, bottom - top)

    def resizeEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Another size, other places."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._place()

    def _x(self, hz: np.ndarray | float) -> np.ndarray:
        low, high = hz_to_erb(45.0), hz_to_erb(8200.0)
        area = self._area()
        return np.asarray(area.left() + (hz_to_erb(hz) - low) / (high - low) * area.width())

    def _y(self, damping: np.ndarray | float) -> np.ndarray:
        low, high = np.log(DAMPING)
        area = self._area()
        return np.asarray(area.bottom() - (np.log(damping) - low) / (high - low) * area.height())

    def _y_change(self, percent: np.ndarray | float) -> np.ndarray:
        area = self._area()
        return np.asarray(area.center().y() - np.asarray(percent) / CHANGE * area.height() / 2)

    def _place(self) -> None:
        if self._bank is None:
            return
        bank = self._bank
        self._xs = self._x(bank.f0_hz)
        self._ys = self._y(bank.damping_ratio)
        if self.changes and self._start is not None:
            narrow = ~self._carriers
            width = bank.decay_hz[narrow] / self._start.decay_hz
            self._ys[narrow] = self._y_change(100 * (width - 1))
            self._ys[~narrow] = self._y_change(0.0)

    # Drawing.

    def draw_backdrop(self, painter: QPainter) -> None:
        """Axes, and lines from where learning began."""
        area = self._area()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        ends = -1000.0
        for hz in (50, 100, 200, 500, 1000, 2000, 4000, 8000):
            x = float(self._x(hz))
            if x - ends < 34:
                continue
            ends = x
            painter.setPen(QColor(self.theme.line))
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
            painter.setPen(QColor(self.theme.muted))
            box = QRectF(x - 30, area.bottom() + 4, 60, painter.fontMetrics().height())
            text = f"{hz // 1000} k" if hz >= 1000 else str(hz)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, text)
        rows = (
            [(f"{figure(p, plus=p != 0)} %", float(self._y_change(p))) for p in CHANGES]
            if self.changes
            else [(f"{z:g}", float(self._y(z))) for z in (0.003, 0.01, 0.03, 0.1, 0.3)]
        )
        for text, y in rows:
            painter.setPen(QColor(self.theme.line))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(QRectF(0, y - 10, area.left() - 6, 20), right, text)
        what = "bandwidth after learning, against before" if self.changes else "damping ratio ζ"
        line = painter.fontMetrics().height()
        painter.drawText(QPointF(12, area.top() - 8), what)
        caption = QRectF(area.left(), area.bottom() + 4 + line, area.width(), line)
        painter.drawText(caption, Qt.AlignmentFlag.AlignHCenter, "f0 in Hz")
        self._draw_moves(painter)
        self.draw_legend(painter, LEGEND)

    def _draw_moves(self, painter: QPainter) -> None:
        if self._bank is None or self._start is None:
            return
        xs = self._x(self._start.f0_hz)
        zero = np.full(len(xs), float(self._y_change(0.0)))
        ys = zero if self.changes else self._y(self._start.damping_ratio)
        painter.setPen(QPen(QColor(self.theme.muted), 1.0))
        narrow = np.flatnonzero(~self._carriers)
        for number, x, y in zip(narrow, xs, ys, strict=True):
            painter.drawLine(QPointF(x, y), QPointF(self._xs[number], self._ys[number]))
            painter.drawEllipse(QPointF(x, y), 1.4, 1.4)

    def draw(self, painter: QPainter) -> None:
        """Dots."""
        if self._bank is None:
            return
        low, high = LEVELS_DB
        db = 10 * np.log10(self._power + 1e-12)
        if self._dots is None or self._dots.ratio != self.devicePixelRatioF():
            table = themes.amplitude_map(self.theme)[np.linspace(64, 255, COLOURS).astype(int)]
            colours = [QColor.fromRgb(int(colour)) for colour in table]
            self._dots = Dots(colours, RADII, self.devicePixelRatioF())
        sizes = np.clip((db - low) / (high - low), 0.0, 1.0) * (len(RADII) - 1)
        shades = np.clip(self._in_output, 0.0, 1.0) * (COLOURS - 1)
        shown = np.flatnonzero(~self._carriers if self.changes else np.ones(len(db), bool))
        self._dots.draw(
            painter,
            self._xs[shown],
            self._ys[shown],
            shades[shown].astype(int),
            sizes[shown].astype(int),
        )
        if self.followed is not None and self.followed < len(self._xs):
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(self.theme.accent), 2.0))
            at = QPointF(self._xs[self.followed], self._ys[self.followed])
            painter.drawEllipse(at, 10.0, 10.0)

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        super().set_theme(theme)
        self._dots = None


if __name__ == "__main__":
    run_alone(Bank)
