"""The bar on top, what goes wrong below it, and the line at the bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import QEvent, QObject, Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from resonance.app.gui.theme import Theme
from resonance.app.gui.widgets import Choice, button, label, row
from resonance.app.gui.window_session import WindowSession
from resonance.app.live.board import Board
from resonance.app.live.health import health
from resonance.app.live.messages import Connection, State

#: A sign and a word for every state, so that nobody depends on colours.
STATES = {
    State.LOADING: ("◐", "Loading"),
    State.LISTENING: ("●", "Listening"),
    State.RECONNECTING: ("↻", "Reconnecting"),
    State.NO_DEVICE: ("▲", "No device"),
    State.STOPPED: ("○", "Off"),
}


#: The same for a file that is played, by what :attr:`~app.live.player.FilePlayer.phase` says.
PLAYING = {"playing": ("▶", "Playing"), "paused": ("⏸", "Paused:"), "ended": ("■", "Ended:")}
#: Widest banner, and its distance from the edges, pixels.
BANNER_WIDTH, BANNER_MARGIN = 860, 12


class TopBar(QWidget):
    """State, devices, cleaned or original, recording, on and off."""

    menu_wanted = pyqtSignal()

    def __init__(self, session: WindowSession, theme: Theme) -> None:
        super().__init__()
        self.session, self.theme = session, theme
        self.sign, self.state, self.devices = QLabel(), QLabel(), QLabel()
        self.state.setProperty("role", "state")
        self.devices.setProperty("role", "muted")
        self.state.setAccessibleName("State")
        for text in (self.state, self.devices):
            text.setMinimumWidth(40)
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.side = Choice(
            "Sound",
            (
                ("cleaned", "Cleaned", "The output is cleaned. Key B"),
                ("original", "Original", "The output is the sound as it came. Key B"),
            ),
        )
        self.side.chosen.connect(lambda side: session.set_bypass(side == "original"))
        self.record = button("Record", session.toggle_recording, "Key R", "record")
        self.record.setCheckable(True)
        self.last = button("Save last 30 s", session.save_last, "Key S")
        self.power = button("Start listening", session.toggle, "Space", "primary")
        self.menu = button("☰", self.menu_wanted.emit, "Menu")
        self.menu.setAccessibleName("Menu")
        texts = QVBoxLayout()
        texts.setSpacing(0)
        texts.addWidget(self.state)
        texts.addWidget(self.devices)
        bar = QHBoxLayout(self)
        bar.setContentsMargins(0, 0, 0, 0)
        bar.setSpacing(8)
        bar.addWidget(self.sign)
        bar.addLayout(texts, 1)
        for widget in (self.side, self.record, self.last, self.power, self.menu):
            bar.addWidget(widget)
        session.state_changed.connect(lambda *_: self.show_state())
        session.changed.connect(self.show_state)
        session.source_changed.connect(self.show_state)
        session.recording_changed.connect(self._show_recording)
        self.show_state()

    def show_state(self) -> None:
        """Show the state."""
        session = self.session
        sign, word = STATES[session.state]
        colours = {
            State.LISTENING: self.theme.good,
            State.STOPPED: self.theme.muted,
            State.LOADING: self.theme.text,
        }
        colour = colours.get(session.state, self.theme.warning)
        if session.player:
            sign, word, colour = *PLAYING[session.player.phase], self.theme.good
            word = f"{word} {session.player.name}"
        self._sign = sign
        self.sign.setText(f"<span style='color:{colour}; font-size:17pt'>{sign}</span>")
        self.state.setText(word)
        self.devices.setText(self._where())
        self.devices.setToolTip(self.devices.text())
        self.power.setText("Stop" if session.listening else "Start listening")
        self.power.setVisible(session.player is None)
        self.side.set_value("original" if session.bypass else "cleaned")
        self.side.setEnabled(session.source is not None)
        self.record.setEnabled(session.source is not None)
        self.last.setEnabled(session.source is not None)

    def tick(self) -> None:
        """A file may have come to its end."""
        player = self.session.player
        if player and PLAYING[player.phase][0] != self._sign:
            self.show_state()

    def _where(self) -> str:
        session, connection = self.session, self.session.connection
        if session.player:
            return "in place of the microphone"
        if session.state != State.LISTENING or not connection:
            return session.sentence
        return f"{connection.input} → {connection.virtual_mic or connection.output}"

    def _show_recording(self, on: bool) -> None:
        self.record.setChecked(on)
        self.record.setText("Stop recording" if on else "Record")

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.theme = theme
        self.show_state()


class Banner(QFrame):
    """One sentence about what went wrong, with one thing to do about it.

    It lies over the lower end of ``ground``, so that nothing moves when it comes or goes.
    """

    def __init__(self, ground: QWidget) -> None:
        super().__init__(ground)
        self._ground = ground
        ground.installEventFilter(self)
        self.setProperty("banner", True)
        self.setAccessibleName("Message")
        self._text = label("", selectable=True)
        self.action = button("", self._act)
        self.dismiss = button("✕", self.hide, "Dismiss")
        self.dismiss.setAccessibleName("Dismiss the message")
        self._do: Callable[[], Any] | None = None
        layout = row(self._text, self.action, self.dismiss)
        layout.setContentsMargins(14, 8, 8, 8)
        self.setLayout(layout)
        layout.setStretch(0, 1)
        self.about = ""
        self.hide()

    @property
    def text(self) -> str:
        """The sentence."""
        return self._text.text()

    def say(self, text: str, about: str, action: tuple[str, Callable[[], Any]] | None) -> None:
        """Show a sentence; ``action`` is what the button says and does.

        Parameters
        ----------
        text
            A sentence.
        about
            What it is about: :meth:`settle` removes it by this name.
        action
            Text of a button and what it does; None: no button.
        """
        self.about = about
        sentence = text[:1].upper() + text[1:]
        self._text.setText(sentence if sentence.endswith((".", "?", "!")) else f"{sentence}.")
        self._text.setAccessibleName(sentence)
        self.action.setVisible(action is not None)
        if action:
            self.action.setText(action[0])
            self._do = action[1]
        self.show()
        self.raise_()
        self._place()

    def _place(self) -> None:
        room = self._ground.rect()
        width = min(room.width() - 2 * BANNER_MARGIN, BANNER_WIDTH)
        height = max(self.heightForWidth(width), self.minimumSizeHint().height())
        left = (room.width() - width) // 2
        self.setGeometry(left, room.height() - height - BANNER_MARGIN, width, height)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Stay where the ground ends."""
        if event and event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def settle(self, *abouts: str) -> None:
        """Go away if it is about one of these, which is well again."""
        if self.about in abouts:
            self.hide()

    def _act(self) -> None:
        self.hide()
        if self._do:
            self._do()


class StatusLine(QWidget):
    """What happened last, and how the engine is."""

    def __init__(self, session: WindowSession) -> None:
        super().__init__()
        self.session = session
        self.news = QLabel("Press ? for all keys.")
        self.news.setProperty("role", "muted")
        self.news.setAccessibleName("What happened last")
        self.news.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.news.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.health = QLabel()
        self.health.setProperty("role", "muted")
        self.health.setAccessibleName("Health of the engine")
        self.health.setToolTip(
            "Delay that the devices and the sound server cause, and what Resonance adds; how much "
            "of one processor core Resonance needs; blocks lost or late"
        )
        layout = row(self.news, self.health)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setStretch(0, 1)
        self.setLayout(layout)

    def say(self, text: str) -> None:
        """Something that happened."""
        self.news.setText(text)
        self.news.setToolTip(text)

    def show_health(self) -> None:
        """Latency, load and what was lost."""
        session = self.session
        board = session.board
        if board is None or session.player or session.state != State.LISTENING:
            self.health.setText("")
            return
        self.health.setText(health_text(board, session.connection))


def health_text(board: Board, connection: Connection | None) -> str:
    """How the engine is, in a few words."""
    rows = board.blocks.since()
    if len(rows) < 2:
        return ""
    now, parts = health(rows), []
    if connection:
        devices, own = connection.delays_s
        parts = [
            f"delay: devices {1000 * devices:.0f} ms, Resonance {1000 * own:.0f} ms",
            f"Resonance uses {100 * now.load:.0f} % of a core",
        ]
    troubles = [(now.lost, "dropout"), (now.late, "late block"), (now.dry, "uncleaned block")]
    counts = [f"{count} {what}{'s' * (count > 1)}" for count, what in troubles if count]
    parts += counts or ["no dropouts"]
    return " · ".join(parts)
