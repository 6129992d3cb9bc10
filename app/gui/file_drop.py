"""Files that are dropped on a window."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QEvent, QObject, pyqtSignal
from PyQt6.QtGui import QDragEnterEvent, QDropEvent
from PyQt6.QtWidgets import QWidget


class FileDrop(QObject):
    """Makes a widget take files."""

    dropped = pyqtSignal(list)  #: paths

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Accept files, and pass their paths on."""
        if isinstance(event, QDropEvent) and event.type() == QEvent.Type.Drop:
            data = event.mimeData()
            urls = data.urls() if data else []
            self.dropped.emit([Path(url.toLocalFile()) for url in urls if url.isLocalFile()])
            return True
        if isinstance(event, QDragEnterEvent):
            data = event.mimeData()
            if data and data.hasUrls():
                event.acceptProposedAction()
            return True
        return super().eventFilter(watched, event)
