"""Settings of sound: what is recorded, and where."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtWidgets import QFileDialog

from resonance.app.gui.widgets import Choice, Section, button, label, row
from resonance.app.gui.window_session import WindowSession


class RecordingSettings(Section):
    """Which sound, and the folder."""

    def __init__(self, session: WindowSession) -> None:
        super().__init__("Recordings")
        self.session = session
        self.record = Choice(
            "What is recorded",
            (
                ("clean", "Cleaned", "The output"),
                ("raw", "Original", "As it came"),
                ("both", "Both", "Original left, cleaned right"),
            ),
        )
        self.record.chosen.connect(lambda what: self.session.keep(record=what))
        self.column.addLayout(row(self.record, 1))
        self._folder = label("", "muted")
        self.column.addWidget(self._folder)
        self.choose_folder = button("Choose folder…", self._choose_folder)
        self.column.addLayout(row(self.choose_folder, 1))

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Folder for recordings", str(self.session.folder)
        )
        if folder:
            self.session.keep(folder=str(Path(folder)))

    def show_settings(self) -> None:
        """Show what is chosen."""
        self.record.set_value(self.session.kept.record)
        self._folder.setText(f"Saved in {self.session.folder}")
