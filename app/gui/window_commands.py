"""What keys, the menu and the first page do in the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QObject, QPoint
from PyQt6.QtGui import QKeySequence, QShortcut
from PyQt6.QtWidgets import QFileDialog

from resonance.app import pulse
from resonance.app.errors import UserError
from resonance.app.gui import desktop
from resonance.app.gui import theme as themes
from resonance.app.gui.shortcuts import Sheet, all_keys
from resonance.app.gui.sound_cleaning import MOST_DB
from resonance.app.gui.teach_word import TeachWord
from resonance.app.gui.views.view import View
from resonance.app.gui.welcome import HowItWorks
from resonance.app.presets import speech_presets
from resonance.assets import DEMO

if TYPE_CHECKING:
    from resonance.app.gui.window import Window

#: Step of the keys that change the limit, dB.
LIMIT_STEP_DB = 3


class WindowCommands(QObject):
    """Everything people can ask the window for, a method each.

    Parameters
    ----------
    window
        Of which all parts are there.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.window, self.session = window, window.session
        self.teacher: TeachWord | None = None  #: while it is open
        self.shortcuts: dict[str, QShortcut] = {}

    def bind_keys(self) -> None:
        """Let every key do what the sheet of keys says."""
        commands = self._by_name()
        for name, keys, _ in all_keys():
            if name != "toggle":  # Space also presses the button that has the focus
                shortcut = QShortcut(QKeySequence(keys), self.window)
                shortcut.activated.connect(commands[name])
                self.shortcuts[name] = shortcut

    def _by_name(self) -> dict[str, Callable[[], Any]]:
        window, session = self.window, self.session
        return {
            "bypass": lambda: session.set_bypass(not session.bypass),
            "record": session.toggle_recording,
            "save_last": session.save_last,
            "virtual_mic": lambda: session.keep(virtual_mic=not session.kept.virtual_mic),
            "freeze": window.main.freeze.click,
            "scale": window.main.next_scale,
            "lower": window.main.next_lower,
            "less_limit": lambda: self.change_limit(-LIMIT_STEP_DB),
            "more_limit": lambda: self.change_limit(LIMIT_STEP_DB),
            "preset": self.next_preset,
            "all_views": self.toggle_all_views,
            "teach": self.teach,
            "open": self.ask_for_files,
            "save_file": window.player_bar.save.click,
            "picture": self.ask_which_picture,
            "refresh": window.sound.devices.look_for_devices_again,
            "theme": self.toggle_theme,
            "back": self.go_back,
            "sheet": self.show_sheet,
            "quit": self.quit,
            **{
                f"tab_{key}": partial(window.side.show_panel, panel)
                for key, (_, panel) in window.side.panels.items()
            },
        }

    def choose_on_first_page(self, what: str) -> None:
        """One of the things that the first page offers."""
        commands: dict[str, Callable[[], Any]] = {
            "calls": self.start_for_calls,
            "files": self.ask_for_files,
            "how": self.show_how,
            "demo": partial(self.play, DEMO),
            "teach": self.teach,
        }
        commands[what]()

    # Files.

    def ask_for_files(self) -> None:
        """Ask which files to clean."""
        self.window.side.show_panel(self.window.files)
        self.window.files.ask_for_files()

    def open_files(self, paths: Sequence[Path]) -> None:
        """List files, and play the first of them; they are cleaned when that is asked for."""
        if not paths:
            return
        jobs = self.window.files.add(paths)
        self.window.side.show_panel(self.window.files)
        if not jobs:
            self.window.status.say("There are no new sound files.")
        elif not self.session.player:
            self.play(jobs[0].source)

    def play(self, path: Path) -> None:
        """Play a file in place of the microphone."""
        try:
            self.session.play(path)
        except UserError as error:
            self.window.messages.warn(str(error), "file")
            return
        self.window.player_bar.pause.setFocus()  # Space would press the button that began it

    def save_played(self, target: Path) -> None:
        """Clean the file that is played into another one."""
        if self.session.file:
            self.window.files.clean(self.session.file.path, target)
            self.window.side.show_panel(self.window.files)

    def save_picture(self, view: View, path: Path | None = None) -> None:
        """Write a picture of a view; asks where, unless ``path`` is given."""
        if path is None:
            name, _ = QFileDialog.getSaveFileName(
                self.window,
                f"Picture of the {view.title.lower()}",
                str(self.session.folder / f"{view.title}.png"),
                "Pictures (*.png *.svg)",
            )
            if not name:
                return
            path = Path(name)
        try:
            view.save(path)
            self.window.status.say(f"Saved {path}")
        except UserError as error:
            self.window.messages.warn(str(error), "picture")

    def ask_which_picture(self) -> None:
        """Open the menu of pictures."""
        corner = self.window.mapToGlobal(QPoint(self.window.width() // 3, 80))
        self.window.menu.pictures.popup(corner)

    # Sound.

    def start_for_calls(self) -> None:
        """Be a clean microphone for other programs, where that can be; else play it aloud."""
        if pulse.endpoints("output"):
            self.session.keep(virtual_mic=True)
        self.session.start()
        self.window.side.show_panel(self.window.sound)

    def next_preset(self) -> None:
        """The preset after this one."""
        names = [preset.name for preset in speech_presets()]
        now = self.session.kept.preset
        preset = names[(names.index(now) + 1) % len(names)] if now in names else names[0]
        self.session.keep(preset=preset)
        self.window.status.say(f"Preset {preset}")

    def change_limit(self, step_db: int) -> None:
        """Remove at most so much more, dB."""
        now = self.session.kept.limit_db
        now = MOST_DB + LIMIT_STEP_DB if now is None else now
        after = max(0.0, now + step_db)
        self.session.keep(limit_db=None if after > MOST_DB else after)
        self.window.status.say(
            "Removes all it can" if after > MOST_DB else f"Removes at most {after:.0f} dB"
        )

    def teach(self) -> None:
        """Open the dialog that teaches a word, or raise it."""
        if self.teacher is None:
            self.teacher = TeachWord(self.session, self.window.theme, self.window)
            self.teacher.finished.connect(self._on_taught)
        self.teacher.open_for()

    def _on_taught(self, _: int) -> None:
        self.teacher = None

    # Views and window.

    def follow(self, number: int | None) -> None:
        """Mark one oscillator in every view, or none; play with that one."""
        for view in self.window.views:
            view.follow(number)

    def toggle_all_views(self) -> None:
        """All views at once, or one beside the resonogram."""
        self.window.side.set_all_views(not self.window.side.has_all_views)

    def toggle_theme(self) -> None:
        """Dark or light."""
        self.window.choose_theme("light" if self.window.theme is themes.DARK else "dark")

    def go_back(self) -> None:
        """Away with what is in front: a message, a followed oscillator, a file, all views."""
        if not self.window.banner.isHidden():
            self.window.banner.hide()
        elif self.window.wheel.followed is not None:
            self.follow(None)
        elif self.session.player:
            self.session.end_playing()
        else:
            self.window.side.set_all_views(False)

    def show_sheet(self) -> None:
        """All keys."""
        self.sheet = Sheet(self.window)
        self.sheet.show()

    def show_how(self) -> None:
        """How it works."""
        self.how = HowItWorks(self.window)
        self.how.show()

    def add_to_applications(self) -> None:
        """An entry in the system's menu of applications."""
        try:
            self.window.status.say(f"Saved {desktop.install_entry()}")
        except UserError as error:
            self.window.messages.warn(str(error), "desktop")

    def quit(self) -> None:
        """End everything, also what would run on."""
        self.window.quit()
