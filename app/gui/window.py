"""The window: everything put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from PyQt6.QtCore import QPoint, QSize, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import (
    QAction,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
    QShowEvent,
)
from PyQt6.QtWidgets import (
    QApplication,
    QFileDialog,
    QFrame,
    QGridLayout,
    QMainWindow,
    QMenu,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from resonance.app import pulse
from resonance.app.errors import UserError
from resonance.app.gui import desktop
from resonance.app.gui import theme as themes
from resonance.app.gui.bars import Banner, StatusLine, TopBar
from resonance.app.gui.cleaning import Cleaner
from resonance.app.gui.controls import Tabs
from resonance.app.gui.files import FilesPanel, PlayerBar
from resonance.app.gui.frames import USUAL_HOP_S, Feed
from resonance.app.gui.shortcuts import FILES_PANEL, SOUND_PANEL, Sheet, all_keys
from resonance.app.gui.sound import MOST_DB, SoundPanel
from resonance.app.gui.teach_word import TeachWord, load_words
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.bank import Bank
from resonance.app.gui.views.levels import Levels
from resonance.app.gui.views.phase_wheel import PhaseWheel
from resonance.app.gui.views.play_with_one import PlayWithOne
from resonance.app.gui.views.resonogram import (
    CLEANED,
    DIFFERENCE,
    EAR,
    LINEAR,
    PHASE,
    SHARP,
    Resonogram,
)
from resonance.app.gui.views.side_views import SIDE_VIEWS
from resonance.app.gui.views.view import View
from resonance.app.gui.welcome import HowItWorks, Welcome
from resonance.app.gui.widgets import Choice, aside, button, card, fit_to_screen, row
from resonance.app.gui.window_session import WindowSession, open_session
from resonance.app.live.generator import SWEEP, TONE
from resonance.app.live.messages import State
from resonance.app.presets import speech_presets
from resonance.app.spotter import KeywordEvent
from resonance.assets import DEMO

AnyView = TypeVar("AnyView", bound=View)

#: Time between two frames, ms; every so many frames messages are read, and text is written.
FRAME_MS, MESSAGES_EACH, TEXT_EACH = 16, 3, 15
#: Time between two looks at the engine while the window is closed, ms.
HIDDEN_MS = 40
#: A microphone that is quieter than this, dBFS, for this long, s, may be muted.
MUTED_DB, MUTED_S = -90.0, 4.0
#: Lowest window with levels, and lowest at all, pixels.
LEVELS_FROM, LOWEST = 580, 440
#: Step of the keys that change the limit, dB.
LIMIT_STEP_DB = 3


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
        self._settled = self._warm = self._quitting = False
        self._silent_s = 0.0  # for how long the input has been silent
        self._teacher: TeachWord | None = None  #: while it is open
        self.setWindowTitle("Resonance")
        self.setAcceptDrops(True)
        self.setMinimumHeight(LOWEST)
        self._build()
        self._connect()
        self._add_keys()
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

    def _build(self) -> None:
        session, theme = self.session, self.theme
        self.top = TopBar(session, theme)
        self.status, self.player_bar = StatusLine(session), PlayerBar(session)
        self.resonogram, self.levels = Resonogram(theme), Levels(theme)
        self._side_views = [(entry, entry.view(theme)) for entry in SIDE_VIEWS]
        self.views: tuple[View, ...] = (
            self.resonogram,
            self.levels,
            *(view for _, view in self._side_views),
        )
        self.wheel, self.bank = self.view(PhaseWheel), self.view(Bank)
        self.play_with_one = self.view(PlayWithOne)
        self.play_with_one.output_name = lambda: session.kept.output or None
        self.sound, self.files = SoundPanel(session), FilesPanel(session, self.cleaner)
        self._side = QStackedWidget()
        self.tabs = self._make_tabs()
        self._side.addWidget(self.tabs)
        self._grid = QWidget()
        self._grid_layout = QGridLayout(self._grid)
        self._grid_layout.setContentsMargins(0, 0, 0, 0)
        self._grid_layout.setSpacing(10)
        self._side.addWidget(self._grid)
        self._pages = QStackedWidget()
        self.welcome = Welcome()
        self._pages.addWidget(self.welcome)
        self._pages.addWidget(self._make_main())
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setHandleWidth(10)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(self._pages)
        self._splitter.addWidget(self._side)
        self._splitter.setStretchFactor(0, 1)
        self._splitter.setSizes([850, 390])
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
        self.menu = self._make_menu()

    def view(self, kind: type[AnyView]) -> AnyView:
        """The view of a class."""
        return next(view for view in self.views if isinstance(view, kind))

    def _make_tabs(self) -> Tabs:
        tabs = Tabs("Side panel")
        self._cards: dict[View, QFrame] = {view: card(view) for _, view in self._side_views}
        self._panels: dict[str, tuple[str, QWidget]] = {
            SOUND_PANEL: ("Sound", self.sound),
            FILES_PANEL: ("Files", self.files),
            **{entry.key: (entry.tab, self._cards[view]) for entry, view in self._side_views},
        }
        for key, (name, panel) in sorted(self._panels.items()):
            tabs.setTabToolTip(tabs.addTab(panel, name), f"Key {key}")
        tabs.setCurrentIndex(min(self.session.kept.tab, tabs.count() - 1))
        tabs.setMinimumWidth(340)
        return tabs

    def _make_main(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        self.freeze = button("Freeze", self._toggle_freeze, "Key F; the sound goes on")
        self.freeze.setCheckable(True)
        self.scale = Choice(
            "Frequency scale",
            (
                (SHARP, "Sharp", "Narrow oscillators, and broad ones above 4 kHz. Key L"),
                (EAR, "Ear", "Broad oscillators, spaced as the ear hears. Key L"),
                (LINEAR, "Linear", "Narrow oscillators, evenly spaced: harmonics. Key L"),
            ),
        )
        self.scale.set_value(self.session.kept.frequency_scale)
        self.resonogram.set_scale(self.scale.value)
        self.resonogram.set_range(self.session.kept.low_db, self.session.kept.high_db)
        self.below = Choice(
            "Lower picture",
            (
                (CLEANED, "Output", "The cleaned sound. Key D"),
                (DIFFERENCE, "Removed", "How much quieter it was made. Key D"),
                (PHASE, "Phase", "Phases of the original, in the wheel's colours. Key D"),
            ),
        )
        self.below.set_value(CLEANED)
        self.all = button("All views", self._toggle_all, "Key A")
        self.all.setCheckable(True)
        column.addLayout(row(self.freeze, self.scale, self.below, 1, self.all))
        column.addWidget(self.resonogram, 1)
        self._levels_card = card(self.levels)
        self._levels_card.setFixedHeight(max(150, 9 * self.fontMetrics().height()))
        column.addWidget(self._levels_card)
        return page

    def _make_menu(self) -> QMenu:
        menu = QMenu(self)
        for text, keys, action in (
            ("Open files…", "Ctrl+O", self._open_files),
            ("Teach a word…", "E", self.teach),
            ("All views at once", "A", self._toggle_all),
            ("Play the demo", "", partial(self.play, DEMO)),
            ("Play a tone", "", partial(self.session.generate, TONE)),
            ("Play a sweep", "", partial(self.session.generate, SWEEP)),
            ("How it works", "", self.show_how),
            ("Add to the applications menu", "", self._add_to_applications),
            ("Theme: dark or light", "T", self._toggle_theme),
        ):
            self._add_action(menu, text, keys, action)
        self.pictures = menu.addMenu("Save a picture of")
        assert self.pictures
        for view in self.views:
            self._add_action(self.pictures, view.title, "", partial(self.save_picture, view))
        menu.addSeparator()
        self._add_action(menu, "Keys", "?", self.show_sheet)
        self._add_action(menu, "Quit", "Ctrl+Q", self.quit)
        return menu

    @staticmethod
    def _add_action(menu: QMenu, text: str, keys: str, action: Callable[[], Any]) -> None:
        # The keys themselves are bound once, for the window; here they are only shown.
        made = QAction(f"{text}\t{keys}" if keys else text, menu)
        made.triggered.connect(lambda _=False: action())
        menu.addAction(made)

    def _connect(self) -> None:
        session = self.session
        self.top.menu_wanted.connect(self._show_menu)
        self.welcome.chosen.connect(self._on_welcome)
        self.files.chosen.connect(self.open_files)
        self.scale.chosen.connect(self._choose_scale)
        self.below.chosen.connect(self.resonogram.set_lower)
        self.tabs.currentChanged.connect(lambda number: session.keep(tab=number))
        self.resonogram.range_changed.connect(
            lambda low, high: session.keep(low_db=low, high_db=high)
        )
        for view in self.views:
            view.followed_changed.connect(self.follow)
        self.sound.teach_wanted.connect(self.teach)
        self.sound.theme_chosen.connect(self._choose_theme)
        self.files.play_wanted.connect(self.play)
        self.player_bar.save_wanted.connect(self._save_played)
        session.state_changed.connect(self._on_state)
        session.keyword_heard.connect(self._on_keyword)
        session.warned.connect(self._on_warning)
        session.noted.connect(self.status.say)
        session.source_changed.connect(self._on_source)
        hints = self._application.styleHints()
        assert hints
        hints.colorSchemeChanged.connect(self._on_scheme)

    def _add_keys(self) -> None:
        actions: dict[str, Callable[[], Any]] = {
            "bypass": lambda: self.session.set_bypass(not self.session.bypass),
            "record": self.session.toggle_recording,
            "save_last": self.session.save_last,
            "virtual_mic": self._toggle_virtual_mic,
            "freeze": self.freeze.click,
            "scale": self._next_scale,
            "lower": self._next_lower,
            "less_limit": lambda: self._change_limit(-LIMIT_STEP_DB),
            "more_limit": lambda: self._change_limit(LIMIT_STEP_DB),
            "preset": self._next_preset,
            "all_views": self._toggle_all,
            "teach": self.teach,
            "open": self._open_files,
            "save_file": self.player_bar.save.click,
            "picture": self._ask_which_picture,
            "refresh": self.sound.look_for_devices_again,
            "theme": self._toggle_theme,
            "back": self._go_back,
            "sheet": self.show_sheet,
            "quit": self.quit,
            **{
                f"tab_{key}": partial(self.show_panel, panel)
                for key, (_, panel) in self._panels.items()
            },
        }
        self.shortcuts: dict[str, QShortcut] = {}
        for name, keys, _ in all_keys():
            if name != "toggle":  # Space also presses the button that has the focus
                shortcut = QShortcut(QKeySequence(keys), self)
                shortcut.activated.connect(actions[name])
                self.shortcuts[name] = shortcut

    def _begin(self) -> None:
        """What may take a moment, once the window is there; an engine that loads goes first."""
        if self._settled or (self.session.engine and self.session.state == State.LOADING):
            return
        self._settled = True
        aside(self, load_words, self._on_words, self._on_no_words)
        aside(self, _warm_up, self._on_warm, self._on_warm)
        self.sound.watch()

    def _on_warm(self, _: Any) -> None:
        self._warm = True

    def _on_words(self, custom: Any) -> None:
        if custom:
            self.session.set_custom(custom)
        self.sound.begin_actions()

    def _on_no_words(self, error: Exception) -> None:
        self._on_warning(str(error), "words")
        self.sound.begin_actions()

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
            self._look_for_silence()
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

    def _look_for_silence(self) -> None:
        """Even in a quiet room a microphone is never quite silent."""
        session = self.session
        heard = session.player or session.state != State.LISTENING or not self._warm
        if heard or self.levels.heard.db > MUTED_DB:
            self._silent_s = 0.0
            self.banner.settle("silence")
            return
        self._silent_s += TEXT_EACH * FRAME_MS / 1000
        if MUTED_S <= self._silent_s < MUTED_S + TEXT_EACH * FRAME_MS / 1000:
            self._on_warning("The microphone is silent. Is it muted?", "silence")

    # What people do.

    def follow(self, number: int | None) -> None:
        """Mark one oscillator in every view, or none; play with that one."""
        for view in self.views:
            view.follow(number)

    def open_files(self, paths: Sequence[Path]) -> None:
        """List files, and play the first of them; they are cleaned when that is asked for."""
        if not paths:
            return
        jobs = self.files.add(paths)
        self.show_panel(self.files)
        if not jobs:
            self.status.say("There are no new sound files.")
        elif not self.session.player:
            self.play(jobs[0].source)

    def play(self, path: Path) -> None:
        """Play a file in place of the microphone."""
        try:
            self.session.play(path)
        except UserError as error:
            self._on_warning(str(error), "file")
            return
        self.player_bar.pause.setFocus()  # Space would press the button that began it

    def teach(self) -> None:
        """Open the dialog that teaches a word, or raise it."""
        if self._teacher is None:
            self._teacher = TeachWord(self.session, self.theme, self)
            self._teacher.finished.connect(self._on_taught)
        self._teacher.open_for()

    def _on_taught(self, _: int) -> None:
        self._teacher = None

    def show_tab(self, number: int) -> None:
        """One of the panels at the side."""
        self.set_all_views(False)
        self._side.show()
        self.tabs.setCurrentIndex(number)

    def show_panel(self, panel: QWidget) -> None:
        """The panel at the side that is, or holds, this one."""
        holder = self._cards[panel] if isinstance(panel, View) else panel
        self.show_tab(self.tabs.indexOf(holder))

    def show_sheet(self) -> None:
        """All keys."""
        self._sheet = Sheet(self)
        self._sheet.show()

    def set_all_views(self, together: bool) -> None:
        """All views at once, or one beside the resonogram."""
        self.all.setChecked(together)
        if together == (self._side.currentWidget() is self._grid):
            return
        if together:
            for entry, view in self._side_views:
                if entry.place:
                    self._grid_layout.addWidget(card(view), *entry.place)
            self._side.setCurrentWidget(self._grid)
            half = self._splitter.width() // 2
            self._splitter.setSizes([half, half])
        else:
            for view in (view for entry, view in self._side_views if entry.place):
                frame = self._cards[view]
                layout = frame.layout()
                assert layout is not None  # an empty layout is false
                layout.addWidget(view)
            while self._grid_layout.count():
                item = self._grid_layout.takeAt(0)
                widget = item.widget() if item else None
                if widget:
                    widget.deleteLater()
            self._side.setCurrentWidget(self.tabs)
            width = self._splitter.width()
            self._splitter.setSizes([width - 390, 390])

    def save_picture(self, view: View, path: Path | None = None) -> None:
        """Write a picture of a view; asks where, unless ``path`` is given."""
        if path is None:
            name, _ = QFileDialog.getSaveFileName(
                self,
                f"Picture of the {view.title.lower()}",
                str(self.session.folder / f"{view.title}.png"),
                "Pictures (*.png *.svg)",
            )
            if not name:
                return
            path = Path(name)
        try:
            view.save(path)
            self.status.say(f"Saved {path}")
        except UserError as error:
            self._on_warning(str(error), "picture")

    def _ask_which_picture(self) -> None:
        assert self.pictures
        self.pictures.popup(self.mapToGlobal(QPoint(self.width() // 3, 80)))

    def _show_menu(self) -> None:
        below = self.top.menu.mapToGlobal(QPoint(0, self.top.menu.height()))
        below.setX(below.x() + self.top.menu.width() - self.menu.sizeHint().width())
        self.menu.popup(below)

    def _open_files(self) -> None:
        self.show_panel(self.files)
        self.files.ask_for_files()

    def show_how(self) -> None:
        """How it works."""
        self._how = HowItWorks(self)
        self._how.show()

    def _on_welcome(self, what: str) -> None:
        actions: dict[str, Callable[[], Any]] = {
            "calls": self.start_for_calls,
            "files": self._open_files,
            "how": self.show_how,
            "demo": partial(self.play, DEMO),
            "teach": self.teach,
        }
        actions[what]()

    def start_for_calls(self) -> None:
        """Be a clean microphone for other programs, where that can be; else play it aloud."""
        if pulse.endpoints("output"):
            self.session.keep(virtual_mic=True)
        self.session.start()
        self.show_panel(self.sound)

    def _add_to_applications(self) -> None:
        try:
            self.status.say(f"Saved {desktop.install_entry()}")
        except UserError as error:
            self._on_warning(str(error), "desktop")

    def _save_played(self, target: Path) -> None:
        if self.session.file:
            self.files.clean(self.session.file.path, target)
            self.show_panel(self.files)

    def _toggle_freeze(self) -> None:
        self.resonogram.set_frozen(self.freeze.isChecked())
        self._show_frozen()

    def _show_frozen(self) -> None:
        frozen = self.resonogram.frozen
        self.freeze.setChecked(frozen)
        self.freeze.setText("Go on" if frozen else "Freeze")

    def _toggle_all(self) -> None:
        self.set_all_views(self._side.currentWidget() is not self._grid)

    def _toggle_virtual_mic(self) -> None:
        self.session.keep(virtual_mic=not self.session.kept.virtual_mic)

    def _choose_scale(self, name: str) -> None:
        self.scale.set_value(name)
        self.resonogram.set_scale(name)
        self.session.keep(frequency_scale=name)

    def _next_scale(self) -> None:
        order = (SHARP, EAR, LINEAR)
        self._choose_scale(order[(order.index(self.resonogram.scale_name) + 1) % len(order)])

    def _next_lower(self) -> None:
        order = (CLEANED, DIFFERENCE, PHASE)
        after = order[(order.index(self.resonogram.below) + 1) % len(order)]
        self.below.set_value(after)
        self.resonogram.set_lower(after)

    def _next_preset(self) -> None:
        names = [preset.name for preset in speech_presets()]
        now = self.session.kept.preset
        preset = names[(names.index(now) + 1) % len(names)] if now in names else names[0]
        self.session.keep(preset=preset)
        self.status.say(f"Preset {preset}")

    def _change_limit(self, step_db: int) -> None:
        now = self.session.kept.limit_db
        now = MOST_DB + LIMIT_STEP_DB if now < 0 else now
        after = max(0.0, now + step_db)
        self.session.keep(limit_db=-1.0 if after > MOST_DB else after)
        self.status.say(
            "Removes all it can" if after > MOST_DB else f"Removes at most {after:.0f} dB"
        )

    def _go_back(self) -> None:
        if not self.banner.isHidden():
            self.banner.hide()
        elif self.wheel.followed is not None:
            self.follow(None)
        elif self.session.player:
            self.session.end_playing()
        else:
            self.set_all_views(False)

    # What happens.

    def _show_page(self) -> None:
        session = self.session
        begun = session.kept.welcomed or session.listening or session.player is not None
        self._pages.setCurrentIndex(int(begun))
        self._side.setVisible(begun)

    def _on_state(self, state: State, sentence: str) -> None:
        self._show_page()
        self._begin()
        if state == State.NO_DEVICE:
            self.banner.say(sentence, "device", ("Choose a device", self._choose_device))
        elif state == State.STOPPED and sentence not in ("not listening", "stopped"):
            self.banner.say(sentence, "engine", ("Start again", self.session.start))
        elif state == State.LISTENING:
            self.banner.settle("device", "engine")
            if self.session.has_its_devices:
                self.banner.settle("away")
        said = {State.LISTENING: "listening", State.STOPPED: "off"}.get(state, sentence)
        self.status.say(f"{said[:1].upper()}{said[1:]}.")

    def _choose_device(self) -> None:
        self.show_panel(self.sound)
        self.sound.look_for_devices_again()
        self.sound.input.setFocus()

    def _show(self, setting: QWidget) -> None:
        """Scroll the sound settings to one of them."""
        self.show_panel(self.sound)
        setting.setFocus()
        # Once the tab has its place.
        QTimer.singleShot(0, partial(self.sound.ensureWidgetVisible, setting))

    def _on_keyword(self, event: KeywordEvent) -> None:
        self.status.say(f"Heard “{event.keyword}” (score {event.score:.2f})")

    def _on_warning(self, text: str, about: str) -> None:
        actions: dict[str, tuple[str, Callable[[], Any]]] = {
            "overloads": ("Use longer blocks", lambda: self.session.keep(block_ms=20.0)),
            "howls": ("Be a microphone instead", lambda: self.session.keep(virtual_mic=True)),
            "device": ("Choose a device", self._choose_device),
            "silence": ("Choose another", self._choose_device),
            "devices": ("Look again", self.sound.look_for_devices_again),
            "recording": ("Choose a folder", partial(self._show, self.sound.choose_folder)),
            "actions": ("Show actions", partial(self._show, self.sound.apply)),
            "words": ("Teach it again", self.teach),
            "file": ("Open another", self._open_files),
        }
        text = text.replace(
            "longer blocks (--block-ms 20) or fewer programs help",
            "longer blocks or fewer programs help",
        )
        text = text.replace("use headphones, or --virtual-mic", "use headphones")
        self.banner.say(text, about, actions.get(about))

    def _on_source(self) -> None:
        self._show_page()
        self.resonogram.clear()
        self._show_frozen()
        self.feed = Feed()

    # Looks.

    def _wanted_theme(self) -> Theme:
        return themes.THEMES.get(self.session.kept.theme) or themes.system_theme()

    def _choose_theme(self, name: str) -> None:
        self.session.keep(theme=name)
        self._dress()

    def _toggle_theme(self) -> None:
        self._choose_theme("light" if self.theme is themes.DARK else "dark")

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
        """The resonogram needs the room more than the levels do."""
        super().resizeEvent(event)
        self._levels_card.setVisible(self.height() >= LEVELS_FROM)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Space, if nothing that has the focus wants it."""
        assert event
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.session.toggle()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Files are welcome."""
        assert event
        data = event.mimeData()
        if data and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Clean what was dropped."""
        assert event
        data = event.mimeData()
        paths = (
            [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()] if data else []
        )
        self.open_files(paths)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 (Qt's name)
        """On the screen as a whole, once the system has put its frame around it."""
        super().showEvent(event)
        self._timer.setInterval(FRAME_MS)
        QTimer.singleShot(0, partial(fit_to_screen, self))

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
        self._timer.stop()
        if self._teacher:
            self._teacher.close()
        self.session.keep(width=self.width(), height=self.height())
        self.play_with_one.stop()
        self.sound.close_watch()
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
