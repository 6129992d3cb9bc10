"""The phase wheel: every oscillator at its phase and amplitude now; click one to follow it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import (
    QColor,
    QConicalGradient,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPen,
    QPolygonF,
    QResizeEvent,
)
from PyQt6.QtWidgets import QLabel, QVBoxLayout, QWidget

from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.dots import Dots
from resonance.app.gui.views.view import View, figure, run_alone
from resonance.dsp.bank import OscillatorBank, hz_to_erb

#: Radius of the centre and of the rim, dBFS.
CENTRE_DB, RIM_DB = -80.0, -20.0
#: Levels that have a ring, dBFS.
RINGS_DB = (-70, -50, -30)
#: The wheel turns this much slower than the oscillators do against their own f0.
SLOWER = 20.0
#: Slower than this against its own f0 [Hz], and louder than this [dBFS]: locked to the sound.
LOCKED_HZ, LOCKED_DB = 3.0, -55.0
#: Of the dots of narrow and of broad oscillators, pixels.
RADII = (2.6, 4.0)
#: Frames between two changes of the text.
TEXT_FRAMES = 15
#: Lines of text that the view must be high to show more than the disc and its text.
ROOMY_LINES = 28


class PhaseWheel(View):
    """Dots on a disc: angle is phase against the own f0, distance is amplitude, colour is f0."""

    title = "Phase wheel"
    description = (
        "Every oscillator at its phase and amplitude. Those that ring at their own frequency "
        "stand still, the others turn. Click one, or step with the arrow keys, to follow it."
    )

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self._bank: OscillatorBank | None = None
        self._angles = self._before = self._rate_hz = np.zeros(0)
        self._number = -2  # of the last hop
        self._dots: Dots | None = None
        self._frames = 0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 10, 14, 10)
        layout.addStretch(1)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._text.setMinimumHeight(4 * self.fontMetrics().lineSpacing())
        self._text.setToolTip(
            "Broad oscillators carry the sound: their weighted sum is the output. Narrow ones "
            "resolve the harmonics of a voice, and are silent unless the denoiser wants them."
        )
        self._legend = QLabel()
        self._legend.setProperty("role", "muted")
        self._legend.setWordWrap(True)
        self._response = ImpulseResponse(theme)
        layout.addWidget(self._text)
        layout.addWidget(self._response)
        layout.addWidget(self._legend)
        self._say()
        self._show_legend()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Where there is little room, the disc gets it."""
        super().resizeEvent(event)
        self._show_parts()

    def _show_parts(self) -> None:
        roomy = self.height() > ROOMY_LINES * self.fontMetrics().height()
        self._legend.setVisible(roomy)
        self._response.setVisible(roomy and self.followed is not None)

    # Frames.

    def take(self, frame: Frame) -> None:
        """Turn every oscillator by what it has turned against its own f0."""
        if frame.fresh or self._bank is None:
            self._begin(frame)
        self._frames += 1
        for row in frame.hops:
            angle = np.angle(row["z"])
            if int(row["number"]) == self._number + 1:
                turn = angle - self._before - self._advance
                turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
                self._angles += turn / SLOWER
                self._rate_hz += 0.1 * (turn / (2 * np.pi * frame.hop_s) - self._rate_hz)
            else:
                self._angles = angle
            self._before, self._number = angle, int(row["number"])
        if len(frame.hops):
            last = frame.hops[-1]
            self._db = 10 * np.log10(last["power"] + 1e-12)
            self._gain = last["gain"]
        if self._frames % TEXT_FRAMES == 0:
            self._say()

    def _begin(self, frame: Frame) -> None:
        bank = self._bank = frame.bank
        self._samplerate = float(frame.board.facts["samplerate"])
        self._carriers = np.array(frame.board.facts["carriers"], dtype=bool)
        self._advance = 2 * np.pi * np.mod(bank.f0_hz * frame.hop_s, 1.0)
        count = len(bank)
        self._angles, self._before, self._rate_hz = (np.zeros(count) for _ in range(3))
        self._db, self._gain = np.full(count, -120.0), np.ones(count, complex)
        self._number = -2
        self._recolour()
        if (self.followed or 0) >= count:
            self.follow(None)
        self.on_followed()

    def _recolour(self) -> None:
        if self._bank is None:
            return
        erb = hz_to_erb(self._bank.f0_hz)
        places = (erb - erb.min()) / (erb.max() - erb.min())
        self._colours = themes.colours(self.theme, places)
        self._dots = None

    # Drawing.

    def _disc(self) -> tuple[QPointF, float]:
        height = self._text.geometry().top() - 8
        radius = max(30.0, min(self.width(), height) / 2 - 16)
        return QPointF(self.width() / 2, max(radius + 16, height / 2)), radius

    def repaint_soon(self) -> None:
        """Only the disc: text below it paints itself."""
        centre, radius = self._disc()
        reach = radius + 16
        self.update(
            QRectF(centre.x() - reach, centre.y() - reach, 2 * reach, 2 * reach).toAlignedRect()
        )

    def backdrop_key(self) -> Any:
        """Text below the disc takes room from it."""
        centre, radius = self._disc()
        return centre.x(), centre.y(), radius

    def draw_backdrop(self, painter: QPainter) -> None:
        """Rim in the colours of phase, rings of equal level."""
        centre, radius = self._disc()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        gradient = QConicalGradient(centre, 180.0)
        for number, colour in enumerate(themes.PHASE):
            gradient.setColorAt(number / (len(themes.PHASE) - 1), QColor(colour))
        pen = QPen(gradient, 6.0)
        painter.setPen(pen)
        painter.drawEllipse(centre, radius + 7, radius + 7)
        painter.setPen(QColor(self.theme.line))
        for db in RINGS_DB:
            size = radius * _distance(db)
            painter.drawEllipse(centre, size, size)

    def _name_rings(self, painter: QPainter, centre: QPointF, radius: float) -> None:
        """On the dots, which would hide the names."""
        painter.save()
        small = painter.font()
        small.setPointSizeF(small.pointSizeF() * 0.8)
        painter.setFont(small)
        metrics = painter.fontMetrics()
        painter.setPen(QColor(self.theme.muted))
        for db in RINGS_DB:
            text = f"{figure(db)} dBFS"
            box = QRectF(0, 0, metrics.horizontalAdvance(text) + 6, metrics.height())
            box.moveCenter(QPointF(centre.x(), centre.y() - radius * _distance(db)))
            painter.fillRect(box, themes.with_alpha(self.theme.surface, 0.8))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        painter.restore()

    def draw(self, painter: QPainter) -> None:
        """A dot for each audible oscillator."""
        if self._bank is None:
            return
        centre, radius = self._disc()
        distance = np.clip(_distance(self._db), 0.0, 1.06) * radius
        x = centre.x() + distance * np.cos(self._angles)
        y = centre.y() - distance * np.sin(self._angles)
        if self._dots is None or self._dots.ratio != self.devicePixelRatioF():
            self._dots = Dots(self._colours, RADII, self.devicePixelRatioF())
        seen = np.flatnonzero(distance > 2.0)
        self._dots.draw(painter, x[seen], y[seen], seen, self._carriers[seen].astype(int))
        self._places = np.column_stack([x, y])
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(self.theme.text), 1.0))
        for number in np.flatnonzero(self.locked()):
            painter.drawEllipse(QPointF(x[number], y[number]), 5.5, 5.5)
        if radius > 110:
            self._name_rings(painter, centre, radius)
        if self.followed is not None:
            painter.setPen(QPen(QColor(self.theme.accent), 2.0))
            at = QPointF(x[self.followed], y[self.followed])
            painter.drawEllipse(at, 8.0, 8.0)
            painter.drawLine(centre, at)

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        super().set_theme(theme)
        self._response.set_theme(theme)
        self._recolour()
        self._show_legend()

    # Following one.

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Follow the dot that was meant."""
        assert event
        self.follow(self._nearest(event.position()))

    def _nearest(self, at: QPointF) -> int | None:
        """Number of the dot that is meant by a place."""
        if self._bank is None or not hasattr(self, "_places"):
            return None
        away = np.hypot(*(self._places - (at.x(), at.y())).T)
        nearest = int(away.argmin())
        return nearest if away[nearest] < 25 else None

    def explain(self, at: QPointF) -> str:
        """Which oscillator a dot is."""
        number = self._nearest(at)
        if number is None or self._bank is None:
            return ""
        still = ", locked to the sound" if self.locked()[number] else ""
        return f"f0 {self._bank.f0_hz[number]:.0f} Hz{still}. Click to follow it."

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Arrows step from oscillator to oscillator, by frequency; Escape lets go."""
        assert event
        steps = {
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Up: 1,
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Down: -1,
        }
        step = steps.get(Qt.Key(event.key()))
        if step and self._bank is not None:
            order = np.argsort(self._bank.f0_hz)
            place = -1 if self.followed is None else int(np.flatnonzero(order == self.followed)[0])
            self.follow(int(order[(place + step) % len(order)]))
        elif event.key() == Qt.Key.Key_Escape and self.followed is not None:
            self.follow(None)
        else:
            super().keyPressEvent(event)

    def on_followed(self) -> None:
        """Show the figures of one oscillator, or of all."""
        if self._bank is not None:
            self._response.show_oscillator(self._bank, self.followed, self._samplerate)
        self._show_parts()
        self._say()

    def locked(self) -> NDArray[np.bool_]:
        """Which oscillators ring at their own f0 [oscillators]."""
        loud = self._db > LOCKED_DB
        return np.asarray(loud & (np.abs(self._rate_hz) < LOCKED_HZ))

    def _show_legend(self) -> None:
        dots = "".join(f"<span style='color:{c}'>●</span>" for c in self.theme.frequency)
        rim = "".join(f"<span style='color:{c}'>●</span>" for c in themes.PHASE[:-1])
        self._legend.setText(
            f"Dots {dots} low to high f0, ringed when locked to the sound. "
            f"Rim {rim} phase, −180° to 180°."
        )

    def _say(self) -> None:
        if self._bank is None:
            text = "There is no input yet."
        elif self.followed is None:
            loud = int((self._db > LOCKED_DB).sum())
            text = (
                f"{loud} of {len(self._bank)} oscillators ring, {int(self.locked().sum())} of them "
                "locked to the sound: they stand still. Click one to follow it."
            )
        else:
            text = self._about(self.followed)
        self._text.setText(text)

    def _about(self, oscillator: int) -> str:
        bank = self._bank
        assert bank
        f0_hz, zeta = float(bank.f0_hz[oscillator]), float(bank.damping_ratio[oscillator])
        kind = "carries the sound" if self._carriers[oscillator] else "resolves harmonics"
        gain = complex(self._gain[oscillator])
        gain_db = 20 * math.log10(max(abs(gain), 1e-3))
        turned = math.degrees(np.angle(gain))
        return (
            f"<b>f0 {f0_hz:.0f} Hz</b>, {kind}<br>"
            f"damping ζ {zeta:.4f} · Q {0.5 / zeta:.1f} · rings "
            f"{1000 * float(bank.ring_time_s[oscillator]):.0f} ms<br>"
            f"now {figure(self._db[oscillator])} dBFS, "
            f"{figure(self._rate_hz[oscillator], 1, plus=True)} Hz off its f0 · "
            f"gain {figure(gain_db, 1, plus=True)} dB, {figure(turned, plus=True)}°"
        )


class ImpulseResponse(QWidget):
    """How one oscillator rings after a single push."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self._line: NDArray[np.float64] | None = None
        self._length_s = 0.0
        self.setMinimumHeight(70)
        self.setAccessibleName("Impulse response of the oscillator that is followed")
        self.hide()

    def show_oscillator(self, bank: OscillatorBank, number: int | None, samplerate: float) -> None:
        """Draw another one; None: nothing.

        Parameters
        ----------
        bank
            The oscillators.
        number
            Which of them; None: nothing is drawn.
        samplerate
            Of the sound, Hz.
        """
        if number is None:
            return
        self._length_s = float(bank.ring_time_s[number]) / 2
        times_s = np.linspace(0.0, self._length_s, 600)
        decay, turn = 2 * np.pi * bank.decay_hz[number], 2 * np.pi * bank.damped_hz[number]
        self._line = np.exp(-decay * times_s) * np.cos(turn * times_s)
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.theme = theme
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """A line, and how long it is."""
        if self._line is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        width, height = self.width() - 2, self.height() - 18
        painter.setPen(QColor(self.theme.line))
        painter.drawLine(QPointF(0, height / 2), QPointF(width, height / 2))
        x = np.linspace(1, width, len(self._line))
        y = height / 2 - self._line * (height / 2 - 2)
        painter.setPen(QPen(QColor(self.theme.accent), 1.2))
        painter.drawPolyline(QPolygonF([QPointF(*p) for p in zip(x, y, strict=True)]))
        painter.setPen(QColor(self.theme.muted))
        flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
        text = f"impulse response, {1000 * self._length_s:.0f} ms"
        painter.drawText(QRectF(0, 0, width, self.height()), flags, text)


def _distance(db: Any) -> Any:
    return (db - CENTRE_DB) / (RIM_DB - CENTRE_DB)


if __name__ == "__main__":
    run_alone(PhaseWheel)
