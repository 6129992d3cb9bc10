"""The icon in the system's tray: state, bypass, preset and quit while the window is closed."""

from __future__ import annotations

from PyQt6.QtCore import QObject, pyqtSignal
from PyQt6.QtGui import QAction, QActionGroup
from PyQt6.QtWidgets import QMenu, QSystemTrayIcon

from resonance.app.gui.bars import STATES
from resonance.app.gui.desktop import icon
from resonance.app.gui.window_session import WindowSession
from resonance.app.live.messages import State
from resonance.app.presets import speech_presets


class Tray(QObject):
    """Shown as long as the program runs, where the system has a tray."""

    window_wanted = pyqtSignal()
    quit_wanted = pyqtSignal()

    def __init__(self, session: WindowSession) -> None:
        super().__init__()
        self.session = session
        self.menu = QMenu()
        self.state = self.menu.addAction("")
        assert self.state
        self.state.setEnabled(False)
        self.menu.addSeparator()
        self.show_window = self._action("Show window", self.window_wanted.emit)
        self.power = self._action("Stop listening", session.toggle)
        self.bypass = self._action("Original sound", self._toggle_bypass)
        self.bypass.setCheckable(True)
        self._add_presets()
        self.menu.addSeparator()
        self.quit = self._action("Quit", self.quit_wanted.emit)
        self.icon = QSystemTrayIcon(icon(), self)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._on_activated)
        session.state_changed.connect(lambda *_: self.show_state())
        session.changed.connect(self.show_state)
        self.show_state()
        self.icon.show()

    def _action(self, text: str, act: object) -> QAction:
        made = QAction(text, self.menu)
        made.triggered.connect(lambda _=False: act())  # type: ignore[operator]
        self.menu.addAction(made)
        return made

    def _add_presets(self) -> None:
        self.menu.addSeparator()
        group = QActionGroup(self.menu)
        self.presets: dict[str, QAction] = {}
        for preset in speech_presets():
            text = f"{preset.title}: {preset.summary}"
            made = self._action(text, lambda name=preset.name: self.session.keep(preset=name))
            made.setCheckable(True)
            group.addAction(made)
            self.presets[preset.name] = made

    def _toggle_bypass(self) -> None:
        self.session.set_bypass(not self.session.bypass)

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger:
            self.window_wanted.emit()

    def show_state(self) -> None:
        """Say how things are."""
        session = self.session
        assert self.state
        sign, word = STATES[session.state]
        self.state.setText(f"{sign} {word}")
        self.icon.setToolTip(f"Resonance: {word.lower()}")
        self.power.setText("Stop listening" if session.listening else "Start listening")
        self.bypass.setChecked(session.bypass)
        self.bypass.setEnabled(session.state == State.LISTENING)
        if session.kept.preset in self.presets:
            self.presets[session.kept.preset].setChecked(True)

    def say(self, text: str) -> None:
        """A short message beside the icon."""
        self.icon.showMessage("Resonance", text, icon())
