"""The spotter on a stream: when it fires, when it stays quiet, what its sensitivity means."""

import json

import numpy as np
import pytest
import soundfile

from resonance.app.files import spot_file
from resonance.app.onnx_models import DenoiserModel, SpotterState
from resonance.app.pipeline import Pipeline
from resonance.app.spotter import Sensitivity, Spotter, last_loud, threshold_for
from resonance.assets import DEMO
from resonance.dsp.keyword_step import KeywordStep
from resonance.dsp.trigger import ONCE, TWICE, Apart, Trigger, smoothed
from resonance.models.synthetic_voices import speak


@pytest.fixture(scope="module")
def word():
    """Half a second of silence, "yes", a second of silence, with faint noise [samples]."""
    rng = np.random.default_rng(0)
    spoken = speak("yes", voice="en-us+m3", words_per_minute=140)
    sound = np.concatenate([np.zeros(8000), spoken, np.zeros(16000)])
    return (sound + 3e-4 * rng.standard_normal(len(sound))).astype(np.float32), len(spoken)


def test_the_time_is_the_end_of_the_word(spotter, word):
    sound, length = word
    (event,) = Pipeline(16000, spotter=spotter).process(sound)
    assert event.keyword == "yes"
    assert event.time_s == pytest.approx(0.5 + length / 16000, abs=0.12)


def test_reset_does_not_fire_again(spotter, word):
    sound, _ = word
    pipeline = Pipeline(16000, spotter=spotter)
    events, start = [], 0
    while not events and start < len(sound):
        events = pipeline.process(sound[start : start + 160])
        start += 160
    assert events
    pipeline.reset()
    assert pipeline.process(sound[start:]) == []


def test_words_said_twice_are_detected_twice(spotter, word):
    sound, _ = word
    events = Pipeline(16000, spotter=spotter).process(np.concatenate([sound, sound]))
    assert [e.keyword for e in events] == ["yes", "yes"]


def test_nothing_is_computed_in_digital_silence_and_nothing_changes(spotter, word, monkeypatch):
    sound, _ = word
    mute = np.zeros(6 * 16000, np.float32)
    first, second = Pipeline(16000, spotter=spotter).process(np.concatenate([sound, mute, sound]))
    assert first.keyword == second.keyword == "yes"
    assert second.time_s - first.time_s == pytest.approx((len(sound) + len(mute)) / 16000, abs=0.05)

    frames = np.random.default_rng(0).normal(size=(300, 2, spotter.bands)).astype(np.float32)
    frames[100:200] = frames[100]
    run, runs = KeywordStep.run, []
    monkeypatch.setattr(KeywordStep, "run", lambda *given: (runs.append(1), run(*given)))

    def outputs():
        state = SpotterState(spotter)
        runs.clear()
        return [np.concatenate([state.step(given), state.embedding]) for given in frames]

    resting, steps = outputs(), len(runs)
    monkeypatch.setattr(KeywordStep, "unchanged", lambda step: False)
    np.testing.assert_array_equal(resting, outputs())
    assert steps < len(runs) - 40


def test_heard_twice_a_word_said_apart_counts_for_more(spotter):
    rng = np.random.default_rng(0)
    level = 10 ** rng.uniform(-8, -2, 12).repeat(100)[:, None]
    hops = (level * rng.gamma(2.0, size=(1200, spotter.pooling.shape[1]))).astype(np.float32)
    voices = rng.uniform(size=12).repeat(100).astype(np.float32)

    def listen(twice):
        listener, found = Spotter(spotter, Sensitivity(), twice=True), []
        listener.twice = twice
        for hop, voice in zip(hops, voices, strict=True):
            steps = listener.steps
            listener.hop(hop, hop, voice=voice)
            if listener.steps > steps:
                found.append((listener.probabilities, listener.scores, voice))
        return (np.array(each) for each in zip(*found, strict=True))

    (probabilities, once, _), (_, twice, heard) = listen(False), listen(True)
    known, silence = probabilities[:, : len(spotter.words)], spotter.labels.index("_silence_")
    np.testing.assert_allclose(once, smoothed(known, ONCE), atol=1e-6)
    said, readings = Apart(), zip(probabilities[:, silence], heard, strict=True)
    apart = np.array([said.update(*reading) for reading in readings])
    assert apart.min() < -0.6 < 0.0 < apart.max()
    odds = spotter.facts["apart_odds"] * apart[:, None]
    np.testing.assert_allclose(twice, smoothed(known, TWICE, odds), atol=1e-6)


def test_a_model_that_says_nothing_of_words_apart_hears_twice_as_once(spotter, monkeypatch):
    monkeypatch.setitem(spotter.facts, "apart_odds", 0.0)
    frames = np.random.default_rng(0).gamma(2.0, size=(400, spotter.pooling.shape[1]))
    once, twice = (Spotter(spotter, Sensitivity(), twice=t) for t in (False, True))
    for hop in 1e-4 * frames.astype(np.float32):
        once.hop(hop, voice=1.0)
        twice.hop(hop, hop, voice=1.0)
        np.testing.assert_allclose(twice.scores, once.scores, atol=1e-6)


def test_what_is_said_apart_but_none_of_the_words_never_fires(spotter):
    for rate in (1.0, 1000.0):
        thresholds = Sensitivity(rate).thresholds(spotter, twice=True)
        trigger = Trigger(thresholds, TWICE)
        for step in range(60):
            nothing = np.zeros(len(spotter.words))
            assert trigger.update(0.032 * step, nothing, spotter.facts["apart_odds"]) is None


@pytest.mark.parametrize("bypassed", [False, True])
def test_a_bypass_that_a_word_switches_does_not_make_it_fire_again(spotter, bypassed):
    sound = 1e-3 * np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    spoken = speak("yes", voice="en-us+m3", words_per_minute=140)
    sound[16000 : 16000 + len(spoken)] += spoken
    pipeline = Pipeline(16000, denoiser=DenoiserModel.preset("call"), spotter=spotter)
    pipeline.bypass, events = bypassed, []
    for start in range(0, len(sound), 512):
        block = sound[start : start + 512]
        if found := pipeline.process(block, np.empty_like(block)):
            pipeline.bypass = not bypassed
            events += found
    assert [event.keyword for event in events] == ["yes"]


@pytest.mark.parametrize("apart_s", [0.7, 0.85, 1.0, 1.5])
def test_words_said_twice_in_haste_are_detected_twice(spotter, apart_s):
    spoken = speak("yes", voice="en-us+m3", words_per_minute=170)
    sound = 3e-4 * np.random.default_rng(0).standard_normal(48000)
    for start in (8000, 8000 + round(16000 * apart_s)):
        sound[start : start + len(spoken)] += spoken
    first, second = Pipeline(16000, spotter=spotter).process(sound.astype(np.float32))
    assert first.keyword == second.keyword == "yes"
    assert second.time_s - first.time_s == pytest.approx(apart_s, abs=0.25)


@pytest.mark.parametrize(("before_s", "after_s"), [(0.0, 0.3), (0.0, 0.0), (0.5, 0.0)])
def test_a_word_that_begins_or_ends_a_file_is_detected(spotter, tmp_path, before_s, after_s):
    spoken = speak("yes", voice="en-us+m3", words_per_minute=140)
    around = [np.zeros(round(16000 * seconds)) for seconds in (before_s, after_s)]
    path = tmp_path / "word.wav"
    soundfile.write(path, np.concatenate([around[0], spoken, around[1]]), 16000)
    result = spot_file(path, lambda rate, channels: Pipeline(rate, channels, spotter=spotter))
    (event,) = result.events
    assert event.keyword == "yes"
    assert event.time_s == pytest.approx(before_s + len(spoken) / 16000, abs=0.15)


def test_more_false_accepts_allowed_means_lower_thresholds(spotter):
    for name in spotter.words:
        thresholds = [threshold_for(spotter, name, rate) for rate in (0.05, 0.5, 5.0, 50.0)]
        assert thresholds == sorted(thresholds, reverse=True)
        assert thresholds[0] > thresholds[-1]
    one = Pipeline(16000, spotter=spotter, sensitivity=Sensitivity(words={"stop": 20.0})).spotter
    usual = Pipeline(16000, spotter=spotter).spotter
    changed = one.thresholds != usual.thresholds
    assert [name for name, c in zip(spotter.words, changed, strict=True) if c] == ["stop"]


def test_the_view_shows_how_the_oscillators_settled(spotter, demo):
    noisy, _, samplerate = demo
    pipeline = Pipeline(samplerate, spotter=spotter)
    pipeline.process(noisy[: 4 * samplerate])
    state = pipeline.spotter.state
    heads, tokens, dimensions = state.settled.shape
    np.testing.assert_allclose(np.linalg.norm(state.settled, axis=-1), 1.0, atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(state.anchors, axis=-1), 1.0, atol=1e-5)
    assert state.anchors.shape == (heads, tokens, dimensions)
    assert state.order.shape == state.pull.shape == (heads, tokens)
    assert ((state.order >= 0) & (state.order <= 1.001)).all()
    np.testing.assert_allclose(state.attention.sum(-1), 1.0, atol=1e-4)


def test_level_does_not_change_what_is_detected(spotter, demo):
    noisy, _, samplerate = demo
    truth = [t["keyword"] for t in json.loads(DEMO.with_suffix(".json").read_text())]
    for gain in (0.1, 3.0):
        events = Pipeline(samplerate, spotter=spotter).process(noisy * np.float32(gain))
        assert [e.keyword for e in events] == truth


def test_where_a_word_ends():
    quiet, loud = -2.0, 0.0
    assert last_loud(np.array([quiet, loud, loud, -0.5, quiet, quiet])) == 3
    assert last_loud(np.array([-2.0, 0.0, -1.15, -1.9])) == 1
