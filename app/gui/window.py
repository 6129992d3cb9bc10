"""The window: its parts in their places, frames, themes, and how it closes."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

from PyQt6.QtCore import QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QKeyEvent, QResizeEvent, QShowEvent
from PyQt6.QtWidgets import (
    QApplication,
    QMainWindow,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from resonance.app.gui import theme as themes
from resonance.app.gui.bars import Banner, StatusLine, TopBar
from resonance.app.gui.cleaning import Cleaner
from resonance.app.gui.file_drop import FileDrop
from resonance.app.gui.files import FilesPanel, PlayerBar
from resonance.app.gui.frames import USUAL_HOP_S, Feed
from resonance.app.gui.main_page import MainPage
from resonance.app.gui.side_panels import SidePanels
from resonance.app.gui.sound import SoundPanel
from resonance.app.gui.teach_word import load_words
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.bank import Bank
from resonance.app.gui.views.phase_wheel import PhaseWheel
from resonance.app.gui.views.play_with_one import PlayWithOne
from resonance.app.gui.views.view import View
from resonance.app.gui.welcome import Welcome
from resonance.app.gui.widgets import aside, fit_to_screen
from resonance.app.gui.window_commands import WindowCommands
from resonance.app.gui.window_menu import WindowMenu
from resonance.app.gui.window_messages import WindowMessages
from resonance.app.gui.window_session import WindowSession, open_session
from resonance.app.live.messages import State

AnyView = TypeVar("AnyView", bound=View)

#: Time between two frames, ms; every so many frames messages are read, and text is written.
FRAME_MS, MESSAGES_EACH, TEXT_EACH = 16, 3, 15
#: Time between two looks at the engine while the window is closed, ms.
HIDDEN_MS = 40
#: Lowest window with levels, and lowest at all, pixels.
LEVELS_FROM, LOWEST = 580, 440
#: Width of the panels at the side, pixels.
SIDE_WIDTH = 390


class Window(QMainWindow):
    """The whole of it.

    Parameters
    ----------
    application
        Is dressed in the theme.
    opened
        What :func:`~resonance.app.gui.window_session.open_session` returned, if it was called
        before: the engine then loads while the window is made.
    """

    hidden = pyqtSignal()  #: the microphone for other programs runs on
    closed = pyqtSignal()  #: for good

    def __init__(
        self, application: QApplication, opened: tuple[WindowSession, str] | None = None
    ) -> None:
        super().__init__()
        self._application = application
        self.session, complaint = opened or open_session()
        kept = self.session.kept
        self.theme = self._wanted_theme()
        themes.apply(application, self.theme)
        self.cleaner, self.feed = Cleaner(), Feed()
        self.frames = 0
        self._settled = self._warm = self._quitting = self._closed = False
        self.setWindowTitle("Resonance")
        self.setMinimumHeight(LOWEST)
        self._make_parts()
        self._place_parts()
        self._connect()
        self.commands.bind_keys()
        self.resize(QSize(kept.width, kept.height).boundedTo(self._room()))
        self._show_page()
        if complaint:
            self.banner.say(complaint, "settings", None)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.on_frame)
        self._timer.start(FRAME_MS)
        QTimer.singleShot(0, self._begin)

    def _room(self) -> QSize:
        screen = self.screen()
        assert screen
        return screen.availableSize()

    # Building.

    def _make_parts(self) -> None:
        session, theme = self.session, self.theme
        self.top = TopBar(session, theme)
        self.status, self.player_bar = StatusLine(session), PlayerBar(session)
        self.sound, self.files = SoundPanel(session), FilesPanel(session, self.cleaner)
        self.welcome, self.main = Welcome(), MainPage(session, theme)
        self.side = SidePanels(session, theme, self.sound, self.files)
        self.resonogram, self.levels = self.main.resonogram, self.main.levels
        self.views: tuple[View, ...] = (self.resonogram, self.levels, *self.side.views)
        self.wheel, self.bank = self.view(PhaseWheel), self.view(Bank)
        self.play_with_one = self.view(PlayWithOne)
        self.play_with_one.output_name = lambda: session.kept.output_name
        self.commands = WindowCommands(self)
        self.menu = WindowMenu(self, self.commands, self.views)
        self.drop = FileDrop(self)

    def view(self, kind: type[AnyView]) -> AnyView:
        """The view of a class."""
        return next(view for view in self.views if isinstance(view, kind))

    def _place_parts(self) -> None:
        self._pages = QStackedWidget()
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self.main)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setHandleWidth(10)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(self._pages)
        self._splitter.addWidget(self.side)
        self._splitter.setStretchFactor(0, 1)
        self._splitter.setSizes([850, SIDE_WIDTH])
        central = QWidget()
        self.banner = Banner(central)
        column = QVBoxLayout(central)
        column.setContentsMargins(14, 12, 14, 8)
        column.setSpacing(10)
        column.addWidget(self.top)
        column.addWidget(self._splitter, 1)
        column.addWidget(self.player_bar)
        column.addWidget(self.status)
        self.setCentralWidget(central)

    def _connect(self) -> None:
        session, commands = self.session, self.commands
        session.state_changed.connect(self._on_state)
        self.messages = WindowMessages(self)
        self.top.menu_wanted.connect(lambda: self.menu.show_below(self.top.menu))
        self.welcome.chosen.connect(commands.choose_on_first_page)
        self.main.all_views_wanted.connect(commands.toggle_all_views)
        self.side.all_views_changed.connect(self._on_all_views)
        self.drop.dropped.connect(commands.open_files)
        self.files.chosen.connect(commands.open_files)
        self.files.play_wanted.connect(commands.play)
        self.player_bar.save_wanted.connect(commands.save_played)
        for view in self.views:
            view.followed_changed.connect(commands.follow)
        self.sound.keywords.teach_wanted.connect(commands.teach)
        self.sound.theme_chosen.connect(self.choose_theme)
        session.source_changed.connect(self._on_source)
        hints = self._application.styleHints()
        assert hints
        hints.colorSchemeChanged.connect(self._on_scheme)  # a lambda would outlive the window

    def _begin(self) -> None:
        """What may take a moment, once the window is there; an engine that loads goes first."""
        loading = self.session.engine and self.session.state == State.LOADING
        if self._settled or self._closed or loading:
            return
        self._settled = True
        aside(self, load_words, self._on_words, self._on_no_words)
        aside(self, _warm_up, self._on_warm, self._on_warm)
        self.sound.devices.watch()

    def _on_warm(self, _: Any) -> None:
        self._warm = True

    def _on_words(self, custom: Any) -> None:
        if self._closed:
            return
        if custom:
            self.session.set_custom(custom)
        self.sound.word_actions.begin_actions()

    def _on_no_words(self, error: Exception) -> None:
        if self._closed:
            return
        self.messages.warn(str(error), "words")
        self.sound.word_actions.begin_actions()

    # Frames.

    def on_frame(self) -> None:
        """Everything that happens again and again."""
        self.frames += 1
        if self.frames % MESSAGES_EACH == 0:
            self.session.tick()
            self.files.tick()
            self.player_bar.tick()
            self.top.tick()
        if self.frames % TEXT_EACH == 0:
            self.status.show_health()
            input_db = self.levels.input.db if self._warm else 0.0  # nothing is shown before
            self.messages.look_for_silence(TEXT_EACH * FRAME_MS / 1000, input_db)
        if self.isMinimized() or self.isHidden():  # what was missed is caught up with
            return
        self.play_with_one.tick()
        if not self.session.moves:
            self.levels.rest(FRAME_MS / 1000)
        board = self.session.board
        if board is None or not self._warm:
            return
        player = self.session.player
        ahead = player or self.session.connection
        self.feed.latency_samples = ahead.latency_samples if ahead else 0
        frame = self.feed.frame(board)
        for view in self.views:
            view.show_frame(frame)

    # What happens.

    def _show_page(self) -> None:
        session = self.session
        begun = session.kept.welcomed or session.listening or session.player is not None
        self._pages.setCurrentIndex(int(begun))
        for page in (self.welcome, self.main):  # what is not shown needs no room
            shown = page is self._pages.currentWidget()
            policy = QSizePolicy.Policy.Preferred if shown else QSizePolicy.Policy.Ignored
            page.setSizePolicy(policy, policy)
        self.side.setVisible(begun)

    def _on_state(self, *_: Any) -> None:
        self._show_page()
        self._begin()

    def _on_source(self) -> None:
        self._show_page()
        self.main.clear()
        self.feed = Feed()

    def _on_all_views(self, together: bool) -> None:
        self.main.all_views.setChecked(together)
        width = self._splitter.width()
        half = width // 2
        self._splitter.setSizes([half, half] if together else [width - SIDE_WIDTH, SIDE_WIDTH])

    # Looks.

    def _wanted_theme(self) -> Theme:
        return themes.THEMES.get(self.session.kept.theme) or themes.system_theme()

    def choose_theme(self, name: str) -> None:
        """Dark, light, or as the system has it."""
        self.session.keep(theme=name)
        self._dress()

    def _on_scheme(self, _: Any) -> None:
        self._dress()

    def _dress(self) -> None:
        self.theme = self._wanted_theme()
        themes.apply(self._application, self.theme)
        self.top.set_theme(self.theme)
        for view in self.views:
            view.set_theme(self.theme)

    # Qt's own.

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Leave out the levels where there is little room."""
        super().resizeEvent(event)
        self.main.show_levels(self.height() >= LEVELS_FROM)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Space, if nothing that has the focus wants it."""
        assert event
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.session.toggle()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 (Qt's name)
        """On the screen as a whole, once the system has put its frame around it."""
        super().showEvent(event)
        self._timer.setInterval(FRAME_MS)
        QTimer.singleShot(0, partial(fit_to_screen, self))

    # Closing.

    @property
    def runs_on(self) -> bool:
        """Whether closing the window leaves the microphone for other programs as it is."""
        kept = self.session.kept
        return kept.keep_running and kept.virtual_mic and self.session.listening

    def show_again(self) -> None:
        """From wherever it was hidden."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def quit(self) -> None:
        """End everything, also what would run on."""
        self._quitting = True
        self.close()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Hide if the microphone is to run on; else end everything."""
        if self.runs_on and not self._quitting:
            assert event
            event.ignore()
            self.hide()
            self._timer.setInterval(HIDDEN_MS)
            self.hidden.emit()
            return
        self._closed = True  # nothing begins any more
        self._timer.stop()
        self.hide()  # ending may take a moment
        if self.commands.teacher:
            self.commands.teacher.close()
        sides = {"width": self.width(), "height": self.height()}
        kept = self.session.kept
        self.session.keep(**{n: size for n, size in sides.items() if size != getattr(kept, n)})
        self.play_with_one.stop()
        self.sound.devices.close_watch()
        self.cleaner.close()
        self.session.close()
        super().closeEvent(event)
        self.closed.emit()


def _warm_up() -> None:
    """Load what listens to the sound, so that the first frame is quick."""
    import numpy as np

    from resonance.dsp.bank import broad_bank
    from resonance.dsp.stream import BankStream

    stream = BankStream(broad_bank(), 48000.0, USUAL_HOP_S)
    stream.listen(np.zeros(stream.samples_left, np.float32))
