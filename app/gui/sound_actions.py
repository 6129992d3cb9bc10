"""Settings of sound: what keywords set off."""

from __future__ import annotations

from PyQt6.QtWidgets import QLabel, QLineEdit

from resonance.app.actions import ACTIONS
from resonance.app.errors import UserError
from resonance.app.gui.programs import Programs
from resonance.app.gui.widgets import Section, button, label, row
from resonance.app.gui.window_session import WindowSession


class ActionSettings(Section):
    """Programs for words, and a field for each other kind of action."""

    def __init__(self, session: WindowSession) -> None:
        super().__init__("When a word is heard")
        self.session = session
        self.programs = Programs()
        self.column.addWidget(self.programs)
        self.add = button("Add a program…", self.programs.add, "Start a program for a word")
        self.column.addLayout(row(self.add, 1))
        self.fields: dict[str, QLineEdit] = {}
        for kind in (kind for kind in ACTIONS if not kind.multiple):
            field = QLineEdit(self.session.kept.actions.get(kind.name, ""))
            field.setPlaceholderText(kind.hint)
            field.setAccessibleName(kind.title)
            field.setClearButtonEnabled(True)
            self.fields[kind.name] = field
            self.column.addWidget(QLabel(kind.title))
            self.column.addWidget(field)
        self.apply = button("Use these actions", self.apply_actions)
        self._actions_text = label("", "muted", selectable=True)
        for widget in (self.add, self.apply):
            widget.setEnabled(False)  # until the words are known
        self.column.addLayout(row(self.apply, 1))
        self.column.addWidget(self._actions_text)
        session.words_changed.connect(lambda: self.programs.offer(session.words()))

    def begin_actions(self) -> None:
        """Show what was kept, and let words act: now that one's own are known."""
        self.programs.offer(self.session.words())
        for text in self.session.kept.run:
            self.programs.add(text)
        for widget in (self.add, self.apply):
            widget.setEnabled(True)
        if self.programs.texts() or any(field.text() for field in self.fields.values()):
            self._start_actions()

    def apply_actions(self) -> None:
        """From now on these."""
        values = {name: field.text().strip() for name, field in self.fields.items()}
        self.session.keep(
            run=self.programs.texts(), actions={name: text for name, text in values.items() if text}
        )
        self._start_actions()

    def _start_actions(self) -> None:
        try:
            where = self.session.start_actions()
        except UserError as error:
            self._actions_text.setText(str(error))
            return
        self._actions_text.setText(f"In use. WebSocket clients add {where}" if where else "In use.")
