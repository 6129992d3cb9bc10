"""An image that scrolls: columns are written in place, the newest at the right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QImage, QPainter

Pixels = NDArray[np.uint32]


class Scroll:
    """A ring of pixel columns.

    Parameters
    ----------
    rows, length
        Size in pixels; ``length`` columns are kept.
    """

    def __init__(self, rows: int, length: int) -> None:
        self.rows, self.length = rows, length
        self._pixels = np.zeros((rows, length), np.uint32)
        self._image = QImage(
            self._pixels.data,
            length,
            rows,
            4 * length,
            QImage.Format.Format_RGB32,  # type: ignore[call-overload]
        )

    def fill(self, pixel: int) -> None:
        """Make all of it one colour."""
        self._pixels[:] = pixel

    def write(self, places: NDArray[np.intp], pixels: Pixels) -> None:
        """Replace columns by ``pixels [rows, columns]`` (0xffRRGGBB); place = number % length."""
        self._pixels[:, places] = pixels

    def draw(
        self,
        painter: QPainter,
        target: QRectF,
        end: int,
        span: tuple[float, float],
        rows: tuple[float, float],
    ) -> None:
        """Draw columns and rows into ``target``, in one piece or two, without smoothing.

        Parameters
        ----------
        end
            Number of the column after the newest.
        span
            First and last column to draw, counted back from ``end``: -100.0, 0.0.
        rows
            First row and how many.
        """
        first, last = (self.length + at for at in span)
        start = end % self.length  # place of the oldest column
        scale = target.width() / (last - first)
        for low, high, shift in (
            (0, self.length - start, start),
            (self.length - start, self.length, start - self.length),
        ):
            begin, stop = max(first, low), min(last, high)
            if stop <= begin:
                continue
            part = QRectF(
                target.left() + (begin - first) * scale,
                target.top(),
                (stop - begin) * scale,
                target.height(),
            )
            painter.drawImage(
                part, self._image, QRectF(begin + shift, rows[0], stop - begin, rows[1])
            )
