"""The contract of the streaming pipeline: any block, any rate, no delay, no surprise."""

import json
import time

import numpy as np
import pytest
import soxr

from resonance.app.errors import UserError
from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from resonance.app.spotter import Sensitivity, Spotter
from resonance.app.stretch_pipeline import StretchPipeline
from resonance.assets import DEMO

SAMPLERATES = (8000, 16000, 44100, 48000, 96000)
BLOCKS = (1, 7, 64, 160, 161, 480, 4096)


def noisy_tones(samplerate, seconds=1.0, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * samplerate)) / samplerate
    tone = 0.2 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * 3 * t) > 0)
    return (tone + 0.03 * rng.standard_normal(len(t))).astype(np.float32)


def si_sdr_db(estimate, clean):
    part = (estimate @ clean) / (clean @ clean) * clean
    return 10 * np.log10((part @ part) / np.sum((estimate - part) ** 2))


def run(pipeline, sound, block):
    out, events = np.empty_like(sound), []
    for start in range(0, len(sound), block):
        events += pipeline.process(sound[start : start + block], out[start : start + block])
    return out, events


@pytest.mark.parametrize("samplerate", SAMPLERATES)
def test_blocks_do_not_matter(samplerate, denoiser, spotter):
    sound = noisy_tones(samplerate, 0.6 if samplerate > 20000 else 1.0)
    pipeline = Pipeline(samplerate, denoiser=denoiser, spotter=spotter)
    whole, events = run(pipeline, sound, len(sound))
    for block in BLOCKS:
        pipeline.reset()  # and reset equals a fresh object
        again, events_again = run(pipeline, sound, block)
        np.testing.assert_array_equal(again, whole, err_msg=f"blocks of {block}")
        assert events_again == events


def test_reset_equals_fresh_and_state_matters(denoiser):
    sound = noisy_tones(16000)
    sound[:100] = 0.0  # nothing is heard yet where the first gains are due
    pipeline = Pipeline(16000, denoiser=denoiser)
    first, _ = run(pipeline, sound, 480)
    second, _ = run(pipeline, sound, 480)
    assert not np.array_equal(first, second), "a second pass without reset remembers the first"
    pipeline.reset()
    third, _ = run(pipeline, sound, 480)
    np.testing.assert_array_equal(first, third)


@pytest.mark.parametrize("samplerate", SAMPLERATES)
def test_sound_is_not_delayed(samplerate, denoiser):
    """An impulse out of silence comes out in the same sample."""
    sound = np.zeros(samplerate // 2, np.float32)
    where = samplerate // 4 + 3
    sound[where] = 0.5
    out, _ = run(Pipeline(samplerate, denoiser=denoiser), sound, 160)
    assert np.argmax(np.abs(out)) == where
    assert np.abs(out[:where]).max() < 1e-6


def test_speech_is_not_delayed(denoiser, demo):
    _, clean, samplerate = demo
    out, _ = run(Pipeline(samplerate, denoiser=denoiser), clean, 512)
    size = 1 << 17
    spectra = [np.fft.rfft(s[:size], 2 * size) for s in (out, clean)]
    correlation = np.fft.irfft(spectra[0] * spectra[1].conj())
    assert np.argmax(correlation) == 0


def test_it_denoises_the_demo_and_hears_its_words(denoiser, spotter, demo):
    noisy, clean, samplerate = demo
    out, events = run(Pipeline(samplerate, denoiser=denoiser, spotter=spotter), noisy, 480)
    assert si_sdr_db(out, clean) > si_sdr_db(noisy, clean) + 3
    truth = json.loads(DEMO.with_suffix(".json").read_text())
    assert [e.keyword for e in events] == [t["keyword"] for t in truth]


@pytest.mark.parametrize(
    ("preset", "samplerate"), [("live", 16000), ("studio", 16000), ("call", 44100)]
)
def test_digital_silence_costs_nothing_and_changes_nothing(preset, samplerate):
    """As from a muted microphone: after a second the bank rests, until the first sound."""
    rng = np.random.default_rng(0)
    lost = (0.01, 0.1), (0.003, 0.0), (0.01, 0.1), (0.0051, 0.0), (0.001, 0.1), (0.02, 0.0)
    pieces = [
        (0.3, 0.1),
        (2.513, 0.0),
        (0.2, 0.05),
        (0.9, 0.0),
        *lost,
        (0.1, 0.1),
        (1.3, 0.0),
        *lost,
    ]
    sound = np.concatenate(
        [level * rng.standard_normal(int(seconds * samplerate)) for seconds, level in pieces]
    ).astype(np.float32)
    sound = np.stack([sound, np.zeros_like(sound) if preset == "call" else sound[::-1]], axis=1)
    model, resting = DenoiserModel.preset(preset), []
    pipeline = Pipeline(samplerate, 2, denoiser=model)
    pipeline.on_hop = lambda stream, gains: resting.append(stream.resting)
    whole, _ = run(pipeline, sound, len(sound))
    assert 0.3 + 1.0 <= resting.index(True) * model.hop_s < 0.3 + 1.1
    assert sum(resting) * model.hop_s == pytest.approx(2.513 - 1.0 + 1.3 - 1.0, abs=0.04)
    assert not whole[int(1.4 * samplerate) : int(2.8 * samplerate), 0].any()
    # 48000: the bank comes to rest and hears sound again, all in one stretch
    stretches = ((StretchPipeline, block) for block in (5000, 48000, len(sound)))
    for kind, block in ((Pipeline, 7), (Pipeline, 480), *stretches):
        pipeline, rested = kind(samplerate, 2, denoiser=model), []
        pipeline.on_hop = lambda stream, gains: rested.append(stream.resting)  # noqa: B023
        cut, _ = run(pipeline, sound, block)
        np.testing.assert_array_equal(cut, whole)
        assert kind is StretchPipeline or rested == resting, "each hop reported, at rest, too"


@pytest.mark.parametrize("kind", [Pipeline, StretchPipeline])
@pytest.mark.parametrize("silent_s", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("preset", ["live", "call", "studio"])
def test_unmuting_lets_no_noise_through_and_hears_no_voice(preset, silent_s, kind):
    """What the network knows of the noise must not fade in silence."""
    samplerate, rng = 16000, np.random.default_rng(0)
    noise = (0.02 * rng.standard_normal(3 * samplerate)).astype(np.float32)
    silence = np.zeros(round(silent_s * samplerate), np.float32)
    sound = np.concatenate([noise[: 2 * samplerate], silence, noise[2 * samplerate :]])
    pipeline, voices = kind(samplerate, denoiser=DenoiserModel.preset(preset)), []
    out = np.empty_like(sound)
    for start in range(0, len(sound), 480):
        pipeline.process(sound[start : start + 480], out[start : start + 480])
        voices.append(pipeline.voice)
    again = 2 * samplerate + len(silence) + pipeline.latency_samples
    assert np.std(out[again : again + samplerate // 10]) < 0.2 * np.std(noise)
    assert max(voices[samplerate // 480 :]) < 0.4
    muted = np.array(voices[2 * samplerate // 480 : (2 * samplerate + len(silence)) // 480])
    assert not muted[2:].any(), "digital silence is nobody's voice"


@pytest.mark.parametrize("preset", ["live", "call", "studio"])
def test_silence_before_the_first_sound_says_that_there_is_no_noise(preset, demo):
    _, clean, samplerate = demo
    word = clean[4 * samplerate :][: samplerate // 2]
    start = int(np.argmax(np.abs(word) > 0.05 * np.abs(word).max()))
    silence = np.zeros(samplerate // 2, np.float32)
    sound = np.concatenate([silence, word[start:], silence])
    pipeline = Pipeline(samplerate, denoiser=DenoiserModel.preset(preset))
    out, _ = run(pipeline, sound, 480)
    late, first = pipeline.latency_samples, samplerate // 10
    kept = out[len(silence) + late :][:first]
    assert np.sum(kept**2) > 0.95 * np.sum(word[start : start + first] ** 2)


def test_a_network_run_as_a_graph_pauses_in_silence_as_the_compiled_one_does(monkeypatch):
    samplerate, rng = 16000, np.random.default_rng(0)
    noise = (0.02 * rng.standard_normal(3 * samplerate)).astype(np.float32)
    noise[4000:4100] = noise[9000:20000] = noise[26000:44000] = 0.0
    model = DenoiserModel.preset("live")
    compiled, _ = run(Pipeline(samplerate, denoiser=model), noise, 480)
    monkeypatch.setattr(model, "weights", {})
    graph, _ = run(Pipeline(samplerate, denoiser=model), noise, 480)
    np.testing.assert_allclose(graph, compiled, atol=1e-5)


def test_keywords_get_the_same_readings_whether_by_stretches_or_not(demo, spotter, monkeypatch):
    _, clean, samplerate = demo
    silence = np.zeros(round(1.5 * samplerate), np.float32)
    sound = np.concatenate([clean[: 2 * samplerate], silence, clean[2 * samplerate :]])
    two = np.stack([sound, np.roll(sound, samplerate)], axis=1)
    voices, hop = [], Spotter.hop

    def noted(spotter, *contrasts, voice):
        voices[-1].append(voice)
        return hop(spotter, *contrasts, voice=voice)

    monkeypatch.setattr(Spotter, "hop", noted)
    for kind, block in ((Pipeline, 480), (StretchPipeline, 5000), (StretchPipeline, len(two))):
        voices.append([])
        pipeline = kind(samplerate, 2, denoiser=DenoiserModel.preset("call"), spotter=spotter)
        for start in range(0, len(two), block):
            part = two[start : start + block]
            pipeline.process(part, np.empty_like(part))
    assert min(voices[0]) < 0.1 < 0.9 < max(voices[0])
    np.testing.assert_allclose(voices[1], voices[0], atol=1e-5)
    np.testing.assert_allclose(voices[2], voices[0], atol=1e-5)


@pytest.mark.parametrize("kind", [Pipeline, StretchPipeline])
def test_what_is_set_while_muted_holds_for_the_first_sound(kind):
    samplerate, rng = 16000, np.random.default_rng(0)
    pipeline = kind(samplerate, denoiser=DenoiserModel.preset("call"))
    sound = 0.1 * rng.standard_normal(samplerate).astype(np.float32)
    run(pipeline, np.concatenate([sound, np.zeros(2 * samplerate, np.float32)]), 4096)
    pipeline.bypass = True
    after = np.concatenate([np.zeros(1024, np.float32), sound[:1024]])
    out, _ = run(pipeline, after, 512)
    late = pipeline.latency_samples
    assert si_sdr_db(out[1024 + late :], after[1024:-late]) > 40


@pytest.mark.parametrize(
    ("preset", "least_db", "spread_db"), [("live", 3, 1), ("call", 4.5, 0.5), ("studio", 5, 0.5)]
)
def test_every_samplerate_is_cleaned_alike(preset, least_db, spread_db, demo):
    noisy, clean, own = demo
    model, scores, levels = DenoiserModel.preset(preset), [], []
    for samplerate in (8000, 11025, 16000, 48000):
        before, target = (soxr.resample(s, own, samplerate) for s in (noisy, clean))
        pipeline = Pipeline(samplerate, denoiser=model)
        late = np.zeros(pipeline.latency_samples, np.float32)
        out, _ = run(pipeline, np.concatenate([before, late]), 480)
        scores.append(si_sdr_db(out[len(late) :], target))
        assert scores[-1] > si_sdr_db(before, target) + least_db
        levels.append(20 * np.log10(np.std(out) / np.std(target)))
    assert max(scores) - min(scores) < spread_db
    assert abs(levels[3] - levels[2]) < 0.4  # of 16 and 48 kHz


def test_studio_is_late_by_what_it_declares_and_by_nothing_else(studio, demo):
    noisy, clean, samplerate = demo
    pipeline = Pipeline(samplerate, denoiser=studio)
    late = pipeline.latency_samples
    assert 0 < pipeline.latency_s <= 0.02
    out, _ = run(pipeline, np.concatenate([noisy, np.zeros(late, np.float32)]), 480)
    assert si_sdr_db(out[late:], clean) > si_sdr_db(noisy, clean) + 4
    pipeline.reset()
    again, _ = run(pipeline, np.concatenate([noisy, np.zeros(late, np.float32)]), 1001)
    np.testing.assert_array_equal(again, out)


def test_bypass_is_a_wire_and_switches_without_a_click(denoiser):
    t = np.arange(32000) / 16000
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    pipeline = Pipeline(16000, denoiser=denoiser)
    out = np.empty_like(tone)
    for block in range(200):
        pipeline.bypass = block // 50 % 2 == 1
        part = slice(160 * block, 160 * (block + 1))
        pipeline.process(tone[part], out[part])
    through = slice(160 * 60, 160 * 100)
    np.testing.assert_allclose(out[through], tone[through], atol=1e-3)
    # A click would be a step: far steeper than the tone itself ever is.
    steepest = np.abs(np.diff(tone, 2)).max()
    assert np.abs(np.diff(out, 2)).max() < 4 * steepest


def test_the_limit_may_change_while_it_runs(denoiser):
    noise = (0.05 * np.random.default_rng(0).standard_normal(48000)).astype(np.float32)
    pipeline = Pipeline(16000, denoiser=denoiser, limit_db=6)
    out, _ = run(pipeline, noise[:24000], 160)
    pipeline.limit_db = None
    rest, _ = run(pipeline, noise[24000:], 160)
    assert np.std(rest[8000:]) < 0.7 * np.std(out[8000:])
    with pytest.raises(UserError, match="limit_db -1"):
        pipeline.limit_db = -1


def test_what_is_played_is_not_clipped_by_us(denoiser, demo):
    noisy, _, samplerate = demo
    loud = (noisy / np.abs(noisy).max()).astype(np.float32)
    out, _ = run(Pipeline(samplerate, denoiser=denoiser), loud, 480)
    assert np.abs(out).max() <= 1.0


def test_readings_tell_voice_from_noise(denoiser, demo):
    _, clean, samplerate = demo
    rng = np.random.default_rng(0)
    block = samplerate // 50
    pipeline = Pipeline(samplerate, denoiser=denoiser)
    sounds = {
        "voice": clean + 0.001 * rng.standard_normal(len(clean)).astype(np.float32),
        "noise": (0.01 * rng.standard_normal(len(clean))).astype(np.float32),
    }
    voice, level = {}, {}
    for name, sound in sounds.items():
        pipeline.reset()
        read = []
        for start in range(0, len(sound) - block, block):
            part = np.ascontiguousarray(sound[start : start + block])
            pipeline.process(part, np.empty_like(part))
            read.append((pipeline.voice, pipeline.noise_dbfs))
        voice[name], level[name] = np.array(read).T
    assert np.mean(voice["noise"][25:] > 0.5) < 0.1 < 0.3 < np.mean(voice["voice"] > 0.5)
    assert np.median(level["noise"][25:]) == pytest.approx(-40, abs=4)
    assert np.median(level["voice"][25:]) < np.median(level["noise"][25:]) - 10


@pytest.mark.parametrize("limit_db", [0, 6, 12])
def test_limit_keeps_that_much(limit_db, denoiser):
    """Noise alone is attenuated, but not further than the limit."""
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(48000)).astype(np.float32)
    free, _ = run(Pipeline(16000, denoiser=denoiser), noise, 480)
    limited, _ = run(Pipeline(16000, denoiser=denoiser, limit_db=limit_db), noise, 480)
    level = [20 * np.log10(np.std(s[16000:]) / np.std(noise)) for s in (free, limited)]
    assert level[0] < -12
    assert level[1] == pytest.approx(-limit_db, abs=2.5 if limit_db else 0.1)


def test_channels_are_cleaned_each_on_its_own(denoiser):
    sounds = np.stack([noisy_tones(16000, seed=i) for i in range(8)], axis=1)
    out = np.empty_like(sounds)
    Pipeline(16000, 8, denoiser=denoiser).process(sounds, out)
    for channel in (0, 5):
        alone, _ = run(Pipeline(16000, denoiser=denoiser), sounds[:, channel].copy(), 777)
        np.testing.assert_array_equal(out[:, channel], alone)


def test_silence_costs_no_more_than_speech(denoiser, spotter, demo):
    """Denormal numbers would make a bank ringing out into silence many times slower."""
    noisy, _, samplerate = demo
    pipeline = Pipeline(samplerate, denoiser=denoiser, spotter=spotter)
    block = samplerate // 100
    sound = np.concatenate([noisy[: 5 * samplerate], np.zeros(5 * samplerate, np.float32)])
    times = []
    out = np.empty(block, np.float32)
    for start in range(0, len(sound) - block, block):
        begin = time.thread_time()
        pipeline.process(sound[start : start + block], out)
        times.append(time.thread_time() - begin)
    half = len(times) // 2
    # Half the blocks, and those with a step of the spotter.
    speech, silence = (np.percentile(part, (50, 90)) for part in (times[:half], times[half:]))
    assert np.all(silence < 1.5 * speech)


@pytest.mark.parametrize("kind", [Pipeline, StretchPipeline])
def test_with_a_bypass_keywords_are_heard_once(kind, denoiser, spotter, demo):
    """The same sound twice would be no second opinion, at thresholds for two."""
    noisy, _, samplerate = demo
    part, out = noisy[: 6 * samplerate], np.empty_like(noisy[: 6 * samplerate])
    alone = Pipeline(samplerate, spotter=spotter)
    both = kind(samplerate, denoiser=denoiser, spotter=spotter)
    for_two = Sensitivity().thresholds(spotter, twice=True)
    assert (for_two != alone.spotter.thresholds).all()
    np.testing.assert_array_equal(both.spotter.thresholds, for_two)
    both.bypass = True
    assert [e.keyword for e in both.process(part, out)] == ["no"]
    alone.process(part)
    np.testing.assert_array_equal(both.spotter.thresholds, alone.spotter.thresholds)
    np.testing.assert_allclose(both.spotter.probabilities, alone.spotter.probabilities, atol=1e-3)
    both.bypass = False
    both.process(part, out)
    np.testing.assert_array_equal(both.spotter.thresholds, for_two)


@pytest.mark.parametrize("kind", [Pipeline, StretchPipeline])
def test_no_keyword_is_detected_while_warming_up(kind, denoiser, spotter, demo):
    noisy, _, samplerate = demo
    pipeline = kind(samplerate, denoiser=denoiser, spotter=spotter)
    pipeline.warm_up(noisy[: 5 * samplerate + 7])
    assert not pipeline.spotter.steps
    rest = noisy[5 * samplerate + 7 :]
    events = pipeline.process(rest, np.empty_like(rest))
    assert [event.keyword for event in events] == ["left", "yes", "right"]


def test_poisoned_samples_end_in_sound(denoiser, spotter):
    sound = noisy_tones(16000)
    sound[[100, 5000, 9000]] = [np.nan, np.inf, -np.inf]
    pipeline = Pipeline(16000, denoiser=denoiser, spotter=spotter)
    out, _ = run(pipeline, sound, 480)
    assert np.isfinite(out).all()
    assert pipeline.bad_samples == 3
    assert np.std(out[9500:]) > 0.01


def test_keywords_are_heard_as_they_came_and_cleaned(denoiser, spotter, demo):
    noisy, _, samplerate = demo
    cleaned, found = np.empty_like(noisy), {}
    both = Pipeline(samplerate, denoiser=denoiser, spotter=spotter)
    alone, again = (Pipeline(samplerate, spotter=spotter) for _ in range(2))
    block = round(0.032 * samplerate)
    for start in range(0, len(noisy) - block, block):
        part = slice(start, start + block)
        both.process(noisy[part], cleaned[part])
        alone.process(noisy[part])
        again.process(cleaned[part])
        for pipeline in (both, alone, again):
            found.setdefault(pipeline, []).append(pipeline.spotter.probabilities.copy())
    mean = (np.array(found[alone]) + found[again]) / 2
    assert np.abs(np.array(found[alone]) - found[again]).max() > 0.3
    np.testing.assert_allclose(found[both], mean, atol=1e-3)


def test_nothing_in_nothing_out(denoiser):
    empty = np.zeros(0, np.float32)
    assert Pipeline(16000, denoiser=denoiser).process(empty, empty) == []


def test_other_number_types_are_taken(denoiser):
    sound = noisy_tones(16000)
    out = np.empty(len(sound), np.float64)
    Pipeline(16000, denoiser=denoiser).process(sound.astype(np.float64), out)
    expected, _ = run(Pipeline(16000, denoiser=denoiser), sound, len(sound))
    np.testing.assert_array_equal(out.astype(np.float32), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((100,), "samplerate 100 Hz"), ((16000, 0), "at least one")],
)
def test_nonsense_is_refused_with_its_value(arguments, message, denoiser):
    with pytest.raises(UserError, match=message):
        Pipeline(*arguments, denoiser=denoiser)


def test_other_refusals(denoiser):
    with pytest.raises(UserError, match="limit_db -3"):
        Pipeline(16000, denoiser=denoiser, limit_db=-3)
    with pytest.raises(UserError, match="a denoiser, a spotter or both"):
        Pipeline(16000)
    with pytest.raises(UserError, match="2 channels"):
        Pipeline(16000, denoiser=denoiser).process(*np.zeros((2, 4, 2), np.float32))
    with pytest.raises(UserError, match="block is int16"):
        Pipeline(16000, denoiser=denoiser).process(*np.zeros((2, 4), np.int16))
    for out in (None, np.zeros(3, np.float32)):
        with pytest.raises(UserError, match="out must be an array shaped like block"):
            Pipeline(16000, denoiser=denoiser).process(np.zeros(4, np.float32), out)
