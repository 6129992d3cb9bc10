"""``resonance gui``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resonance.app.errors import UserError
from resonance.app.options import FILES

if TYPE_CHECKING:
    from PyQt6.QtWidgets import QApplication

    from resonance.app.gui.window import Window


@click.command()
@click.argument("files", nargs=-1, type=FILES, metavar="[FILES...]")
def gui(files: tuple[Path, ...]) -> None:
    """Open the window; FILES are listed, and the first one is played.

    There is one window: a second start raises it.
    """
    try:
        from resonance.app.gui.instance import Instance, hand_over

        if hand_over(files):
            click.echo("Resonance is open already; its window comes to the front.", err=True)
            return

        from resonance.app.gui.window_session import open_session

        opened = open_session()  # the engine loads while the rest is imported

        from PyQt6.QtWidgets import QApplication

        from resonance.app.gui.widgets import garbage_collected_here, wait_for_asides
        from resonance.app.gui.window import Window
    except ImportError as error:
        raise UserError(
            f"the window cannot be opened ({error}); in the source folder: pip install '.[gui]', "
            "and on Debian ./system-packages.sh gui"
        ) from error
    application = QApplication(sys.argv[:1])
    window = Window(application, opened)
    instance = Instance(lambda paths: _show(window, paths))
    run_on(application, window)
    with garbage_collected_here():
        _show(window, list(files))
        application.exec()
        instance.close()
        wait_for_asides()


def _show(window: Window, paths: list[Path]) -> None:
    window.show_again()
    window.commands.open_files(paths)


def run_on(application: QApplication, window: Window) -> None:
    """Let the microphone outlive the window: the tray, or another start, leads back to it."""
    application.setApplicationName("Resonance")
    application.setApplicationDisplayName("Resonance")
    application.setDesktopFileName("resonance")
    application.setQuitOnLastWindowClosed(False)
    window.closed.connect(application.quit)
    _add_tray(application, window)
    _obey_signals(window)


def _add_tray(application: QApplication, window: Window) -> None:
    """An icon that leads back to the window, where there is a tray."""
    from PyQt6.QtWidgets import QSystemTrayIcon

    from resonance.app.gui.desktop import icon
    from resonance.app.gui.tray import Tray

    application.setWindowIcon(icon())
    if not QSystemTrayIcon.isSystemTrayAvailable():
        return
    tray = Tray(window.session)
    tray.setParent(window)
    tray.window_wanted.connect(window.show_again)
    tray.quit_wanted.connect(window.quit)
    window.hidden.connect(
        lambda: tray.say("The clean microphone runs on. Quit it here, in the tray.")
    )


def _obey_signals(window: Window) -> None:
    """Ctrl-C and polite ends close everything."""
    from PyQt6.QtCore import QTimer

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: window.quit())
    awake = QTimer(window)  # so that Python sees signals
    awake.timeout.connect(lambda: None)
    awake.start(200)
