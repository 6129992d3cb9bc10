"""A file that is played: seeking, keywords, loudspeakers that are chosen or go away."""

import time
from types import SimpleNamespace

import pytest
import soundfile

from resonance.app.devices import Device
from resonance.app.live import loudspeaker as loudspeakers
from resonance.app.live.messages import Note
from resonance.app.live.player import FilePlayer
from resonance.app.live.settings import EngineSettings
from resonance.assets import DEMO


@pytest.fixture
def player():
    """The demo recording, step by step, without a thread."""
    made = FilePlayer(DEMO, EngineSettings())
    made._prepare()
    made._processor = made._make_processor()
    return made


def step(player, until_s):
    silent = SimpleNamespace(play=lambda block: None)
    while player.place_s < until_s:
        player._step(silent)


def test_a_place_sought_while_it_goes_to_another_is_gone_to_next(player):
    begin_anew, places = player._begin_anew, []

    def slow():
        if not places:
            player.seek(9.0)
        places.append(player._place / player.samplerate)
        begin_anew()

    player._begin_anew = slow
    player.seek(3.0)
    step(player, 9.02)
    assert places == pytest.approx([3.0, 9.0], abs=1e-3)


def test_keywords_keep_their_times_after_a_seek(player):
    step(player, 0.1)
    player.seek(3.0)
    step(player, 5.0)
    (detection,) = player.board.events.since()
    assert detection["keyword"] == "no"
    assert detection["time_s"] == pytest.approx(4.09 - 3.0 + 0.1, abs=0.1)


class Loudspeaker:
    """In the place of PortAudio; gone after the first block."""

    PortAudioError = OSError

    def __init__(self):
        self.opened = []

    def OutputStream(self, samplerate, **options):  # noqa: N802 (sounddevice's name)
        self.opened.append(options["device"])
        self.blocks = 0
        return self

    def start(self):
        pass

    def write(self, block):
        self.blocks += 1
        if self.blocks > 1:
            raise OSError("unplugged")

    abort = close = start


def test_it_plays_into_the_device_that_is_chosen_and_tells_when_it_goes(monkeypatch):
    speaker, told = Loudspeaker(), []
    monkeypatch.setattr(loudspeakers, "sounddevice", lambda: speaker)
    found = [Device(name, "ALSA", 0, 2, 48000.0) for name in ("Headphones", "Other")]
    monkeypatch.setattr(loudspeakers, "list_devices", lambda: found)
    player = FilePlayer(DEMO, EngineSettings(output_name="Headphones"))
    player.start()

    def wait_for(count):
        end = time.monotonic() + 20
        while sum("unplugged" in m.text for m in told if isinstance(m, Note)) < count:
            assert time.monotonic() < end, told
            told.extend(player.messages())
            time.sleep(0.01)

    wait_for(1)
    player.change(output_name="Other")
    wait_for(2)
    player.close()
    assert speaker.opened == ["Headphones, ALSA", "Other, ALSA"]


def test_its_length_is_known_before_it_is_read():
    player = FilePlayer(DEMO, EngineSettings())
    assert player.length_s == pytest.approx(soundfile.info(DEMO).duration, abs=0.01)
    assert not player.at_end
    assert len(player.sound) == 0
