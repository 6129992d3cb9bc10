"""What all views have in common: a theme, frames, pictures of themselves, running alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from PyQt6 import sip
from PyQt6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import (
    QColor,
    QFont,
    QFontMetricsF,
    QHelpEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
)
from PyQt6.QtSvg import QSvgGenerator
from PyQt6.QtWidgets import QApplication, QToolTip, QWidget

from resonance.app.errors import UserError
from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Feed, Frame
from resonance.app.gui.theme import Theme
from resonance.app.live.board import Board
from resonance.app.safe_write import written_whole

#: Endings that :meth:`View.save` can write.
PICTURES = (".png", ".svg")


class View(QWidget):
    """A picture of the newest frame.

    Subclasses take in what a frame brings in :meth:`take`, and draw what seldom changes in
    :meth:`draw_backdrop`, the rest in :meth:`draw`. Nothing is painted while hidden.

    One oscillator can be followed, by a click in any view: :meth:`follow` marks it in this one
    and informs the others through :attr:`followed_changed`.
    """

    #: Another oscillator is followed: its number, or None.
    followed_changed = pyqtSignal(object)

    #: What people call it.
    title = ""
    #: One sentence for screen readers and the tool tip.
    description = ""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.paints = 0  #: how often it was painted
        self.followed: int | None = None  #: number of the oscillator that is marked
        self._backdrop: QPixmap | None = None
        self._backdrop_of: Any = None
        self._direct = False  # no images: for vector graphics
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName(self.title)
        self.setAccessibleDescription(self.description)

    def show_frame(self, frame: Frame) -> None:
        """Take a frame in, and paint it if anybody can see that."""
        self.take(frame)
        if self.isVisible():
            self.repaint_soon()

    def take(self, frame: Frame) -> None:
        """Remember what the frame brings."""
        raise NotImplementedError

    def follow(self, number: int | None) -> None:
        """Mark one oscillator, or none."""
        if number == self.followed:
            return
        self.followed = number
        self.on_followed()
        self.update()
        self.followed_changed.emit(number)

    def on_followed(self) -> None:
        """Another oscillator is followed."""

    def explain(self, at: QPointF) -> str:
        """What lies at a place, for whoever rests the pointer there; empty if there is nothing."""
        return ""

    def backdrop_key(self) -> Any:
        """Where things are: when it changes, the backdrop is painted anew."""
        return None

    def repaint_soon(self) -> None:
        """Paint at the next chance."""
        self.update()

    def draw_backdrop(self, painter: QPainter) -> None:
        """Paint what seldom changes; kept as an image until :meth:`renew_backdrop`."""

    def draw(self, painter: QPainter) -> None:
        """Paint what moves."""

    def small_font(self) -> QFont:
        """For what explains."""
        small = self.font()
        small.setPointSizeF(small.pointSizeF() * 0.85)
        return small

    def legend_box(self, text: str) -> QRectF:
        """Room for an explanation at the bottom, as high as its lines."""
        width = self.width() - 28.0
        room = QRectF(0, 0, width, self.height())
        box = QFontMetricsF(self.small_font()).boundingRect(room, _WRAPPED, text)
        return QRectF(14, self.height() - box.height() - 8, width, box.height())

    def draw_legend(self, painter: QPainter, text: str) -> None:
        """Explain what is drawn."""
        painter.setFont(self.small_font())
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(self.legend_box(text), _WRAPPED, text)

    def renew_backdrop(self) -> None:
        """Paint the backdrop anew at the next frame."""
        self._backdrop = None
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours from now on."""
        self.theme = theme
        self.renew_backdrop()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Another size, another backdrop."""
        super().resizeEvent(event)
        self._backdrop = None

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Count, and draw."""
        self.paints += 1
        painter = QPainter(self)
        if self._direct:
            self._paint_backdrop(painter)
        else:
            ratio = self.devicePixelRatioF()
            key = ratio, self.backdrop_key()
            if self._backdrop is None or self._backdrop_of != key:
                self._backdrop_of = key
                self._backdrop = QPixmap(self.size() * ratio)
                self._backdrop.setDevicePixelRatio(ratio)
                beneath = QPainter(self._backdrop)
                beneath.setFont(self.font())
                self._paint_backdrop(beneath)
                beneath.end()
            painter.drawPixmap(0, 0, self._backdrop)
        self.draw(painter)
        painter.end()

    def _paint_backdrop(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), QColor(self.theme.surface))
        self.draw_backdrop(painter)

    def event(self, event: QEvent | None) -> bool:
        """Explain what the pointer rests on."""
        if isinstance(event, QHelpEvent):
            text = self.explain(QPointF(event.pos()))
            if text:
                QToolTip.showText(event.globalPos(), text, self)
                return True
        return super().event(event)

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt's name)
        """Roomy."""
        return QSize(420, 420)

    def save(self, path: Path) -> None:
        """Write a picture of the view as it is; the file gets its name when it is whole.

        Raises
        ------
        UserError
            If the name ends in neither .png nor .svg, or the file cannot be written.
        """
        ending = path.suffix.lower()
        if ending not in PICTURES:
            raise UserError(f"{path.name}: pictures end in {' or '.join(PICTURES)}")
        draw = self._save_svg if ending == ".svg" else self._save_png
        try:
            with written_whole(path, overwrite=True) as part:
                if not draw(part.path):
                    raise OSError("the folder does not take it")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error

    def _save_png(self, path: Path) -> bool:
        return self.grab().save(str(path), "PNG")

    def _save_svg(self, path: Path) -> bool:
        generator = QSvgGenerator()
        generator.setFileName(str(path))
        generator.setSize(self.size())
        generator.setViewBox(QRect(0, 0, self.width(), self.height()))
        generator.setTitle(self.title)
        painter = QPainter()
        if not painter.begin(generator):
            return False
        self._direct = True
        self.render(painter)
        self._direct = False
        return painter.end()


_WRAPPED = Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap


def figure(value: float, digits: int = 0, *, plus: bool = False) -> str:
    """A number as people write it: with a real minus, and never −0.

    Parameters
    ----------
    value
        The number.
    digits
        After the point.
    plus
        Write + in front of positive numbers.

    Returns
    -------
    str
        Such as −3.5.
    """
    sign = "+" if plus else ""
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def run_alone(make: Any, arguments: list[str] | None = None) -> None:
    """Show one view of a board saved with :meth:`~resonance.app.live.board.Board.save`.

    ``python -m resonance.app.gui.views.NAME snapshot.npz [picture.png]``; with a picture's name,
    that is written and the program ends.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not 1 <= len(arguments) <= 2:
        raise SystemExit(f"usage: python -m {make.__module__} snapshot.npz [picture.png]")
    application = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(application, QApplication)
    theme = themes.system_theme()
    themes.apply(application, theme)
    board, feed = Board.load(Path(arguments[0])), Feed()
    view: View = make(theme)
    view.setWindowTitle(f"{view.title}: {arguments[0]}")
    view.resize(900, 620)
    view.show()
    view.show_frame(feed.frame(board))
    if len(arguments) == 2:
        for _ in range(60):
            view.show_frame(feed.frame(board))
        view.save(Path(arguments[1]))
    else:
        timer = QTimer()
        timer.timeout.connect(lambda: view.show_frame(feed.frame(board)))
        timer.start(16)
        application.exec()
        timer.stop()
    view.close()
    sip.delete(view)  # before the application, whose end it does not survive
