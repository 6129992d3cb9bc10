"""The resonogram with its controls, and the levels below it."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from resonance.app.gui.theme import Theme
from resonance.app.gui.views.frequency_scale import EAR, LINEAR, SHARP
from resonance.app.gui.views.levels import Levels
from resonance.app.gui.views.resonogram import CLEANED, DIFFERENCE, PHASE, Resonogram
from resonance.app.gui.widgets import Choice, button, card, row
from resonance.app.gui.window_session import WindowSession

#: Frequency scales: value, text and hint of each.
SCALES = (
    (SHARP, "Sharp", "Narrow oscillators, and broad ones above 4 kHz. Key L"),
    (EAR, "Ear", "Broad oscillators, spaced as the ear hears. Key L"),
    (LINEAR, "Linear", "Narrow oscillators, evenly spaced: harmonics. Key L"),
)
#: Lower pictures: value, text and hint of each.
LOWER = (
    (CLEANED, "Output", "The cleaned sound. Key D"),
    (DIFFERENCE, "Removed", "How much quieter it was made. Key D"),
    (PHASE, "Phase", "Phases of the original, in the wheel's colours. Key D"),
)


class MainPage(QWidget):
    """What is always in sight."""

    all_views_wanted = pyqtSignal()  #: or one beside the resonogram again

    def __init__(self, session: WindowSession, theme: Theme) -> None:
        super().__init__()
        self.session = session
        self.resonogram, self.levels = Resonogram(theme), Levels(theme)
        self.freeze = button("Freeze", self._toggle_freeze, "Key F; the sound goes on")
        self.freeze.setCheckable(True)
        self.scale = Choice("Frequency scale", SCALES)
        self.scale.set_value(session.kept.frequency_scale)
        self.scale.chosen.connect(self.choose_scale)
        self.below = Choice("Lower picture", LOWER)
        self.below.set_value(CLEANED)
        self.below.chosen.connect(self.resonogram.set_lower)
        self.all_views = button("All views", self.all_views_wanted.emit, "Key A")
        self.all_views.setCheckable(True)
        self.resonogram.set_scale(self.scale.value)
        self.resonogram.set_range(session.kept.low_db, session.kept.high_db)
        self.resonogram.range_changed.connect(
            lambda low, high: session.keep(low_db=low, high_db=high)
        )
        self._levels_card = card(self.levels)
        self._levels_card.setFixedHeight(max(150, 9 * self.fontMetrics().height()))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(row(self.freeze, self.scale, self.below, 1, self.all_views))
        column.addWidget(self.resonogram, 1)
        column.addWidget(self._levels_card)

    def show_levels(self, shown: bool) -> None:
        """The resonogram needs the room more than the levels do."""
        self._levels_card.setVisible(shown)

    def clear(self) -> None:
        """Begin the pictures anew."""
        self.resonogram.clear()
        self._show_frozen()

    def choose_scale(self, name: str) -> None:
        """Another frequency scale, remembered."""
        self.scale.set_value(name)
        self.resonogram.set_scale(name)
        self.session.keep(frequency_scale=name)

    def next_scale(self) -> None:
        """The frequency scale after this one."""
        order = [value for value, _, _ in SCALES]
        self.choose_scale(order[(order.index(self.resonogram.scale_name) + 1) % len(order)])

    def next_lower(self) -> None:
        """The lower picture after this one."""
        order = [value for value, _, _ in LOWER]
        after = order[(order.index(self.resonogram.below) + 1) % len(order)]
        self.below.set_value(after)
        self.resonogram.set_lower(after)

    def _toggle_freeze(self) -> None:
        self.resonogram.set_frozen(self.freeze.isChecked())
        self._show_frozen()

    def _show_frozen(self) -> None:
        frozen = self.resonogram.frozen
        self.freeze.setChecked(frozen)
        self.freeze.setText("Go on" if frozen else "Freeze")
