import numpy as np

from resonance.dsp.trigger import (
    PAUSE_BEFORE,
    PAUSE_LENGTH,
    Pause,
    Trigger,
    TriggerSettings,
    pauses,
    raised,
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


def test_whole_streams_are_smoothed_alike(rng):
    scores = rng.random((50, 2))
    trigger = Trigger([2.0, 2.0], TriggerSettings())
    one_by_one = []
    for score in scores:
        trigger.update(0.0, score)
        one_by_one.append(trigger.scores)
    np.testing.assert_allclose(smoothed(scores, TriggerSettings.smoothing), one_by_one)


def test_the_onset_is_where_the_score_rose():
    trigger = Trigger([0.7], TriggerSettings(smoothing=8))
    for score in (0.0, 0.1, 0.2, 0.9, 0.8, 0.9):
        trigger.update(0.0, np.array([score]))
    assert trigger.steps_since_onset(0) == 2


def test_a_pause_is_silence_before_what_can_be_the_word():
    silence = np.random.default_rng(0).uniform(size=200).astype(np.float32)
    pause = Pause()
    found = [pause.update(value) for value in silence]
    np.testing.assert_allclose(found, pauses(silence))
    long_ago = silence[:PAUSE_LENGTH]
    assert np.isclose(found[PAUSE_LENGTH + PAUSE_BEFORE - 1], long_ago.mean())
    assert pause.update(0.0) < 1.0
    pause.reset()
    assert pause.update(0.0) == 1.0  # before the start there was nothing


def test_higher_odds_are_compared_and_reported():
    scores = np.array([0.0, 0.2, 0.5, 1.0])
    odds = scores[1:3] / (1 - scores[1:3]) * np.e
    np.testing.assert_allclose(raised(scores, 1.0), [0.0, *(odds / (1 + odds)), 1.0])
    np.testing.assert_array_equal(raised(scores, 0.0), scores)
    trigger = Trigger([0.6], TriggerSettings(smoothing=1))
    assert trigger.update(0.0, np.array([0.5])) is None
    assert trigger.update(0.1, np.array([0.5]), 1.0) == 0
    assert trigger.scores[0] > 0.6
