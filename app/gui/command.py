"""``resonance gui``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from resonance.app.errors import UserError
from resonance.app.options import FILES


@click.command()
@click.argument("files", nargs=-1, type=FILES, metavar="[FILES...]")
def gui(files: tuple[Path, ...]) -> None:
    """Open the window; FILES are put into the queue to be cleaned, the first one is shown."""
    try:
        from resonance.app.gui.session import open_session

        opened = open_session()  # the engine loads while the rest is imported

        from PyQt6.QtCore import QTimer
        from PyQt6.QtWidgets import QApplication

        from resonance.app.gui.widgets import wait_for_asides
        from resonance.app.gui.window import Window
    except ImportError as error:
        raise UserError(
            f"the window cannot be opened ({error}); in the source folder: pip install '.[gui]', "
            "and on Debian ./system-packages.sh gui"
        ) from error
    application = QApplication(sys.argv[:1])
    application.setApplicationName("Resonance")
    application.setApplicationDisplayName("Resonance")
    application.setDesktopFileName("resonance")
    window = Window(application, opened)
    window.show()
    window.open_files(list(files))
    signal.signal(signal.SIGINT, lambda *_: window.close())
    signal.signal(signal.SIGTERM, lambda *_: window.close())
    awake = QTimer()  # so that Python sees signals
    awake.timeout.connect(lambda: None)
    awake.start(200)
    application.exec()
    wait_for_asides()
