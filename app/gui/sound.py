"""The panel for sound: devices, cleaning, keywords, what they set off, recordings."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal

from resonance.app.gui.sound_actions import ActionSettings
from resonance.app.gui.sound_cleaning import CleaningSettings
from resonance.app.gui.sound_devices import DeviceSettings
from resonance.app.gui.sound_keywords import KeywordSettings
from resonance.app.gui.sound_recordings import RecordingSettings
from resonance.app.gui.widgets import Choice, Scrolled, label, row
from resonance.app.gui.window_session import WindowSession


class SoundPanel(Scrolled):
    """Everything that can be chosen, most needed first."""

    theme_chosen = pyqtSignal(str)

    def __init__(self, session: WindowSession) -> None:
        super().__init__()
        self.session = session
        self.setAccessibleName("Sound settings")
        self.devices, self.cleaning = DeviceSettings(session), CleaningSettings(session)
        self.keywords, self.word_actions = KeywordSettings(session), ActionSettings(session)
        self.recordings = RecordingSettings(session)
        for section in (
            self.devices,
            self.cleaning,
            self.keywords,
            self.word_actions,
            self.recordings,
        ):
            self.column.addWidget(section)
        self._add_theme()
        self.column.addStretch(1)
        session.changed.connect(self.show_settings)
        session.state_changed.connect(lambda *_: self.show_settings())
        self.show_settings()

    def _add_theme(self) -> None:
        self.column.addWidget(label("Theme", "heading"))
        self.theme = Choice(
            "Theme",
            (
                ("system", "As the system", ""),
                ("dark", "Dark", ""),
                ("light", "Light", ""),
            ),
        )
        self.theme.chosen.connect(self.theme_chosen.emit)
        self.column.addLayout(row(self.theme, 1))

    def show_settings(self) -> None:
        """Show what is chosen; also after a key or a message has changed it."""
        for section in (self.devices, self.cleaning, self.keywords, self.recordings):
            section.show_settings()
        self.theme.set_value(self.session.kept.theme)
