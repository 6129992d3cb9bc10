"""One picture of the resonogram: an image that scrolls, with keywords and a caption."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QPainter

from resonance.app.gui import theme as themes
from resonance.app.gui.frames import USUAL_HOP_S
from resonance.app.gui.views.frequency_scale import ROWS
from resonance.app.gui.views.level_history import KEPT
from resonance.app.gui.views.scroll import Scroll


class Picture(pg.GraphicsObject):  # type: ignore[misc]
    """A history as an image that scrolls; pixels are written in place, a column per hop.

    Its x axis is in seconds, 0 being now; its y axis goes from 0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scroll = Scroll(ROWS, KEPT)
        self.end, self.hop_s, self.paints = 0, USUAL_HOP_S, 0
        self.marks: list[tuple[float, str]] = []  #: column and word
        self.theme = themes.DARK
        self.caption = ""

    @property
    def kept_s(self) -> float:
        """Length of all that is kept, s."""
        return KEPT * self.hop_s

    def column(self, at_s: float) -> int:
        """Number of the column that is drawn at a time, 0 s being the end of the newest."""
        back = int(np.clip(np.floor(-at_s / self.hop_s), 0, KEPT - 1))
        return self.end - 1 - back

    def boundingRect(self) -> QRectF:  # noqa: N802 (Qt's name)
        """All that is kept."""
        return QRectF(-self.kept_s, 0.0, self.kept_s, 1.0)

    def paint(self, painter: QPainter, *_: Any) -> None:
        """Draw the part that can be seen, in one or two pieces, without smoothing."""
        self.paints += 1
        seen = self.viewRect().intersected(self.boundingRect())
        if seen.isEmpty():
            return
        transform = painter.transform()
        painter.save()
        painter.resetTransform()
        self.scroll.draw(
            painter,
            transform.mapRect(seen),
            self.end,
            (seen.left() / self.hop_s, seen.right() / self.hop_s),
            ((1.0 - seen.bottom()) * ROWS, seen.height() * ROWS),
        )
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_marks(painter, transform, seen)
        corner = transform.map(QPointF(seen.left(), seen.top()))
        self._label(
            painter,
            QPointF(corner.x() + 8, corner.y() - 30),
            self.caption,
            self.theme.surface,
            self.theme.text,
        )
        painter.restore()

    def _draw_marks(self, painter: QPainter, transform: Any, seen: QRectF) -> None:
        """A line and the word for each keyword that can be seen."""
        for column, word in self.marks:
            at_s = (column - self.end) * self.hop_s
            if not seen.left() <= at_s <= seen.right():
                continue
            above = transform.map(QPointF(at_s, seen.bottom()))
            painter.setPen(themes.with_alpha(self.theme.text, 0.55))
            painter.drawLine(above, transform.map(QPointF(at_s, seen.top())))
            half = QFontMetricsF(painter.font()).horizontalAdvance(word) / 2 + 8
            right = transform.map(QPointF(seen.right(), 0.0)).x() - 2 * half
            corner = QPointF(max(0.0, min(above.x() - half, right)), above.y() + 6)
            self._label(painter, corner, word, self.theme.text, self.theme.ground)

    @staticmethod
    def _label(painter: QPainter, corner: QPointF, text: str, ground: str, ink: str) -> None:
        metrics = QFontMetricsF(painter.font())
        box = QRectF(corner.x(), corner.y(), metrics.horizontalAdvance(text) + 16, 24.0)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(ground))
        painter.drawRoundedRect(box, 12.0, 12.0)
        painter.setPen(QColor(ink))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
