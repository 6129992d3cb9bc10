"""Feedback is told from tones that come from elsewhere."""

import numpy as np
import pytest
from scipy.signal import lfilter

from resonance.app.live.board import Board
from resonance.app.live.processor import Processor, board_facts
from resonance.app.pipeline import Pipeline

RATE, BLOCK = 48000, 480


class Room:
    """A processor in a room: what it plays comes back after ``delay_s``, ``loop_gain`` as loud."""

    def __init__(self, denoiser, loop_gain=0.0, delay_s=0.04, resonance_hz=1100.0):
        pipeline = Pipeline(RATE, denoiser=denoiser)
        pipeline.bypass = True  # the worst case: nothing is taken for noise
        board = Board(board_facts(pipeline, 1.0))
        self.processor = Processor(pipeline, board, guard_feedback=True, clock=lambda: 0.0)
        self._pole = 0.995 * np.exp(2j * np.pi * resonance_hz / RATE)
        self._gain = loop_gain * (1 - abs(self._pole)) * 2
        self._on_its_way = np.zeros(round(delay_s * RATE), np.float32)
        self._state = np.zeros(1, complex)

    def play(self, sound):
        """What is played [samples] while ``sound`` comes from elsewhere."""
        out = np.empty(len(sound) // BLOCK * BLOCK, np.float32)
        for start in range(0, len(out), BLOCK):
            back, self._state = lfilter(
                [self._gain], [1, -self._pole], self._on_its_way[:BLOCK], zi=self._state
            )
            microphone = back.real + sound[start : start + BLOCK]
            microphone = np.clip(microphone, -1, 1).astype(np.float32)
            played = out[start : start + BLOCK]
            self.processor.process(microphone, played)
            self._on_its_way = np.concatenate([self._on_its_way[BLOCK:], played])
        return out

    @property
    def howls(self):
        return self.processor.counters["howls"]


def tone(hz, seconds, level=0.4, attack_s=0.05):
    t = np.arange(round(seconds * RATE)) / RATE
    rise = np.clip(t / attack_s, 0, 1) * np.clip((seconds - t) / attack_s, 0, 1)
    return (level * rise * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def loudness(out, each_s=0.05):
    """RMS of stretches [stretches]."""
    each = round(each_s * RATE)
    return np.sqrt(np.square(out[: len(out) // each * each].reshape(-1, each)).mean(axis=1))


@pytest.mark.parametrize("loop_gain", [1.2, 2.0, 6.0])
@pytest.mark.parametrize("delay_s", [0.02, 0.12])
def test_a_loop_is_turned_down_and_kept_down(denoiser, rng, loop_gain, delay_s):
    room = Room(denoiser, loop_gain, delay_s)
    noise = (0.01 * rng.standard_normal(10 * RATE)).astype(np.float32)
    loud = loudness(room.play(noise)) > 0.2
    assert room.howls >= 1
    assert loud.mean() < 0.3, "it would be loud for good"
    first = int(np.argmax(loud)) if loud.any() else 0
    assert loud[first : first + 40].mean() < 0.9, "within two seconds of the first howl"


@pytest.mark.parametrize("hz", [250.0, 1000.0, 3100.0])
@pytest.mark.parametrize("level", [0.2, 0.9])
def test_a_test_tone_is_no_feedback(denoiser, hz, level):
    room = Room(denoiser)
    loud = loudness(room.play(tone(hz, 6.0, level)))
    assert room.howls == 0
    assert np.mean(loud < 0.6 * level / np.sqrt(2)) < 0.12, "it dips once, at most"


def test_whistles_and_an_organ_are_no_feedback(denoiser):
    room = Room(denoiser)
    notes = [tone(hz, 0.7, 0.5) for hz in (523, 587, 659, 698, 784, 880, 988, 1047) * 2]
    swell = tone(1500, 3.0, 0.9, attack_s=1.5)  # a whistle that grows and fades
    room.play(np.concatenate([*notes, swell, swell]))
    assert room.howls == 0


def test_a_tone_in_a_room_that_gives_a_little_back_is_no_feedback(denoiser):
    room = Room(denoiser, loop_gain=0.3)
    room.play(tone(1100, 6.0, 0.5))
    assert room.howls == 0


def test_a_tone_that_is_hardly_played_is_not_even_probed(denoiser):
    room = Room(denoiser)
    room.processor.pipeline.bypass = False
    sound = tone(1000, 4.0, 0.8)
    out = room.play(sound)
    assert room.howls == 0
    if loudness(out)[40:].max() < 0.03:
        assert room.processor._gain == 1.0


def test_speech_and_noise_are_no_feedback(denoiser, demo, rng):
    noisy, clean, samplerate = demo
    times = np.arange(8 * RATE) * samplerate / RATE
    for sound in (clean / np.abs(clean).max(), noisy / np.abs(noisy).max()):
        room = Room(denoiser)
        room.play(np.interp(times, np.arange(len(sound)), sound).astype(np.float32))
        assert room.howls == 0
    room = Room(denoiser)
    room.play((0.3 * rng.standard_normal(2 * RATE)).astype(np.float32))
    assert room.howls == 0
