"""The first look: three things to do, and how it works."""

from __future__ import annotations

from functools import partial

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from resonance.app.gui.widgets import ScrolledDialog, button, label, row

#: Value, heading, text and button of each card.
CARDS = (
    (
        "calls",
        "Calls",
        "Zoom, Discord, OBS and others get a clean microphone with no delay anybody could notice.",
        "Clean my microphone",
    ),
    (
        "files",
        "Recordings",
        "Drop sound files anywhere in this window. Look and listen, then save them clean.",
        "Open files…",
    ),
    ("demo", "Play the demo", "A noisy recording, to see and hear what happens.", "Play the demo"),
)
HOW = (
    (
        "One equation",
        "A swing, a string, the hair cells of the ear: all are pushed, swing, and come to rest. "
        "<b>x″ + 2γ x′ + ω0² x = F(t)</b> says how. F is the sound, ω0 the oscillator's own "
        "frequency, γ how soon it comes to rest.",
    ),
    (
        "Listen",
        "A bank of 160 such oscillators is driven by your microphone. Each rings most at its own "
        "frequency, so together they show which tones are in the sound, and in which phase.",
    ),
    (
        "Clean",
        "A small network looks at how they ring and decides, every few milliseconds, how much of "
        "each belongs to the voice. The output is the weighted sum of the oscillators themselves.",
    ),
    (
        "No delay",
        "The weights come from sound already heard, and act on the present. Nothing waits for the "
        "future, so the cleaning adds no delay.",
    ),
    (
        "Words",
        "The same oscillators feed the keyword spotter. Its attention is made of oscillators, too, "
        "that fall into step with what they hear.",
    ),
    (
        "See it",
        "Click any oscillator to follow it in every view. Under Play, take one by itself: change "
        "its frequency and damping, pluck it, drive it, and hear it.",
    ),
)


class Welcome(QWidget):
    """Cards to choose from; :attr:`chosen` carries the value of the card."""

    chosen = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.addStretch(2)
        title = label("What would you like to do?", "title")
        title.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(title)
        column.addSpacing(12)
        cards = QHBoxLayout()
        cards.setSpacing(14)
        self.buttons = {}
        for value, heading, text, press in CARDS:
            made = button(press, partial(self.chosen.emit, value), "", "primary")
            self.buttons[value] = made
            cards.addWidget(_card(heading, text, made))
        column.addLayout(cards)
        column.addSpacing(16)
        self.how = button("How it works", lambda: self.chosen.emit("how"))
        self.teach = button("Teach a word…", lambda: self.chosen.emit("teach"))
        column.addLayout(row(1, self.how, self.teach, 1))
        column.addStretch(3)


def _card(heading: str, text: str, press: QWidget) -> QFrame:
    frame = QFrame()
    frame.setProperty("card", True)
    frame.setAccessibleName(heading)
    inside = QVBoxLayout(frame)
    inside.setContentsMargins(18, 18, 18, 18)
    inside.setSpacing(12)
    inside.addWidget(label(heading, "heading"))
    inside.addWidget(label(text, "muted"))
    inside.addStretch(1)
    inside.addWidget(press)
    return frame


class HowItWorks(ScrolledDialog):
    """The idea in a minute."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("How it works", "How it works", parent)
        for heading, text in HOW:
            self.column.addWidget(label(heading, "heading"))
            self.column.addWidget(label(text))
        self.column.addStretch(1)
        self.outer.addLayout(row(1, button("Close", self.close, "Escape", "primary")))
        self.resize(560, 560)
