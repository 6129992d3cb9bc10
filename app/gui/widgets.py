"""Small pieces that panels are made of."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from PyQt6 import sip
from PyQt6.QtCore import QObject, Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from pyqtgraph.util.garbage_collector import GarbageCollector


def label(text: str, role: str = "", *, selectable: bool = False) -> QLabel:
    """A text that wraps; roles: title, heading, muted, state.

    Parameters
    ----------
    text
        Of the label.
    role
        How it looks: title, heading, muted or state; empty: plain.
    selectable
        Whether people can copy it.

    Returns
    -------
    QLabel
        Of several lines where needed.
    """
    made = QLabel(text)
    made.setWordWrap(True)
    made.setProperty("role", role)
    if selectable:
        made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    return made


def button(text: str, action: Callable[[], Any], hint: str = "", role: str = "") -> QPushButton:
    """A button; ``hint`` is its tool tip and what screen readers add.

    Parameters
    ----------
    text
        On the button.
    action
        What a click does.
    hint
        Tool tip, also for screen readers.
    role
        How it looks; empty: plain.

    Returns
    -------
    QPushButton
        Ready to be placed.
    """
    made = QPushButton(text)
    made.clicked.connect(lambda _=False: action())
    made.setAutoDefault(False)
    if hint:
        made.setToolTip(hint)
        made.setAccessibleDescription(hint)
    made.setProperty("role", role)
    return made


class Choice(QWidget):
    """Two or three buttons of which one is pressed."""

    chosen = pyqtSignal(str)

    def __init__(self, name: str, options: Sequence[tuple[str, str, str]]) -> None:
        """``options``: value, text, hint of each."""
        super().__init__()
        self.setAccessibleName(name)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self._buttons: dict[str, QPushButton] = {}
        for number, (value, text, hint) in enumerate(options):
            made = button(text, partial(self._on_clicked, value), hint)
            made.setCheckable(True)
            made.setAutoExclusive(True)
            made.setAccessibleName(f"{name}: {text}")
            last = len(options) - 1
            side = "left" if number == 0 else "right" if number == last else "middle"
            made.setProperty("segment", side)
            row.addWidget(made)
            self._buttons[value] = made

    def _on_clicked(self, value: str) -> None:
        self.chosen.emit(value)

    @property
    def value(self) -> str:
        """What is pressed."""
        return next((v for v, made in self._buttons.items() if made.isChecked()), "")

    def set_value(self, value: str) -> None:
        """Press another one, without telling; none if there is no such value."""
        for known, made in self._buttons.items():
            made.setAutoExclusive(False)
            made.setChecked(known == value)
            made.setAutoExclusive(True)

    def button(self, value: str) -> QPushButton:
        """The button of a value."""
        return self._buttons[value]


def card(*widgets: QWidget) -> QFrame:
    """A frame around widgets, below one another."""
    frame = QFrame()
    frame.setProperty("card", True)
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(1, 1, 1, 1)
    for widget in widgets:
        layout.addWidget(widget)
    return frame


def fit_to_screen(window: QWidget) -> None:
    """Make a window no larger than its screen, with title bar and frame, and nowhere beyond it."""
    screen = window.screen()
    if screen is None or window.isMaximized() or window.isFullScreen():
        return
    room, frame = screen.availableGeometry(), window.frameGeometry()
    extra = frame.size() - window.size()
    window.resize(window.size().boundedTo(room.size() - extra))
    frame = window.frameGeometry()
    frame.moveRight(min(frame.right(), room.right()))
    frame.moveBottom(min(frame.bottom(), room.bottom()))
    window.move(max(frame.left(), room.left()), max(frame.top(), room.top()))


def row(*parts: QWidget | int) -> QHBoxLayout:
    """Widgets beside one another; a number is empty space that stretches."""
    layout = QHBoxLayout()
    layout.setSpacing(8)
    for part in parts:
        if isinstance(part, int):
            layout.addStretch(part)
        else:
            layout.addWidget(part)
    return layout


class Scrolled(QScrollArea):
    """A column of widgets that scrolls when there is too little room, never sideways."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        inner.setProperty("scrolled", True)
        self.column = QVBoxLayout(inner)
        self.column.setContentsMargins(4, 8, 10, 12)
        self.column.setSpacing(8)
        self.setWidget(inner)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """The column is as wide as what can be seen, unless that is too narrow for it."""
        super().resizeEvent(event)
        inner = self.widget()
        if inner:
            self.setMinimumWidth(min(inner.minimumSizeHint().width() + 12, 520))


class Section(QWidget):
    """A column of widgets under a heading, for a :class:`Scrolled`."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(8)
        self.column.addWidget(label(title, "heading"))


class ScrolledDialog(QDialog):
    """A dialog with a title and a column that scrolls."""

    def __init__(self, title: str, name: str, parent: QWidget | None = None) -> None:
        """``title`` for everybody, ``name`` for screen readers."""
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setAccessibleName(name)
        self.outer = QVBoxLayout(self)
        self.outer.setContentsMargins(18, 16, 18, 16)
        self.outer.addWidget(label(title, "title"))
        scrolled = Scrolled()
        self.outer.addWidget(scrolled, 1)
        self.column = scrolled.column


class Bell(QObject):
    """Lets another thread signal that something has happened."""

    rung = pyqtSignal()

    def ring(self) -> None:
        """Signal it; nothing happens once the application has ended."""
        with suppress(RuntimeError):
            self.rung.emit()


class _Answer(QObject):
    done = pyqtSignal(object)
    failed = pyqtSignal(object)


def aside(
    owner: QObject,
    work: Callable[[], Any],
    done: Callable[[Any], None],
    failed: Callable[[Exception], None],
) -> None:
    """Do ``work`` in another thread; its result, or its error, is delivered in this one.

    Nothing is delivered any more once ``owner`` is gone.

    Parameters
    ----------
    owner
        Its life bounds the answer.
    work
        Called in another thread.
    done
        Called with the result, in this thread.
    failed
        Called with the error, in this thread.
    """
    answer = _Answer()
    _asked.add(answer)

    def end(call: Callable[[Any], None], value: Any) -> None:
        _asked.discard(answer)
        if not sip.isdeleted(owner):
            call(value)

    def run() -> None:
        try:
            found = work()
        except Exception as error:  # delivered to whoever asked
            answer.failed.emit(error)
        else:
            answer.done.emit(found)

    answer.done.connect(lambda value: end(done, value))
    answer.failed.connect(lambda error: end(failed, error))
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    _threads.append(threading.Thread(target=run, name="aside"))
    _threads[-1].start()


@contextmanager
def garbage_collected_here() -> Iterator[None]:
    """Free Python's garbage in this thread alone while the block lasts, from a timer.

    Widgets among it must not be freed by whichever thread happens to start a collection.
    What is there already is left alone meanwhile, so that collections are short.
    """
    gc.collect()
    gc.freeze()
    collector = GarbageCollector()
    try:
        yield
    finally:
        collector.timer.stop()
        gc.unfreeze()
        gc.enable()


def wait_for_asides() -> None:
    """Wait until all that was begun aside has ended; before the application is taken apart."""
    for thread in _threads:
        thread.join()


_asked: set[_Answer] = set()
_threads: list[threading.Thread] = []
