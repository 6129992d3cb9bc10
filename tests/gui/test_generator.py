"""A tone or a sweep in place of the microphone: seen, changed, and left again."""

import numpy as np

from resonance.app.live.generator import SWEEP, TONE, ToneGenerator
from resonance.app.live.settings import EngineSettings

MS = 60_000


def test_a_tone_is_seen_and_its_frequency_can_be_chosen(qtbot, make_window):
    window = make_window()
    window.session.generate(TONE)
    generator = window.session.generator
    qtbot.waitUntil(lambda: window.levels.input.db > -30, timeout=MS)
    assert window.top.state.text() == "Playing a tone"
    bar = window.player_bar
    assert bar.tone.isVisible()
    assert not bar.place.isVisible()
    assert not bar.save.isVisible()
    bar.tone.setValue(bar.tone.maximum())
    assert generator.tone_hz == 8000
    bar.pause.click()
    assert generator.phase == "paused"
    bar.back.click()
    assert window.session.player is None
    assert not bar.isVisible()


def test_a_sweep_goes_up_without_a_jump():
    generator = ToneGenerator(SWEEP, EngineSettings())
    blocks = [generator._take_block(960) for _ in range(100)]
    assert 100 < generator.tone_hz < 1000
    sound = np.concatenate(blocks)
    assert np.abs(np.diff(sound)).max() < 0.2 * 2 * np.pi * 1000 / 48000
    assert abs(np.abs(sound).max() - 0.2) < 0.01
