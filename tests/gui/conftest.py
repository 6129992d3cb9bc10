"""A window without devices, and boards as engines leave them."""

import threading

import pytest
import soundfile

from resonance.app.gui import theme as themes
from resonance.app.gui.snapshot import demo_board
from resonance.app.gui.widgets import garbage_collected_here, wait_for_asides
from resonance.app.live.messages import Connection, State


@pytest.fixture(autouse=True)
def _nobody_settings(monkeypatch, tmp_path):
    """Nobody's own settings, words or sound server."""
    monkeypatch.setenv("RESONANCE_CONFIG", str(tmp_path / "settings" / "config.toml"))
    monkeypatch.setenv("RESONANCE_WORDS", str(tmp_path / "words"))
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/none")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module", autouse=True)
def _garbage(qapp):
    """As in the program."""
    with garbage_collected_here():
        yield


@pytest.fixture(scope="session")
def board():
    """What an engine shows after the demo recording."""
    return demo_board()


@pytest.fixture(scope="session")
def snapshot(board, tmp_path_factory):
    path = tmp_path_factory.mktemp("boards") / "snapshot.npz"
    board.save(path)
    return path


@pytest.fixture
def make_window(qtbot, qapp):
    """Makes windows that are closed at the end."""
    from resonance.app.gui.window import Window

    made = []

    def make(**kept):
        window = Window(qapp)
        window.session.keep(**kept)
        qtbot.addWidget(window)
        window.resize(1280, 800)
        window.show()
        qtbot.waitUntil(
            lambda: window._warm and window.sound.word_actions.apply.isEnabled(), timeout=20_000
        )
        made.append(window)
        return window

    yield make
    for window in made:
        window.quit()
    # What asks for devices must not run on while the next test sets its environment.
    wait_for_asides()
    for thread in threading.enumerate():
        if thread.name == "sound server":
            thread.join(5)
            assert not thread.is_alive(), "it looks for devices of a window that is closed"


class Recorded:
    """An engine whose board stands still."""

    settings = None

    def __init__(self, board):
        self.board = board
        self.changes = []

    def start(self):
        pass

    def messages(self):
        return []

    def change(self, **changes):
        self.changes.append(changes)

    def close(self):
        pass


CONNECTION = Connection("USB Microphone", "Headphones", 22050, device_latency_s=(0.01, 0.02))


@pytest.fixture
def window(make_window, board):
    """A window that shows the recorded board."""
    made = make_window(welcomed=True)
    show_board(made, board)
    return made


def show_board(window, board):
    window.session.engine = Recorded(board)
    window.session.live.connection = CONNECTION
    window.session._become(State.LISTENING, "listening")
    window.on_frame()


@pytest.fixture
def talk(tmp_path, demo):
    """Five seconds of the demo recording."""
    noisy, _, samplerate = demo
    path = tmp_path / "talk.wav"
    soundfile.write(path, noisy[: 5 * samplerate], samplerate)
    return path


@pytest.fixture(scope="session")
def dark():
    return themes.DARK
