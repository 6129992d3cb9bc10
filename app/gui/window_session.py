"""What the window works on: the engine, a file that is played, recordings, actions, settings."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QObject, pyqtSignal

from resonance.app.actions import Known, makers, with_token
from resonance.app.custom_words import CustomWord
from resonance.app.errors import UserError
from resonance.app.gui.kept import Kept, music_folder, split_program
from resonance.app.live.board import Board
from resonance.app.live.messages import (
    Connection,
    Keyword,
    Message,
    Note,
    State,
    StateChange,
    Warned,
)
from resonance.app.live.process import EngineProcess
from resonance.app.live.session import LiveSession, RecordingEnded, Report, Saved
from resonance.app.live.settings import EngineSettings
from resonance.app.onnx_models import SpotterModel
from resonance.app.spotter import Sensitivity

if TYPE_CHECKING:
    from resonance.app.live.generator import ToneGenerator
    from resonance.app.live.player import FilePlayer, Player

#: Settings are written this long after the last change, s.
KEPT_AFTER_S = 1.0


@lru_cache(maxsize=1)
def spotter_model() -> SpotterModel:
    """The one that words are looked up in and taught with."""
    return SpotterModel()


def open_session() -> tuple[WindowSession, str]:
    """A session with what was kept, already starting to listen if that is wanted.

    Also a complaint, if what was kept cannot be read, or makes no sense.
    """
    complaint = ""
    try:
        kept = Kept.load()
        complaint = kept.complaint
    except UserError as error:
        kept, complaint = Kept(), str(error)
    session = WindowSession(kept)
    if kept.listening:
        session.start()
    return session, complaint


class WindowSession(QObject):
    """Everything but the picture; needs :meth:`tick` a few times a second.

    Parameters
    ----------
    kept
        Settings to begin with.
    """

    state_changed = pyqtSignal(object, str)  #: State and sentence
    keyword_detected = pyqtSignal(object)  #: KeywordEvent
    warned = pyqtSignal(str, str)  #: sentence, and what it is about
    noted = pyqtSignal(str)  #: a sentence that asks for nothing
    source_changed = pyqtSignal()  #: a file instead of the microphone, or the other way round
    changed = pyqtSignal()  #: some setting
    recording_changed = pyqtSignal(bool)
    words_changed = pyqtSignal()  #: custom words

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept
        self.live = LiveSession(self.folder)
        self.custom: tuple[CustomWord, ...] = ()
        self.file: FilePlayer | None = None  #: that is played
        self.generator: ToneGenerator | None = None  #: of a tone, in place of a file
        self.bypass = False
        self.state, self.sentence = State.STOPPED, "not listening"
        self._save_at: float | None = None
        self._unsaved_told = False

    # Sources.

    @property
    def engine(self) -> EngineProcess | None:
        """What listens to the microphone."""
        return self.live.engine

    @engine.setter
    def engine(self, engine: EngineProcess | None) -> None:
        self.live.engine = engine

    @property
    def connection(self) -> Connection | None:
        """The devices that are open, or were last."""
        return self.live.connection

    @property
    def player(self) -> Player | None:
        """What plays in place of the microphone: a file or a tone."""
        return self.file or self.generator

    @property
    def source(self) -> EngineProcess | Player | None:
        """What is shown: what plays in place of the microphone, or else the engine."""
        return self.player or self.engine

    @property
    def board(self) -> Board | None:
        """What to look at now."""
        return self.source.board if self.source else None

    @property
    def listening(self) -> bool:
        """Whether the engine is meant to run."""
        return self.engine is not None

    @property
    def microphone(self) -> str:
        """What other programs list the virtual microphone as; empty while there is none."""
        now = self.connection
        return now.virtual_mic if now and self.listening else ""

    @property
    def moves(self) -> bool:
        """Whether sound passes now."""
        if self.player:
            return not self.player.paused and not self.player.at_end
        return self.state == State.LISTENING

    @property
    def has_its_devices(self) -> bool:
        """Whether it listens with the devices that were chosen, not with substitutes."""
        now = self.connection
        found = (now.input, now.output) if now else ("", "")
        chosen = (self.kept.input_name, self.settings.output_name)
        return all(name in (None, "", end) for name, end in zip(chosen, found, strict=True))

    def start(self) -> None:
        """Listen to the microphone."""
        if self.engine:
            return
        try:
            self.live.start(self.settings)
        except (UserError, OSError) as error:
            self.warned.emit(str(error), "settings")
            return
        self._become(State.LOADING, "loading models and opening devices")
        self.keep(welcomed=True)

    def stop(self) -> None:
        """Listen no longer."""
        if not self.engine:
            return
        self.live.stop()
        self._become(State.STOPPED, "not listening")
        if not self.player:
            self.end_recording()  # last, so its path is reported

    def toggle(self) -> None:
        """Start or stop; play on or pause while a file is played."""
        if self.player:
            self.player.pause(not self.player.paused and not self.player.at_end)
        elif self.engine:
            self.stop()
        else:
            self.start()

    def play(self, path: Path) -> None:
        """Play a file through the pipeline.

        Raises
        ------
        UserError
            If it cannot be read.
        """
        from resonance.app.live.player import FilePlayer

        player = FilePlayer(path, self.settings)
        self.end_playing()
        self.file = player
        self._begin_playing(player)

    def generate(self, kind: str) -> None:
        """Play a tone or a sweep through the pipeline; see :mod:`resonance.app.live.generator`."""
        from resonance.app.live.generator import ToneGenerator

        self.end_playing()
        self.generator = ToneGenerator(kind, self.settings)
        self._begin_playing(self.generator)

    def _begin_playing(self, player: Player) -> None:
        self.end_recording()  # of the sound until now
        player.start()
        self.keep(welcomed=True)
        self.source_changed.emit()

    def end_playing(self) -> None:
        """Back to the microphone."""
        if self.player:
            self.end_recording()
            player = self.player
            self.file = self.generator = None
            player.close()
            self.source_changed.emit()

    def close(self) -> None:
        """End everything and wait for that."""
        self.end_recording()
        self.end_playing()
        self.live.close()
        self._save()

    # Settings.

    @property
    def settings(self) -> EngineSettings:
        """What an engine is asked to do now."""
        return replace(
            self.kept.engine_settings(),
            bypass=self.bypass,
            custom=self.custom if self.kept.spot else (),
            sensitivity=self._sensitivity(),
        )

    def _sensitivity(self) -> Sensitivity:
        """The rate for all goes for one's own words, too; words that are not there get none."""
        kept = self.kept
        rates = {word.word: kept.false_accepts for word in self.custom}
        if kept.false_accepts_of:
            known = self.words()
            rates |= {word: r for word, r in kept.false_accepts_of.items() if word in known}
        return Sensitivity(kept.false_accepts, rates)

    def keep(self, **changes: Any) -> None:
        """Remember values, and let whoever runs follow them."""
        asked, before = self.settings, self.kept
        self.kept = before.with_(**changes)
        if self.kept == before:
            return
        self.live.folder = self.folder
        self._save_at = time.monotonic() + KEPT_AFTER_S
        self._follow(asked)
        self.changed.emit()

    def set_bypass(self, bypass: bool) -> None:
        """The sound as it came, or cleaned; never remembered."""
        asked, self.bypass = self.settings, bypass
        self._follow(asked)
        self.changed.emit()

    def set_custom(self, custom: Sequence[CustomWord]) -> None:
        """Listen for other custom words."""
        asked, self.custom = self.settings, tuple(custom)
        self._follow(asked)
        self.words_changed.emit()

    def add_custom(self, learnt: CustomWord) -> None:
        """Listen for a custom word, perhaps in place of an older one of that name."""
        self.keep(spot=True)
        self.set_custom([*(w for w in self.custom if w.word != learnt.word), learnt])

    def _follow(self, asked: EngineSettings) -> None:
        """Let engine and player know in what the settings differ from what was asked before."""
        now = self.settings
        changes = {
            field.name: getattr(now, field.name)
            for field in fields(now)
            if getattr(now, field.name) != getattr(asked, field.name)
        }
        for runs in (self.engine, self.player) if changes else ():
            if runs:
                try:
                    runs.change(**changes)
                except UserError as error:
                    self.warned.emit(str(error), "settings")

    def _save(self) -> None:
        self._save_at = None
        try:
            self.kept.save()
        except UserError as error:
            if not self._unsaved_told:
                self.warned.emit(str(error), "settings")
            self._unsaved_told = True

    # Actions.

    def start_actions(self) -> str:
        """Begin what keywords set off, in place of what did so before; returns where clients go.

        Raises
        ------
        UserError
            If one of them cannot be made.
        """
        served = with_token(self.kept.actions)
        if served and not self.kept.token:
            self.keep(token=secrets.token_urlsafe(16))
        kept, known = self.kept, self.words()
        # Programs of words that are not there wait for them.
        named = [word for text in kept.run if (word := split_program(text, known)[0])]
        asked = {**kept.actions, "run": kept.run}
        self.live.start_actions(makers(asked, Known([*known, *named], kept.token)))
        return f"?token={kept.token}" if served else ""

    def words(self) -> list[str]:
        """All that can be listened for: as shipped, and one's own."""
        return [*spotter_model().words, *(word.word for word in self.custom)]

    # Recording.

    @property
    def recording(self) -> bool:
        """Whether sound is recorded."""
        return bool(self.live.recorders)

    @property
    def folder(self) -> Path:
        """Where recordings go."""
        return Path(self.kept.folder) if self.kept.folder else music_folder()

    def toggle_recording(self) -> None:
        """Begin to record, or end it."""
        if self.recording:
            self.end_recording()
            return
        source = self.source
        if not source or not source.board:
            self.noted.emit("There is no input yet: start listening before recording.")
        else:
            try:
                path = self.live.record(self.kept.record, source=source)
                self.noted.emit(f"Recording to {path}")
            except (UserError, OSError) as error:
                self.warned.emit(str(error), "recording")
        self.recording_changed.emit(self.recording)  # also if nothing came of it

    def end_recording(self) -> None:
        """Write what is left."""
        if self.recording:
            self.live.end_recordings()
            self._pass_on()

    def save_last(self) -> None:
        """Save the last 30 s of sound."""
        if not self.board:
            self.noted.emit("There is no input yet, so there is nothing to save.")
            return
        try:
            self.live.save_last(self.kept.record, self.board)
        except (UserError, OSError) as error:
            self.warned.emit(str(error), "recording")
        self._pass_on()

    # Reports.

    def tick(self) -> None:
        """Pass on what engine, player and actions have reported."""
        if self._save_at is not None and time.monotonic() >= self._save_at:
            self._save()
        self._pass_on()
        if self.player:
            for message in self.player.messages():
                self._on_player_message(message)

    def _pass_on(self) -> None:
        for report in self.live.poll():
            self._on_report(report)

    def _on_report(self, report: Report) -> None:
        match report:
            case StateChange(state, text):
                self._become(state, text)
                if not self.engine and not self.player:
                    self.end_recording()
            case Keyword(event) if not self.player:
                self.keyword_detected.emit(event)
            case Warned(about, text):
                self.warned.emit(text, about)
            case Note(text):
                self.noted.emit(text)
            case Saved(path, seconds):
                self.noted.emit(f"Saved {seconds:.0f} s to {path}")
            case RecordingEnded(path):
                self.noted.emit(f"Recorded {path}")
                self.recording_changed.emit(False)

    def _on_player_message(self, message: Message) -> None:
        match message:
            case Keyword(event):
                self.keyword_detected.emit(event)
            case Note(text):
                self.noted.emit(text)
            case StateChange(failed=True, text=text):
                self.end_playing()
                self.warned.emit(text, "file")

    def _become(self, state: State, sentence: str) -> None:
        self.state, self.sentence = state, sentence
        self.state_changed.emit(state, sentence)
