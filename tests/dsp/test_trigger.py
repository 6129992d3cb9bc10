import numpy as np
import pytest

from resonance.dsp.trigger import (
    AFTER_LENGTH,
    BEFORE,
    BEFORE_LENGTH,
    ONCE,
    TWICE,
    Apart,
    Trigger,
    TriggerSettings,
    smoothed,
)


def fire(scores, threshold=0.7, **settings):
    """Feed scores of word 0 every 50 ms; return the times that fired."""
    trigger = Trigger([threshold, 0.7], TriggerSettings(**{"smoothing": 3, **settings}))
    return [
        i for i, score in enumerate(scores) if trigger.update(0.05 * i, np.array([score, 0.0])) == 0
    ]


def test_one_utterance_is_one_event():
    assert len(fire([0.0] * 5 + [0.95] * 30 + [0.0] * 5)) == 1


def test_a_single_spike_does_not_fire():
    assert fire([0.0] * 5 + [1.0] + [0.0] * 5) == []


def test_a_word_said_again_fires_again_but_not_at_once():
    word, pause = [0.95] * 6, [0.0] * 12
    assert len(fire(word + pause + word + pause)) == 2
    assert len(fire(word + [0.0] * 3 + word, rest_s=2.0)) == 1


def test_scores_that_stay_high_for_too_long_are_words_said_again():
    for count, events in ((28, 1), (40, 2), (76, 3)):
        scores = [0.0] * 5 + [0.95] * count + [0.0] * 5
        assert len(fire(scores, longest=34)) == events
        assert len(fire(scores)) == 1


def test_each_word_has_its_own_threshold():
    assert len(fire([0.3] * 60, threshold=0.2)) == 1
    assert fire([0.3] * 60) == []
    assert len(fire([0.0, 0.9, 0.0, 0.0], smoothing=1)) == 1
    trigger = Trigger([0.9, 0.3], TriggerSettings(smoothing=1))
    assert trigger.update(0.0, np.array([0.6, 0.4])) == 1


def test_reset_forgets_the_word_in_the_air():
    trigger = Trigger([0.7], TriggerSettings())
    while trigger.update(0.0, np.array([0.9])) is None:
        pass
    trigger.reset()
    assert trigger.scores[0] == 0.0
    assert trigger.update(0.0, np.array([0.9])) is None


@pytest.mark.parametrize("settings", [ONCE, TWICE])
def test_whole_streams_are_smoothed_alike(settings, rng):
    scores, odds = rng.random((50, 2)), rng.random((50, 1)) if settings.of_odds else 0.0
    trigger = Trigger([2.0, 2.0], settings)
    one_by_one = []
    for step, score in enumerate(scores):
        trigger.update(0.0, score, odds[step, 0] if settings.of_odds else 0.0)
        one_by_one.append(trigger.scores)
    np.testing.assert_allclose(smoothed(scores, settings, odds), one_by_one)


def test_the_onset_is_where_the_score_rose():
    trigger = Trigger([0.7], TriggerSettings(smoothing=8))
    for score in (0.0, 0.1, 0.2, 0.9, 0.8, 0.9):
        trigger.update(0.0, np.array([score]))
    assert trigger.steps_since_onset(0) == 2


def apart(silence, voice):
    """After the last of evaluations."""
    said = Apart()
    return [said.update(*reading) for reading in zip(silence, voice, strict=True)][-1]


def test_a_word_is_apart_between_silence_and_nobody_speaking():
    steps = BEFORE + BEFORE_LENGTH
    silence, voice = np.zeros((2, steps))
    silence[:BEFORE_LENGTH] = 1.0
    voice[BEFORE_LENGTH:-AFTER_LENGTH] = 1.0
    assert apart(silence, voice) == 1.0
    assert apart(0 * silence, voice) == 0.0, "speech before"
    assert apart(silence, 0 * voice + 1) == 0.0, "speech after"
    assert apart(0 * silence, 0 * voice + 1) == -1.0, "amid speech"
    assert apart(silence, 0 * voice) == -1.0, "a noise: nobody spoke"


def test_before_the_start_there_was_silence():
    said = Apart()
    at_first = [said.update(0.0, voice) for voice in (*np.ones(20), *np.zeros(AFTER_LENGTH))]
    assert at_first[-1] == 1.0
    said.reset()
    assert [said.update(0.0, 1.0) for _ in range(20)] == at_first[:20]


def test_averaged_log_odds_are_compared_and_reported_as_probabilities():
    settings = TriggerSettings(smoothing=2, of_odds=True)
    trigger = Trigger([0.6], settings)
    odds = np.log([0.8 / 0.2, 0.4 / 0.6]).mean()
    trigger.update(0.0, np.array([0.8]))
    assert trigger.update(0.1, np.array([0.4])) == 0
    assert trigger.scores[0] == pytest.approx(1 / (1 + np.exp(-odds)))
    trigger = Trigger([0.9], settings)
    for odds in (0.0, 0.0, 3.0):
        fired = trigger.update(0.0, np.array([0.5]), odds)
    assert fired == 0
    assert trigger.scores[0] == pytest.approx(1 / (1 + np.exp(-3.0)))


def test_what_might_as_well_be_another_word_fires_as_neither():
    settings = TriggerSettings(smoothing=1, of_odds=True, lead=0.5)

    def fired(*scores):
        return Trigger([0.5, 0.4], settings).update(0.0, np.array(scores))

    assert fired(0.8, 0.1) == 0
    assert fired(0.1, 0.8) == 1
    assert fired(0.6, 0.5) is None, "as far above its own threshold, nearly"
    assert fired(0.9, 0.5) == 0
    assert Trigger([0.5], settings).update(0.0, np.array([0.9])) == 0, "a word alone"


@pytest.mark.parametrize("settings", [ONCE, TWICE])
def test_scores_do_not_drift(settings):
    trigger, silence = Trigger([0.5], settings), np.array([1e-3], np.float32)
    for step in range(20_000):
        trigger.update(float(step), silence)
    assert trigger.scores[0] == pytest.approx(smoothed(np.full((99, 1), 1e-3), settings)[-1, 0])


def test_what_fired_does_not_fire_again_with_other_settings():
    trigger = Trigger([0.5], ONCE)
    fired = [trigger.update(0.032 * step, np.array([0.9])) for step in range(60)]
    assert fired.count(0) == 1
    trigger.use(np.array([0.4]), TWICE)
    assert all(trigger.update(2.0 + step, np.array([0.9])) is None for step in range(3))
