"""All keys, in one place, and the sheet that shows them."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import QDialog, QGridLayout, QLabel, QVBoxLayout, QWidget

from resonance.app.gui.widgets import Scrolled, label

#: Name of what is done, keys, and how the sheet says it.
KEYS: tuple[tuple[str, str, str], ...] = (
    ("toggle", "Space", "start or stop listening; play or pause a file"),
    ("bypass", "B", "cleaned or original"),
    ("record", "R", "record, or end the recording"),
    ("save_last", "S", "save the last 30 seconds"),
    ("virtual_mic", "M", "be a microphone for other programs, or not"),
    ("freeze", "F", "freeze the resonogram"),
    ("scale", "L", "frequencies: sharp, as the ear spaces them, linear"),
    ("lower", "D", "lower picture: output, removed, phase"),
    ("less_limit", "[", "remove less"),
    ("more_limit", "]", "remove more"),
    ("preset", "P", "the next preset"),
    ("all_views", "A", "all views at once"),
    ("tab_1", "1", "phase wheel"),
    ("tab_2", "2", "bank"),
    ("tab_3", "3", "words"),
    ("tab_4", "4", "play with one oscillator"),
    ("tab_5", "5", "sound settings"),
    ("tab_6", "6", "files"),
    ("teach", "E", "teach a word"),
    ("open", "Ctrl+O", "open files to clean"),
    ("save_file", "Ctrl+S", "save the cleaned file that is played"),
    ("picture", "Ctrl+P", "save a view as a picture"),
    ("refresh", "F5", "look for devices"),
    ("theme", "T", "dark or light"),
    ("back", "Escape", "back to the microphone; close what is in the way"),
    ("sheet", "?", "this sheet"),
    ("quit", "Ctrl+Q", "quit"),
)
#: What views do with keys while they have the focus.
IN_VIEWS = (
    ("+ and −", "zoom the resonogram; arrows move it, Home returns to now"),
    ("arrows", "in the phase wheel, follow the next oscillator"),
    ("Tab", "to the next control"),
)


def key_of(name: str) -> QKeySequence:
    """The keys of what is done."""
    return QKeySequence(next(keys for known, keys, _ in KEYS if known == name))


class Sheet(QDialog):
    """All keys at one glance."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self.setAccessibleName("Sheet of all keys")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(18, 16, 18, 16)
        outer.addWidget(label("Keys", "title"))
        scrolled = Scrolled()
        outer.addWidget(scrolled, 1)
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(7)
        lines = [(keys, text) for _, keys, text in KEYS] + list(IN_VIEWS)
        half = -(-len(lines) // 2)
        for number, (keys, text) in enumerate(lines):
            key = QLabel(f"<b>{keys}</b>")
            key.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(key, number % half, 2 * (number // half))
            grid.addWidget(label(text), number % half, 2 * (number // half) + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        scrolled.column.addLayout(grid)
        scrolled.column.addStretch(1)
        self.resize(860, 560)
