"""Opens the window at some scale and theme, and tells which texts are cut: ``looks.py THEME NPZ``.

The scale comes from QT_SCALE_FACTOR, so every scale needs a process of its own.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PyQt6.QtCore import QRect
from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QAbstractButton, QApplication, QLabel, QTabBar, QWidget

from resonance.app.gui.shortcuts import Sheet
from resonance.app.gui.window import Window
from resonance.app.live.board import Board
from tests.gui.conftest import show_board


def cut_texts(top):
    """Texts in visible widgets that have less room than they need."""
    found = []
    for widget in top.findChildren(QWidget):
        if not widget.isVisibleTo(top) or widget.width() == 0:
            continue
        if isinstance(widget, QLabel | QAbstractButton) and widget.text():
            if (_cuts_label if isinstance(widget, QLabel) else _cuts_button)(widget):
                found.append(widget.text())
        elif isinstance(widget, QTabBar):
            found += [
                widget.tabText(number)
                for number in range(widget.count())
                if _width(widget, widget.tabText(number)) > widget.tabRect(number).width()
            ]
    return found


def _width(widget, text):
    return widget.fontMetrics().horizontalAdvance(text)


def _cuts_label(label):
    if label.sizePolicy().horizontalPolicy().name == "Ignored":
        return False  # shortened on purpose, whole in the tool tip
    if label.wordWrap():
        return label.heightForWidth(label.width()) > label.height() + 1
    needed = label.sizeHint()
    return needed.width() > label.width() + 1 or needed.height() > label.height() + 1


def _cuts_button(button):
    high = button.fontMetrics().height() > button.height()
    return high or _width(button, button.text()) > button.width()


def outside(top):
    """Visible buttons that stick out of the window."""
    frame = QRect(0, 0, top.width(), top.height())
    found = []
    for widget in top.findChildren(QAbstractButton):
        if widget.isVisible() and widget.text() and not _scrolled(widget):
            place = QRect(widget.mapTo(top, widget.rect().topLeft()), widget.size())
            if not frame.contains(place):
                found.append(widget.text())
    return found


def _scrolled(widget):
    from resonance.app.gui.widgets import Scrolled

    while widget:
        if isinstance(widget, Scrolled):
            return True
        widget = widget.parentWidget()
    return False


def colours(image):
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    memory = image.constBits().asarray(image.sizeInBytes())
    return len(np.unique(np.frombuffer(memory, np.uint32)))


def main():
    theme, snapshot = sys.argv[1:]
    application = QApplication([])
    window = Window(application)
    window.session.keep(theme=theme)
    window._dress()
    window.resize(1280, 800)
    window.show()
    window._timer.stop()  # frames come when they are asked for
    report = {"cut": [], "outside": [], "beyond": [], "colours": []}

    def look(top, name):
        for _ in range(3):
            application.processEvents()
        report["cut"] += [f"{name}: {text}" for text in cut_texts(top)]
        report["outside"] += [f"{name}: {text}" for text in outside(top)]
        room = top.screen().availableGeometry()
        if top.isWindow() and not room.contains(top.frameGeometry()):
            report["beyond"].append(f"{name}: {top.frameGeometry()} in {room}")
        report["colours"].append(colours(top.grab().toImage()))

    look(window, "welcome")
    window._warm = True
    window.session.keep(welcomed=True)
    show_board(window, Board.load(Path(snapshot)))
    for number in range(window.side.tabs.count()):
        window.side.show_tab(number)
        window.on_frame()
        look(window, window.side.tabs.tabText(number))
    window.banner.say(
        "no input device; plug one in, or start the sound server",
        "device",
        ("Choose a device", print),
    )
    window.side.set_all_views(True)
    window.on_frame()
    look(window, "all views")
    window.commands.teach()
    look(window.commands.teacher, "teach")
    sheet = Sheet(window)
    sheet.show()
    look(sheet, "keys")
    report["scale"] = window.devicePixelRatioF()
    report["size"] = [window.width(), window.height()]
    window.session.engine = None
    window.close()
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
