"""Many dots at once: each kind is drawn once, then copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPixmap


class Dots:
    """Dots in so many colours and sizes.

    Parameters
    ----------
    colours
        To choose from.
    radii
        To choose from, pixels.
    ratio
        Pixels of the screen per pixel.
    """

    def __init__(self, colours: Sequence[QColor], radii: Sequence[float], ratio: float) -> None:
        self.ratio = ratio
        side = 2 * int(np.ceil(max(radii))) + 2
        self._source = round(side * ratio)
        self._sheet = QPixmap(self._source * len(colours), self._source * len(radii))
        self._sheet.fill(Qt.GlobalColor.transparent)
        painter = QPainter(self._sheet)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        for column, colour in enumerate(colours):
            painter.setBrush(colour)
            for line, radius in enumerate(radii):
                centre = QPointF(column + 0.5, line + 0.5) * self._source
                painter.drawEllipse(centre, radius * ratio, radius * ratio)
        painter.end()
        self._sheet.setDevicePixelRatio(1.0)

    def draw(
        self,
        painter: QPainter,
        x: NDArray[np.floating],
        y: NDArray[np.floating],
        colours: NDArray[np.integer],
        radii: NDArray[np.integer] | int = 0,
    ) -> None:
        """Draw a dot at each of ``x, y [dots]`` by numbers of its colour and radius.

        Parameters
        ----------
        painter
            Of the view.
        x, y
            Centres, pixels [dots].
        colours
            Number of each colour [dots].
        radii
            Number of each radius [dots].
        """
        size, scale = self._source, 1.0 / self.ratio
        left = np.asarray(colours) * size
        top = np.broadcast_to(np.asarray(radii) * size, left.shape)
        make = QPainter.PixmapFragment.create
        fragments: Any = [
            make(QPointF(px, py), QRectF(sx, sy, size, size), scale, scale)
            for px, py, sx, sy in zip(
                x.tolist(), y.tolist(), left.tolist(), top.tolist(), strict=True
            )
        ]
        painter.drawPixmapFragments(fragments, self._sheet)
