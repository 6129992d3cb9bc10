"""What all views have in common: a theme, frames, pictures of themselves, running alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QRect, QSize, QTimer
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtSvg import QSvgGenerator
from PyQt6.QtWidgets import QApplication, QWidget

from app.errors import UserError
from app.gui import theme as themes
from app.gui.frames import Feed, Frame
from app.gui.theme import Theme
from app.live.board import Board

#: Endings that :meth:`View.save` can write.
PICTURES = (".png", ".svg")


class View(QWidget):
    """A picture of the newest frame.

    Subclasses take in what a frame brings in :meth:`take` and draw in :meth:`draw` (or hold
    widgets that draw). Nothing is painted while hidden.
    """

    #: What people call it.
    title = ""
    #: One sentence for screen readers and the tool tip.
    description = ""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.paints = 0  #: how often it was painted
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

    def repaint_soon(self) -> None:
        """Paint at the next chance."""
        self.update()

    def draw(self, painter: QPainter) -> None:
        """Paint all of it."""

    def set_theme(self, theme: Theme) -> None:
        """Other colours from now on."""
        self.theme = theme
        self.repaint_soon()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Count, and draw."""
        self.paints += 1
        painter = QPainter(self)
        self.draw(painter)
        painter.end()

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
        aside = path.with_name(f".{path.stem}.{os.getpid()}{ending}")
        written = self._save_svg(aside) if ending == ".svg" else self.grab().save(str(aside))
        try:
            if not written:
                raise OSError("the folder does not take it")
            os.replace(aside, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error

    def _save_svg(self, path: Path) -> bool:
        generator = QSvgGenerator()
        generator.setFileName(str(path))
        generator.setSize(self.size())
        generator.setViewBox(QRect(0, 0, self.width(), self.height()))
        generator.setTitle(self.title)
        painter = QPainter()
        if not painter.begin(generator):
            return False
        self.render(painter)
        return painter.end()


def run_alone(make: Any, arguments: list[str] | None = None) -> None:
    """Show one view of a board saved with :meth:`~app.live.board.Board.save`.

    ``python -m app.gui.views.NAME snapshot.npz [picture.png]``; with a picture's name, that is
    written and the program ends.
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
        return
    timer = QTimer()
    timer.timeout.connect(lambda: view.show_frame(feed.frame(board)))
    timer.start(16)
    application.exec()
