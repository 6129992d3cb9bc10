"""What the window says: a banner for what goes wrong, a line at the bottom for the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QObject, QTimer
from PyQt6.QtWidgets import QWidget

from resonance.app.live.messages import State
from resonance.app.spotter import KeywordEvent

if TYPE_CHECKING:
    from resonance.app.gui.window import Window

#: A microphone that is quieter than this, dBFS, for this long, s, may be muted.
MUTED_DB, MUTED_S = -90.0, 4.0


class WindowMessages(QObject):
    """Says what the session reports, with one thing to do about each trouble.

    Parameters
    ----------
    window
        Of which all parts are there.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.window, self.session = window, window.session
        self.banner, self.status, self.sound = window.banner, window.status, window.sound
        self._silent_s = 0.0  # for how long the input has been silent
        self.session.state_changed.connect(self._on_state)
        self.session.keyword_detected.connect(self._on_keyword)
        self.session.warned.connect(self.warn)
        self.session.noted.connect(self.status.say)

    def _on_state(self, state: State, sentence: str) -> None:
        if state == State.NO_DEVICE:
            self.banner.say(sentence, "device", ("Choose a device", self._choose_device))
        elif state == State.STOPPED and sentence not in ("not listening", "stopped"):
            self.banner.say(sentence, "engine", ("Start again", self.session.start))
        elif state == State.LISTENING:
            self.banner.settle("device", "engine")
            if self.session.has_its_devices:
                self.banner.settle("away")
        text = {State.LISTENING: "listening", State.STOPPED: "off"}.get(state, sentence)
        self.status.say(f"{text[:1].upper()}{text[1:]}.")

    def _on_keyword(self, event: KeywordEvent) -> None:
        self.status.say(f"Heard “{event.keyword}” (score {event.score:.2f})")

    def warn(self, text: str, about: str) -> None:
        """Show a sentence in the banner, and what can be done about it."""
        remedies: dict[str, tuple[str, Callable[[], Any]]] = {
            "overloads": ("Use longer blocks", lambda: self.session.keep(block_ms=20.0)),
            "howls": ("Be a microphone instead", lambda: self.session.keep(virtual_mic=True)),
            "device": ("Choose a device", self._choose_device),
            "silence": ("Choose another", self._choose_device),
            "devices": ("Look again", self.sound.devices.look_for_devices_again),
            "recording": (
                "Choose a folder",
                partial(self._show, self.sound.recordings.choose_folder),
            ),
            "actions": ("Show actions", partial(self._show, self.sound.word_actions.apply)),
            "words": ("Teach it again", self.window.commands.teach),
            "file": ("Open another", self.window.commands.ask_for_files),
        }
        text = text.replace(
            "longer blocks (--block-ms 20) or fewer programs help",
            "longer blocks or fewer programs help",
        )
        text = text.replace("use headphones, or --virtual-mic", "use headphones")
        self.banner.say(text, about, remedies.get(about))

    def look_for_silence(self, passed_s: float, input_db: float) -> None:
        """Warn of a muted microphone: even in a quiet room none is quite silent.

        Parameters
        ----------
        passed_s
            Since the last call.
        input_db
            Level of the input, dBFS.
        """
        if self.session.player or self.session.state != State.LISTENING or input_db > MUTED_DB:
            self._silent_s = 0.0
            self.banner.settle("silence")
            return
        self._silent_s += passed_s
        if MUTED_S <= self._silent_s < MUTED_S + passed_s:
            self.warn("The microphone is silent. Is it muted?", "silence")

    def _choose_device(self) -> None:
        self.window.side.show_panel(self.sound)
        self.sound.devices.look_for_devices_again()
        self.sound.devices.input.setFocus()

    def _show(self, setting: QWidget) -> None:
        """Scroll the sound settings to one of them."""
        self.window.side.show_panel(self.sound)
        setting.setFocus()
        # Once the tab has its place.
        QTimer.singleShot(0, partial(self.sound.ensureWidgetVisible, setting))
