"""The window's menu."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from PyQt6.QtCore import QPoint
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QMenu, QWidget

from resonance.app.gui.views.view import View
from resonance.app.gui.window_commands import WindowCommands
from resonance.app.live.generator import SWEEP, TONE
from resonance.assets import DEMO


class WindowMenu(QMenu):
    """All that can be done, with its keys; also a menu of pictures, one for each view.

    Parameters
    ----------
    parent
        The window.
    commands
        What the entries do.
    views
        Of which pictures can be saved.
    """

    def __init__(self, parent: QWidget, commands: WindowCommands, views: Iterable[View]) -> None:
        super().__init__(parent)
        for text, keys, command in (
            ("Open files…", "Ctrl+O", commands.ask_for_files),
            ("Teach a word…", "E", commands.teach),
            ("All views at once", "A", commands.toggle_all_views),
            ("Play the demo", "", partial(commands.play, DEMO)),
            ("Play a tone", "", partial(commands.session.generate, TONE)),
            ("Play a sweep", "", partial(commands.session.generate, SWEEP)),
            ("How it works", "", commands.show_how),
            ("Add to the applications menu", "", commands.add_to_applications),
            ("Theme: dark or light", "T", commands.toggle_theme),
        ):
            _add(self, text, keys, command)
        pictures = self.addMenu("Save a picture of")
        assert pictures
        self.pictures = pictures
        for view in views:
            _add(pictures, view.title, "", partial(commands.save_picture, view))
        self.addSeparator()
        _add(self, "Keys", "?", commands.show_sheet)
        _add(self, "Quit", "Ctrl+Q", commands.quit)

    def show_below(self, widget: QWidget) -> None:
        """Open it below a button, with the right edges in line."""
        corner = widget.mapToGlobal(QPoint(widget.width(), widget.height()))
        corner.setX(corner.x() - self.sizeHint().width())
        self.popup(corner)


def _add(menu: QMenu, text: str, keys: str, command: Callable[[], Any]) -> None:
    # The keys themselves are bound once, for the window; here they are only shown.
    made = QAction(f"{text}\t{keys}" if keys else text, menu)
    made.triggered.connect(lambda _=False: command())
    menu.addAction(made)
