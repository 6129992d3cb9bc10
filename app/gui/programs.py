"""Programs that words start: a row for each."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from resonance.app.gui.controls import ComboBox
from resonance.app.gui.kept import split_program
from resonance.app.gui.widgets import button, row

ANY_WORD = "any word"


class Programs(QWidget):
    """A column of rows; as text they are what the command line takes, ``[WORD=]COMMAND``."""

    def __init__(self) -> None:
        super().__init__()
        self._words: Sequence[str] = ()
        self._rows: list[_Row] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)

    def offer(self, words: Sequence[str]) -> None:
        """Words to choose from, from now on; what is chosen stays."""
        self._words = words
        for made in self._rows:
            made.offer(words)

    def add(self, text: str = "") -> None:
        """One more row."""
        made = _Row(*split_program(text, self._words))
        made.offer(self._words)
        made.remove.clicked.connect(lambda: self._remove(made))
        self._rows.append(made)
        self._column.addWidget(made)

    def _remove(self, made: _Row) -> None:
        self._rows.remove(made)
        made.deleteLater()

    def texts(self) -> list[str]:
        """Of all rows that name a program."""
        return [text for made in self._rows if (text := made.text)]


class _Row(QWidget):
    def __init__(self, word: str, command: str) -> None:
        super().__init__()
        self._which = ComboBox("Word that starts the program")
        self._program = QLineEdit(command)
        self._which.addItem(word, word)
        self._program.setPlaceholderText("notify-send keyword")
        self._program.setAccessibleName("Program to start")
        self.remove = button("✕", lambda: None, "Remove this program")
        self.remove.setAccessibleName("Remove this program")
        inner = row(self._which, self._program, self.remove)
        inner.setContentsMargins(0, 0, 0, 0)
        self.setLayout(inner)

    def offer(self, words: Sequence[str]) -> None:
        chosen = self._which.currentData()
        self._which.clear()
        self._which.addItem(ANY_WORD, "")
        for word in words:
            self._which.addItem(word, word)
        if chosen and chosen not in words:
            self._which.addItem(f"{chosen} (not there)", chosen)
        self._which.setCurrentIndex(self._which.findData(chosen))

    @property
    def text(self) -> str:
        word, command = self._which.currentData(), self._program.text().strip()
        return f"{word}={command}" if word and command else command
