"""Teaching a word: record it a few times, look at each take, test it at once."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PyQt6 import sip
from PyQt6.QtCore import QRectF, Qt, QTimer
from PyQt6.QtGui import QColor, QPainter, QPaintEvent
from PyQt6.QtWidgets import QDialog, QFrame, QLineEdit, QProgressBar, QVBoxLayout, QWidget

from resonance.app.custom_words import CustomWord
from resonance.app.errors import UserError
from resonance.app.gui.theme import Theme
from resonance.app.gui.widgets import Scrolled, aside, button, fit_to_screen, label, row
from resonance.app.gui.window_session import WindowSession, spotter_model
from resonance.app.live.board import Board
from resonance.app.live.loudspeaker import BUFFER_S, Loudspeaker
from resonance.app.live.messages import State
from resonance.app.spotter import KeywordEvent
from resonance.app.takes import TAKE_S, has_ended, trimmed
from resonance.dsp.arrays import Float32Array

#: How many takes are enough.
ENOUGH = 3
#: The most useful number of takes.
MOST = 5


class Take(QFrame):
    """One recording of the word: its waveform, what can be said about it, and a way to drop it."""

    def __init__(self, sound: Float32Array, samplerate: float, theme: Theme) -> None:
        super().__init__()
        self.sound, self.samplerate = sound, samplerate
        self.setProperty("card", True)
        seconds = len(sound) / samplerate
        peak = 20 * np.log10(max(float(np.abs(sound).max()), 1e-6))
        self.text = label(f"{seconds:.1f} s, peak {peak:.0f} dBFS", "muted")
        self.play = button("Play", self._play, "Hear this take")
        self.drop = button("Drop", lambda: None, "Forget this take")
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.addWidget(_Wave(sound, theme))
        column.addLayout(row(self.text, self.play, self.drop))

    def _play(self) -> None:
        self.play.setEnabled(False)
        aside(
            self,
            partial(_play_aloud, self.sound, self.samplerate),
            self._on_played,
            self._on_played,
        )

    def _on_played(self, _: object) -> None:
        self.play.setEnabled(True)

    def judge(self, likeness: float) -> None:
        """Say how like the others it is."""
        from resonance.app.enrolment import LEAST_LIKE

        doubtful = likeness < LEAST_LIKE
        verdict = "unlike the others: drop it and record another" if doubtful else "like the others"
        self.text.setText(f"{len(self.sound) / self.samplerate:.1f} s, {verdict} ({likeness:.2f})")


def _play_aloud(sound: Float32Array, samplerate: float) -> None:
    """Through the default output; returns when it is over."""
    with Loudspeaker(round(samplerate), None) as loudspeaker:
        block = round(0.02 * samplerate)
        rest = np.zeros(round((BUFFER_S + 0.05) * samplerate), np.float32)
        sound = np.concatenate([sound, rest])
        for start in range(0, len(sound), block):
            loudspeaker.play(np.ascontiguousarray(sound[start : start + block]))


class Slot(QFrame):
    """Where a take will be."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.setProperty("card", True)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.addWidget(label(f"Take {number}", "muted"))


class _Wave(QWidget):
    def __init__(self, sound: Float32Array, theme: Theme) -> None:
        super().__init__()
        self._sound, self._theme = sound, theme
        self.setFixedHeight(44)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        painter = QPainter(self)
        low, high = envelope(self._sound, self.width())
        middle, half = self.height() / 2, self.height() / 2
        size = max(float(np.abs(self._sound).max()), 1e-3)
        for x, (down, up) in enumerate(zip(low / size, high / size, strict=True)):
            top = middle - up * half
            painter.fillRect(
                QRectF(x, top, 1, max(1.0, (up - down) * half)), QColor(self._theme.original)
            )


def envelope(sound: Float32Array, columns: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest of ``sound`` in each of so many stretches."""
    edges = np.linspace(0, len(sound), columns + 1).astype(int)[:-1]
    edges = np.minimum(edges, len(sound) - 1)
    return np.minimum.reduceat(sound, edges), np.maximum.reduceat(sound, edges)


class TeachWord(QDialog):
    """The three steps: name it, say it, try it."""

    def __init__(self, session: WindowSession, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self._theme = session, theme
        self.takes: list[Take] = []
        self.learnt: CustomWord | None = None
        self._since: tuple[Board, int] | None = None  # board and sample where a take began
        self._began_listening = self._busy = self._complained = False
        self._detections = 0
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Teach a word")
        self.setMinimumWidth(460)
        self.resize(520, 680)
        self._build()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)
        self._timer.start(50)
        session.keyword_detected.connect(self._on_keyword)
        self._show_step()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(10)
        column.addWidget(label("Teach a word", "title"))
        self.name = QLineEdit()
        self.name.setPlaceholderText("The word, such as marvin")
        self.name.setAccessibleName("The word")
        self.name.textChanged.connect(lambda _: self._show_step())
        column.addWidget(self.name)
        self.says = label("")
        column.addWidget(self.says)
        self.record = button("Record", self.begin_take, "Key R", "primary")
        self.record.setShortcut("R")
        self.level = QProgressBar()
        self.level.setRange(0, 100)
        self.level.setAccessibleName("Level of the microphone")
        column.addLayout(row(self.record, self.level))
        self._takes = Scrolled()
        self.slots = [Slot(number + 1) for number in range(ENOUGH)]
        for slot in self.slots:
            self._takes.column.addWidget(slot)
        self._takes.column.addStretch(1)
        column.addWidget(self._takes, 1)
        self.outcome = label("", "heading")
        column.addWidget(self.outcome)
        self.learn = button("Learn it", self.begin_learning, "Needs three takes", "primary")
        self.leave = button("Close", self.close)
        column.addLayout(row(self.leave, 1, self.learn))
        self.name.returnPressed.connect(self.record.setFocus)

    def open_for(self) -> None:
        """Show it; the microphone is needed now."""
        if not self.session.engine:
            self._began_listening = True
            self.session.start()
        if self.session.player:
            self.session.end_playing()
        self.show()
        QTimer.singleShot(0, partial(fit_to_screen, self))
        self.raise_()
        self.activateWindow()
        self.name.setFocus()

    # Takes.

    @property
    def _board(self) -> Board | None:
        """The microphone's, also while a file is played."""
        return self.session.engine.board if self.session.engine else None

    def begin_take(self) -> None:
        """Listen for the word from now on."""
        board = self._board
        if board is None or self.session.state != State.LISTENING or self._since:
            return
        self._since = (board, board.sound.count)
        self.record.setText("Say it now…")  # and keeps the focus, for the next take
        self._complained = False

    def _tick(self) -> None:
        board = self._board
        if board is None:
            self._end_take()
            return
        rows = board.blocks.since(board.blocks.count - 5)
        if len(rows):
            power = float(rows["input_power"].max())
            self.level.setValue(int(np.clip((10 * np.log10(power + 1e-9) + 66) / 66 * 100, 0, 100)))
        if self._since is None:
            self._show_step()
            return
        began_on, first = self._since
        samplerate = float(board.facts["samplerate"])
        if began_on is not board:
            self._end_take()
        else:
            sound = board.sound.since(first)[1][:, 0]
            if has_ended(sound, samplerate) or len(sound) >= TAKE_S * samplerate:
                self._end_take()
                self.add_take(sound, samplerate)

    def _end_take(self) -> None:
        self._since = None
        self.record.setText("Record")
        self._show_step()

    def add_take(self, sound: Float32Array, samplerate: float) -> None:
        """Keep the word out of ``sound [samples]``, if there is one."""
        try:
            word = trimmed(np.ascontiguousarray(sound), samplerate)
        except UserError as error:
            self.says.setText(str(error))
            self._complained = True
            return
        self._complained = False
        take = Take(word, samplerate, self._theme)
        take.drop.clicked.connect(partial(self._drop, take))
        self.takes.append(take)
        self._takes.column.insertWidget(len(self.takes) - 1, take)
        self._show_step()

    def _drop(self, take: Take) -> None:
        self.takes.remove(take)
        take.deleteLater()
        self._show_step()

    def _show_step(self) -> None:
        """Say what comes next."""
        count, listening = len(self.takes), self.session.state == State.LISTENING
        for number, slot in enumerate(self.slots):
            slot.setVisible(number >= count)
        self.record.setEnabled(listening and count < MOST)
        self.learn.setEnabled(count >= ENOUGH and bool(self.name.text().strip()) and not self._busy)
        if self.learnt or self._busy or self._since or self._complained:
            return
        if not listening:
            text = f"Waiting for the microphone: {self.session.sentence}."
        elif not self.name.text().strip():
            text = "Type the word. Then you say it three times."
        elif count < ENOUGH:
            word = self.name.text().strip()
            text = f"Press Record, then say “{word}”. Take {count + 1} of {ENOUGH}."
        elif count < MOST:
            text = "Enough to learn it. Two more takes, said differently, make it surer."
        else:
            text = "That is plenty. Learn it now."
        self.says.setText(text)

    # Learning.

    def begin_learning(self) -> None:
        """Learn the word from the takes, in another thread, and listen for it."""
        word = self.name.text().strip()
        takes = list(self.takes)
        rate = self.session.kept.false_accepts
        self._busy = True
        self._complained = False
        self.learn.setEnabled(False)
        self.says.setText("Learning…")

        def work() -> CustomWord:
            from resonance.app import enrolment  # which takes a while to load

            with tempfile.TemporaryDirectory() as folder:
                paths = []
                for number, take in enumerate(takes):
                    path = Path(folder) / f"take {number + 1}.wav"
                    soundfile.write(path, take.sound, round(take.samplerate), subtype="FLOAT")
                    paths.append(path)
                learnt = enrolment.learn(word, paths, spotter_model(), rate)
                enrolment.save(learnt, paths)
                return learnt

        # The session gets it, also if the dialog is closed meanwhile.
        aside(self.session, work, partial(self._on_learnt, takes), self._on_failed)

    def _on_learnt(self, takes: list[Take], learnt: CustomWord) -> None:
        self.session.add_custom(learnt)
        if sip.isdeleted(self):
            return
        self._busy = False
        self.learnt = learnt
        for take, likeness in zip(takes, learnt.agreement, strict=True):
            if take in self.takes:  # it may have been dropped meanwhile
                take.judge(likeness)
        self._detections = 0
        self.says.setText(f"Try it: say “{learnt.word}”.")
        self.outcome.setText("Not heard yet")
        self.learn.setText("Learn again")
        self.learn.setEnabled(True)

    def _on_failed(self, error: Exception) -> None:
        if sip.isdeleted(self):
            self.session.warned.emit(str(error), "words")
            return
        self._busy = False
        self._complained = True
        self.says.setText(f"{error}.".replace("..", "."))
        self._show_step()

    def _on_keyword(self, event: KeywordEvent) -> None:
        if self.learnt and event.keyword == self.learnt.word:
            self._detections += 1
            times = "once" if self._detections == 1 else f"{self._detections} times"
            self.outcome.setText(f"✓ Heard {times}, likeness {event.score:.2f}")

    def done(self, result: int) -> None:
        """Leave the microphone as it was found, unless a word was learnt; however it is closed."""
        self._timer.stop()
        if self._began_listening and not self.learnt:
            self.session.stop()
        super().done(result)


def load_words() -> list[CustomWord]:
    """All custom words there are, learnt again if another spotter came since."""
    from resonance.app import enrolment

    return enrolment.load_all(spotter_model())
