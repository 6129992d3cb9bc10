"""Blocks of live sound: the same samples as files get, and nothing that makes them stumble."""

from dataclasses import replace

import numpy as np
import pytest

from resonance.app.pipeline import Pipeline


def play(processor, sound, block=480):
    out = np.empty_like(sound)
    for start in range(0, len(sound), block):
        processor.process(sound[start : start + block], out[start : start + block])
    return out


@pytest.mark.parametrize("block", [64, 220, 480])
def test_it_plays_what_the_pipeline_plays(make_processor, denoiser, spotter, demo, block):
    noisy, _, samplerate = demo
    processor = make_processor(samplerate, spot=True, guard_feedback=True)
    expected = np.empty_like(noisy)
    events = Pipeline(samplerate, denoiser=denoiser, spotter=spotter).process(noisy, expected)
    np.testing.assert_array_equal(play(processor, noisy, block), expected)
    assert all(event.wall_time for event in processor.events)
    assert [replace(event, wall_time=None) for event in processor.events] == events
    board = processor.board
    assert list(board.events.since()["keyword"]) == [event.keyword for event in events]
    np.testing.assert_array_equal(board.sound.since(0)[1], np.stack([noisy, expected], 1))
    assert board.counters()["blocks"] == -(-len(noisy) // block)
    assert board.counters()["dry_blocks"] == 0


def test_silence_at_rest_is_put_off_and_nothing_is_lost(make_processor, rng):
    sound = (0.1 * rng.standard_normal(48000)).astype(np.float32)
    sound = np.concatenate([sound, np.zeros(96000, np.float32), sound])
    processor = make_processor(guard_feedback=True)
    expected = np.empty_like(sound)
    Pipeline(48000, denoiser=processor.pipeline.denoiser).process(sound, expected)
    np.testing.assert_array_equal(play(processor, sound), expected)
    board = processor.board
    rows, hops = board.blocks.since(), board.hops.since()
    assert len(rows) < 320, "a tenth as many rows in silence"
    assert rows["samples"].sum() == len(sound)
    assert board.counters()["blocks"] == 400
    np.testing.assert_allclose(np.diff(hops["time_s"]).mean(), 0.008, rtol=0.01)
    np.testing.assert_array_equal(board.sound.since(0)[1], np.stack([sound, expected], 1))


def test_the_board_tells_levels_hops_and_steps(make_processor, rng):
    processor = make_processor(spot=True)
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(48000) / 48000)).astype(np.float32)
    play(processor, tone)
    board = processor.board
    last = board.blocks.last()
    assert last["time_s"] == pytest.approx(1.0)
    assert last["input_power"] == pytest.approx(0.125, rel=0.01)
    assert (last["input_low"], last["input_high"]) == pytest.approx((-0.5, 0.5), abs=0.01)
    hops = board.hops.since()
    assert len(hops) == 125
    f0_hz = processor.pipeline.denoiser.bank.f0_hz
    loudest = f0_hz[np.argmax(hops["power"][-1])]
    assert abs(loudest - 1000) < 60, "the oscillator at the tone resonates"
    loud = np.argmax(hops["power"][-1])
    assert np.abs(hops["z"][-1][loud]) ** 2 == pytest.approx(hops["power"][-1][loud], rel=0.2)
    assert len(board.steps.since()) == 31
    settled = np.linalg.norm(board.steps.last()["settled"], axis=-1)
    assert np.median(settled) == pytest.approx(1.0, abs=1e-4), "they sit on the circle"


def test_when_it_takes_too_long_the_dry_sound_takes_over_without_a_click(make_processor):
    now = [0.0]
    processor = make_processor(clock=lambda: now[0])
    t = np.arange(3 * 48000) / 48000
    tone = (0.3 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)
    quick = processor.pipeline.process

    def slow(*arguments):
        now[0] += 0.025
        return quick(*arguments)

    out = [play(processor, tone[:48000])]
    assert processor.counters["overloads"] == 0
    processor.pipeline.process = slow
    out.append(play(processor, tone[48000:72000]))
    assert processor.counters["late_blocks"] <= 4
    assert processor.counters["dry_blocks"] >= 20, "most blocks cost nothing"
    np.testing.assert_array_equal(out[1][4800:9600], tone[52800:57600])
    processor.pipeline.process = quick
    before = processor.counters["dry_blocks"]
    out.append(play(processor, tone[72000:]))
    assert processor.counters["dry_blocks"] - before < 60, "it recovers"
    steepest = np.abs(np.diff(tone)).max()
    assert np.abs(np.diff(np.concatenate(out))).max() < 1.5 * steepest, "no click on the way"


def test_with_look_ahead_the_dry_sound_is_as_late_as_the_clean_one(make_processor, studio, rng):
    processor = make_processor(model=studio)
    sound = (0.1 * rng.standard_normal(48000)).astype(np.float32)
    late = processor.pipeline.latency_samples
    assert late == 960

    def broken(*_):
        raise RuntimeError("broken on purpose")

    processor.pipeline.process = broken
    out = play(processor, sound)
    np.testing.assert_array_equal(out[late:], sound[:-late])
    assert "broken on purpose" in str(processor.error)


def test_what_is_not_a_number_is_taken_as_silence_and_counted(make_processor, rng):
    processor = make_processor()
    sound = (0.1 * rng.standard_normal(48000)).astype(np.float32)
    sound[1000:1010] = np.nan
    sound[2000] = np.inf
    out = play(processor, sound)
    assert np.isfinite(out).all()
    assert processor.counters["bad_samples"] == 11
    assert np.isfinite(processor.board.sound.since(0)[1]).all()
    rows = processor.board.blocks.since()
    assert all(np.isfinite(rows[name]).all() for name in rows.dtype.names)


def test_another_pipeline_fades_in(make_processor, denoiser, spotter, demo):
    noisy, _, samplerate = demo
    processor = make_processor(samplerate, spot=True)
    half = 8 * samplerate
    play(processor, noisy[:half])
    processor.exchange(Pipeline(samplerate, denoiser=denoiser, spotter=spotter, limit_db=0.0))
    out = play(processor, noisy[half:])
    assert processor.pipeline.limit_db == 0.0
    np.testing.assert_allclose(out[4800:], noisy[half + 4800 :], atol=2e-3)
    found = [(event.keyword, round(event.time_s)) for event in processor.events]
    assert ("yes", 12) in found, "times go on counting"


def test_idle_it_does_nothing_and_plays_silence(make_processor, rng):
    processor = make_processor()
    processor.idle = True
    assert not play(processor, (0.1 * rng.standard_normal(9600)).astype(np.float32)).any()
    assert processor.board.hops.count == 0
    assert processor.board.sound.count == 9600


@pytest.mark.parametrize("guard", [True, False])
def test_a_loop_through_the_room_is_stopped(make_processor, rng, guard):
    """The loudspeaker's sound returns 30 ms later through a room that likes 1.1 kHz."""
    processor = make_processor(guard_feedback=guard)
    processor.pipeline.bypass = True  # the worst case: nothing is taken for noise
    pole = 0.995 * np.exp(2j * np.pi * 1100 / 48000)
    delay = np.zeros(1440, np.float32)
    state, loud = 0j, []
    played = np.empty(480, np.float32)
    for _ in range(600):
        back = np.empty(480, np.float32)
        for k in range(480):
            state = pole * state + 0.012 * delay[k]
            back[k] = state.real
        voice = 0.01 * rng.standard_normal(480)
        microphone = np.clip(back + voice, -1, 1).astype(np.float32)
        processor.process(microphone, played)
        delay = np.concatenate([delay[480:], played])
        loud.append(float(np.abs(played).max()))
    howling = np.mean(np.array(loud[200:]) > 0.3)
    if guard:
        assert processor.counters["howls"] >= 1
        assert howling < 0.35
    else:
        assert max(loud) > 0.5, "it does howl"
        assert howling > 0.9
