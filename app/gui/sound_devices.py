"""Settings of sound: devices, and the microphone for other programs."""

from __future__ import annotations

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtWidgets import QCheckBox, QComboBox, QLabel

from resonance.app import devices, pulse
from resonance.app.devices import Device
from resonance.app.gui.controls import ComboBox
from resonance.app.gui.widgets import Bell, Section, aside, button, label, row
from resonance.app.gui.window_session import WindowSession

DEFAULT = "System's default"


class DeviceSettings(Section):
    """Microphone, output, and what other programs get."""

    def __init__(self, session: WindowSession) -> None:
        super().__init__("Devices")
        self.session = session
        self._list: list[Device] = []
        self._looking = self._closed = False
        self._look_next: bool | None = None  #: asked to look again meanwhile, and whether anew
        self._watch: pulse.Watch | None = None
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
        self._show_names([])

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
        self._closed = True
        if self._watch:
            self._watch.close()

    def look_for_devices_again(self) -> None:
        """Also for those that PortAudio did not know at its start."""
        self.look_for_devices(anew=True)

    def look_for_devices(self, anew: bool = False) -> None:
        """Ask which devices there are, without waiting for the answer.

        Asked while it still looks, it looks once more afterwards.
        """
        if self._closed:
            return
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

    def show_settings(self) -> None:
        """Show what is chosen."""
        kept = self.session.kept
        possible = any(d.server_name for d in self._list) or not self._list
        for box, on in (
            (self.virtual_mic, kept.virtual_mic),
            (self.hear_myself, kept.hear_myself),
            (self.keep_running, kept.keep_running),
            (self.listen_at_start, kept.listening),
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
