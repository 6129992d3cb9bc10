"""Sliders, boxes and tabs that leave the mouse wheel alone until they have the focus.

Whoever scrolls a panel passes over its controls, and must not change them by that.
"""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QComboBox, QSlider, QTabBar, QTabWidget


class Slider(QSlider):
    """A horizontal slider with a name for screen readers."""

    def __init__(self, name: str, low: int, high: int) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        self.setRange(low, high)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Only with the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        elif event:
            event.ignore()


class ComboBox(QComboBox):
    """A box to choose from, with a name for screen readers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Only with the focus."""
        if self.hasFocus():
            super().wheelEvent(event)
        elif event:
            event.ignore()


class _TabBar(QTabBar):
    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 (Qt's name)
        if event:
            event.ignore()


class Tabs(QTabWidget):
    """Panels of which one is shown."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setTabBar(_TabBar())
        self.setAccessibleName(name)
        self.setDocumentMode(True)
        self.setUsesScrollButtons(False)
