"""Settings of sound: keywords, how easily they are detected, and words of one's own."""

from __future__ import annotations

import math
from functools import partial

from PyQt6.QtCore import QSignalBlocker, pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from resonance.app.errors import UserError
from resonance.app.gui.controls import Slider
from resonance.app.gui.widgets import Section, button, label, row
from resonance.app.gui.window_session import WindowSession

#: Ends of the sliders for false alarms per hour, and their steps.
RATES = (0.1, 10.0)
RATE_STEPS = 40


class KeywordSettings(Section):
    """Sensitivity for all words and for each, and words of one's own."""

    teach_wanted = pyqtSignal()

    def __init__(self, session: WindowSession) -> None:
        super().__init__("Keywords")
        self.session = session
        self.spot = QCheckBox("Listen for keywords")
        self.spot.clicked.connect(lambda on: self.session.keep(spot=on))
        self.column.addWidget(self.spot)
        self._rate_text = label("")
        self.rate = Slider("False alarms per hour", 0, RATE_STEPS)
        self.rate.valueChanged.connect(self._choose_rate)
        self.column.addWidget(self._rate_text)
        self.column.addWidget(self.rate)
        self.each = button("Word by word…", self._toggle_each, "Another sensitivity for one word")
        self.each.setCheckable(True)
        self.teach = button("Teach a word…", self.teach_wanted.emit, "Key E")
        self.column.addLayout(row(self.teach, self.each, 1))
        self._rates: dict[str, tuple[Slider, QLabel]] = {}  #: word by word, while shown
        self._each = QWidget()
        self._each_grid = QGridLayout(self._each)
        self._each_grid.setContentsMargins(0, 0, 0, 0)
        self._each.hide()
        self.column.addWidget(self._each)
        self._custom = QWidget()
        self._custom_column = QVBoxLayout(self._custom)
        self._custom_column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(self._custom)
        session.words_changed.connect(self._show_words)

    def _choose_rate(self, step: int) -> None:
        self.session.keep(false_accepts=rate_of(step))

    def _toggle_each(self) -> None:
        self._fill_each()
        self._each.setVisible(self.each.isChecked())

    def _fill_each(self) -> None:
        """A row for each word, as long as anybody wants to see them."""
        _empty(self._each_grid)
        self._rates = {}
        for number, word in enumerate(self.session.words() if self.each.isChecked() else ()):
            slider, said = Slider(f"False alarms per hour of {word}", 0, RATE_STEPS), QLabel()
            slider.valueChanged.connect(partial(self._choose_rate_of, word))
            self._rates[word] = slider, said
            for column, widget in enumerate((QLabel(word), slider, said)):
                self._each_grid.addWidget(widget, number, column)
        self._show_rates()

    def _show_rates(self) -> None:
        kept = self.session.kept
        for word, (slider, said) in self._rates.items():
            rate = kept.false_accepts_of.get(word, kept.false_accepts)
            with QSignalBlocker(slider):
                slider.setValue(step_of(rate))
            said.setText(_rate_words(rate))

    def _choose_rate_of(self, word: str, step: int) -> None:
        rates = {**self.session.kept.false_accepts_of, word: rate_of(step)}
        self.session.keep(false_accepts_of=rates)

    def _show_words(self) -> None:
        _empty(self._custom_column)
        for learnt in self.session.custom:
            name = label(f"“{learnt.word}”, your own word")
            forget = button(
                "Forget",
                partial(self._ask_to_forget, learnt.word),
                f"Delete “{learnt.word}” and its recordings",
            )
            self._custom_column.addLayout(row(name, forget))
        self._fill_each()

    def _ask_to_forget(self, word: str) -> None:
        text = f"Delete “{word}” and its recordings? This cannot be undone."
        if QMessageBox.question(self, "Forget a word", text) == QMessageBox.StandardButton.Yes:
            self.forget(word)

    def forget(self, word: str) -> None:
        """Delete a custom word."""
        from resonance.app import enrolment

        try:
            enrolment.forget(word)
        except UserError as error:
            self.session.warned.emit(str(error), "words")
        rates = {w: r for w, r in self.session.kept.false_accepts_of.items() if w != word}
        self.session.keep(false_accepts_of=rates)
        self.session.set_custom([w for w in self.session.custom if w.word != word])

    def show_settings(self) -> None:
        """Show what is chosen."""
        kept = self.session.kept
        with QSignalBlocker(self.spot):
            self.spot.setChecked(kept.spot)
        with QSignalBlocker(self.rate):
            self.rate.setValue(step_of(kept.false_accepts))
        self._rate_text.setText(f"False alarms: {_rate_words(kept.false_accepts)}")
        self._show_rates()
        for widget in (self.rate, self.each):
            widget.setEnabled(kept.spot)


def rate_of(step: int) -> float:
    """False alarms per hour at a step of the slider."""
    low, high = (math.log(rate) for rate in RATES)
    return round(math.exp(low + (high - low) * step / RATE_STEPS), 2)


def step_of(rate: float) -> int:
    """The slider's step that is nearest."""
    low, high = (math.log(r) for r in RATES)
    return round(RATE_STEPS * (math.log(max(rate, RATES[0])) - low) / (high - low))


def _rate_words(rate: float) -> str:
    if rate < 0.95:
        return f"one in {1 / rate:.2g} hours"
    return "one an hour" if rate < 1.05 else f"{rate:.1f} an hour"


def _empty(layout: QVBoxLayout | QGridLayout) -> None:
    while layout.count():
        item = layout.takeAt(0)
        assert item is not None  # an empty layout is false
        inner, widget = item.layout(), item.widget()
        while inner is not None and inner.count():
            part = inner.takeAt(0)
            child = part.widget() if part is not None else None
            if child is not None:
                child.deleteLater()
        if widget:
            widget.deleteLater()
