"""All keys, in one place, and the sheet that shows them."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QGridLayout, QLabel, QWidget

from resonance.app.gui.views.side_views import SIDE_VIEWS
from resonance.app.gui.widgets import ScrolledDialog, label

#: What keys do with the sound: name of what is done, keys, and how the sheet says it.
SOUND_KEYS: tuple[tuple[str, str, str], ...] = (
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
)
#: What keys do with files and the window.
WINDOW_KEYS: tuple[tuple[str, str, str], ...] = (
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
#: Keys of the panels whose tabs are no views.
SOUND_PANEL, FILES_PANEL = "5", "6"
#: What views do with keys while they have the focus.
IN_VIEWS = (
    ("+ and −", "zoom the resonogram; arrows move it, Home returns to now"),
    ("arrows", "in the phase wheel, follow the next oscillator"),
    ("Tab", "to the next control"),
)


def all_keys() -> list[tuple[str, str, str]]:
    """Every key of the window: name of what it does, keys, and how the sheet says it."""
    tabs = {row.key: row.view.title.lower() for row in SIDE_VIEWS}
    tabs |= {SOUND_PANEL: "sound settings", FILES_PANEL: "files"}
    by_key = [(f"tab_{key}", key, tabs[key]) for key in sorted(tabs)]
    return [*SOUND_KEYS, *by_key, *WINDOW_KEYS]


class Sheet(ScrolledDialog):
    """All keys at one glance."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Keys", "Sheet of all keys", parent)
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(7)
        lines = [(keys, text) for _, keys, text in all_keys()] + list(IN_VIEWS)
        half = -(-len(lines) // 2)
        for number, (keys, text) in enumerate(lines):
            key = QLabel(f"<b>{keys}</b>")
            key.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(key, number % half, 2 * (number // half))
            grid.addWidget(label(text), number % half, 2 * (number // half) + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        self.column.addLayout(grid)
        self.column.addStretch(1)
        self.resize(860, 560)
