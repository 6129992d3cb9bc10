"""Settings of sound: the preset, and how much is removed."""

from __future__ import annotations

from PyQt6.QtCore import QSignalBlocker

from resonance.app.gui.controls import Slider
from resonance.app.gui.kept import NATURAL_DB
from resonance.app.gui.widgets import Choice, Section, label, row
from resonance.app.gui.window_session import WindowSession
from resonance.app.presets import speech_presets

#: Right end of the slider for the limit, dB; beyond it there is none.
MOST_DB = 40
#: How much may be removed: what it is called, dB (None: no limit), and what that means.
STRENGTHS: dict[str, tuple[str, float | None, str]] = {
    "natural": ("Natural", NATURAL_DB, f"A little of the room stays: at most {NATURAL_DB:.0f} dB"),
    "strong": ("Strong", 30.0, "Hardly any of the room stays: at most 30 dB"),
    "all": ("Everything", None, "Silence between words: no limit"),
}


class CleaningSettings(Section):
    """A preset and a limit."""

    def __init__(self, session: WindowSession) -> None:
        super().__init__("Cleaning")
        self.session = session
        self.preset = Choice(
            "Preset",
            tuple((p.name, p.title, p.summary) for p in speech_presets()),
        )
        self.preset.chosen.connect(lambda name: self.session.keep(preset=name))
        self._preset_text = label("", "muted")
        self.column.addLayout(row(self.preset, 1))
        self.column.addWidget(self._preset_text)
        self.strength = Choice(
            "How much is removed",
            tuple((name, text, hint) for name, (text, _, hint) in STRENGTHS.items()),
        )
        self.strength.chosen.connect(lambda name: self.session.keep(limit_db=STRENGTHS[name][1]))
        self.column.addLayout(row(self.strength, 1))
        self._limit_text = label("")
        self.limit = Slider("Largest attenuation in dB", 0, MOST_DB + 1)
        self.limit.valueChanged.connect(self._choose_limit)
        self.column.addWidget(self._limit_text)
        self.column.addWidget(self.limit)

    def _choose_limit(self, db: int) -> None:
        self.session.keep(limit_db=None if db > MOST_DB else float(db))

    def show_settings(self) -> None:
        """Show what is chosen."""
        kept = self.session.kept
        self.preset.set_value(kept.preset)
        self._preset_text.setText(
            next((p.summary for p in speech_presets() if p.name == kept.preset), "")
        )
        self.strength.set_value(
            next((name for name, (_, db, _) in STRENGTHS.items() if db == kept.limit_db), "")
        )
        limit_db = kept.limit_db
        self._limit_text.setText(
            "Removes all it can" if limit_db is None else f"Removes at most {limit_db:.0f} dB"
        )
        with QSignalBlocker(self.limit):
            self.limit.setValue(MOST_DB + 1 if limit_db is None else round(limit_db))
