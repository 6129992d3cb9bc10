"""The panel for sound: devices, cleaning, keywords, what they set off, recordings."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from resonance.app import devices, pulse
from resonance.app.actions import ACTIONS
from resonance.app.devices import Device
from resonance.app.errors import UserError
from resonance.app.gui.controls import ComboBox, Slider
from resonance.app.gui.kept import NATURAL_DB
from resonance.app.gui.programs import Programs
from resonance.app.gui.widgets import Bell, Choice, Scrolled, aside, button, label, row
from resonance.app.gui.window_session import WindowSession
from resonance.app.presets import speech_presets

#: Right end of the slider for the limit, dB; beyond it there is none.
MOST_DB = 40
#: Ends of the sliders for false alarms per hour, and their steps.
RATES = (0.1, 10.0)
RATE_STEPS = 40
DEFAULT = "System's default"
#: How much may be removed: what it is called, dB (None: no limit), and what that means.
STRENGTHS: dict[str, tuple[str, float | None, str]] = {
    "natural": ("Natural", NATURAL_DB, f"A little of the room stays: at most {NATURAL_DB:.0f} dB"),
    "strong": ("Strong", 30.0, "Hardly any of the room stays: at most 30 dB"),
    "all": ("Everything", None, "Silence between words: no limit"),
}


class SoundPanel(Scrolled):
    """Everything that can be chosen, most needed first."""

    teach_wanted = pyqtSignal()
    theme_chosen = pyqtSignal(str)

    def __init__(self, session: WindowSession) -> None:
        super().__init__()
        self.session = session
        self.setAccessibleName("Sound settings")
        self._list: list[Device] = []
        self._looking = False
        self._look_next: bool | None = None  #: asked to look again meanwhile, and whether anew
        self._add_devices()
        self._add_cleaning()
        self._add_keywords()
        self._add_actions()
        self._add_recording()
        self._add_theme()
        self.column.addStretch(1)
        session.changed.connect(self.show_settings)
        session.state_changed.connect(lambda *_: self.show_settings())
        session.words_changed.connect(self._show_words)
        self._watch: pulse.Watch | None = None
        self._show_names([])

    # Devices.

    def _add_devices(self) -> None:
        self.column.addWidget(label("Devices", "heading"))
        self.input, self.output = ComboBox("Microphone"), ComboBox("Output")
        for box in (self.input, self.output):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(12)
            self.column.addWidget(QLabel(box.accessibleName()))
            self.column.addWidget(box)
        self.input.activated.connect(lambda _: self._choose_device("input_name", self.input))
        self.output.activated.connect(lambda _: self._choose_device("output_name", self.output))
        self.virtual_mic = QCheckBox("Be a microphone for calls and other programs")
        self.virtual_mic.setToolTip(
            "Zoom, Discord, OBS and others can then choose it as their microphone. Key M"
        )
        self.hear_myself = QCheckBox("Hear myself")
        self.hear_myself.setToolTip("Play it into the output, too. Use headphones.")
        self.hear_myself.clicked.connect(lambda on: self.session.keep(hear_myself=on))
        self.keep_running = QCheckBox("Keep running when the window is closed")
        self.keep_running.setToolTip("Start Resonance again, or use its tray icon, to get back.")
        self.keep_running.clicked.connect(lambda on: self.session.keep(keep_running=on))
        self.listen_at_start = QCheckBox("Start listening when the window opens")
        self.listen_at_start.clicked.connect(lambda on: self.session.keep(listening=on))
        self.virtual_mic.clicked.connect(lambda on: self.session.keep(virtual_mic=on))
        self.refresh = button("Look for devices", self.look_for_devices_again, "Key F5")
        self.column.addWidget(self.virtual_mic)
        self._virtual_text = label("", "muted")
        self._virtual_text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for widget in (
            self._virtual_text,
            self.hear_myself,
            self.keep_running,
            self.listen_at_start,
        ):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.refresh, 1))

    def watch(self) -> None:
        """Look now, and whenever the sound server reports changes."""
        self.look_for_devices()
        if self._watch is None:
            # The thread may report once more after the panel is gone: this lives as long as it.
            bell = Bell()
            bell.rung.connect(self._on_bell)
            self._watch = pulse.Watch(bell.ring)

    def _on_bell(self) -> None:
        """PortAudio learns of a server that came after its own start only by looking anew."""
        known = any(device.name == pulse.PORTAUDIO_NAME for device in self._list)
        self.look_for_devices(anew=not known)

    def close_watch(self) -> None:
        """Look no longer."""
        if self._watch:
            self._watch.close()

    def look_for_devices_again(self) -> None:
        """Also for those that PortAudio did not know at its start."""
        self.look_for_devices(anew=True)

    def look_for_devices(self, anew: bool = False) -> None:
        """Ask which devices there are, without waiting for the answer.

        Asked while it still looks, it looks once more afterwards.
        """
        if self._looking:
            self._look_next = bool(self._look_next) or anew
            return
        self._looking = True
        self.refresh.setEnabled(False)

        def look() -> list[Device]:
            if anew:
                devices.refresh()
            return devices.list_devices()

        aside(self, look, self._show_devices, self._no_devices)

    def _no_devices(self, error: Exception) -> None:
        self._show_devices([])
        self.session.warned.emit(str(error), "devices")

    def _show_devices(self, found: list[Device]) -> None:
        self._looking = False
        self.refresh.setEnabled(True)
        if found != self._list:  # the server also reports changes of volume
            self._list = found
            self._show_names(found)
        if self._look_next is not None:
            anew, self._look_next = self._look_next, None
            self.look_for_devices(anew)

    def _show_names(self, found: list[Device]) -> None:
        for box, kind, chosen in (
            (self.input, "input", self.session.kept.input_name),
            (self.output, "output", self.session.kept.output_name),
        ):
            names = _names(found, kind)
            with QSignalBlocker(box):
                box.clear()
                box.addItem(DEFAULT, "")
                for name in names:
                    box.addItem(name, name)
                if chosen and chosen not in names:
                    box.addItem(f"{chosen} (not there)", chosen)
                box.setCurrentIndex(max(0, box.findData(chosen or "")))
        self.show_settings()

    def _choose_device(self, name: str, box: QComboBox) -> None:
        self.session.keep(**{name: box.currentData() or None})

    # Cleaning.

    def _add_cleaning(self) -> None:
        self.column.addWidget(label("Cleaning", "heading"))
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

    # Keywords.

    def _add_keywords(self) -> None:
        self.column.addWidget(label("Keywords", "heading"))
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
        self.programs.offer(self.session.words())

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

    # Actions.

    def _add_actions(self) -> None:
        self.column.addWidget(label("When a word is heard", "heading"))
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

    # Recordings and theme.

    def _add_recording(self) -> None:
        self.column.addWidget(label("Recordings", "heading"))
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

    # All.

    def show_settings(self) -> None:
        """Say what is chosen; also after a key or a message has changed it."""
        kept = self.session.kept
        possible = any(d.server_name for d in self._list) or not self._list
        for box, on in (
            (self.virtual_mic, kept.virtual_mic),
            (self.hear_myself, kept.hear_myself),
            (self.keep_running, kept.keep_running),
            (self.listen_at_start, kept.listening),
            (self.spot, kept.spot),
        ):
            with QSignalBlocker(box):
                box.setChecked(on)
        for box in (self.hear_myself, self.keep_running):
            box.setEnabled(kept.virtual_mic)
        self.virtual_mic.setEnabled(possible or kept.virtual_mic)
        self.output.setEnabled(kept.plays_aloud)
        self._virtual_text.setText(
            _virtual_words(kept.virtual_mic, possible, self.session.microphone)
        )
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
        with QSignalBlocker(self.limit), QSignalBlocker(self.rate):
            self.limit.setValue(MOST_DB + 1 if limit_db is None else round(limit_db))
            self.rate.setValue(step_of(kept.false_accepts))
        self._rate_text.setText(f"False alarms: {_rate_words(kept.false_accepts)}")
        self._show_rates()
        for widget in (self.rate, self.each):
            widget.setEnabled(kept.spot)
        self.record.set_value(kept.record)
        self.theme.set_value(kept.theme)
        self._folder.setText(f"Saved in {self.session.folder}")


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


def _virtual_words(on: bool, possible: bool, name: str) -> str:
    """What to choose in other programs; ``name`` is the microphone's, if it is there now."""
    if on and name:
        return f"In Zoom, Discord, OBS … choose the microphone <b>{name}</b>."
    if on:
        return "Start listening; then other programs can choose Resonance as their microphone."
    if possible:
        return "Off: you hear the cleaned sound yourself. Use headphones."
    return "Needs PulseAudio or PipeWire; elsewhere choose a loopback device such as BlackHole."


def _names(found: list[Device], kind: str) -> list[str]:
    """Names to choose from: the sound server's own if it has any, else all of PortAudio's."""
    usable = [d for d in found if (d.inputs if kind == "input" else d.outputs)]
    served = [d for d in usable if d.server_name]
    return list(dict.fromkeys(d.name for d in served or usable))


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
