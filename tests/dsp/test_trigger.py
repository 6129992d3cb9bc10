import numpy as np

from dsp.trigger import Trigger, TriggerSettings


def fire(scores, **settings):
    """Feed probabilities of word 0 every 50 ms; return the times that fired."""
    trigger = Trigger(2, TriggerSettings(**{"smoothing": 3, **settings}))
    times = []
    for i, score in enumerate(scores):
        rest = np.array([score, 0.0, 1.0 - score], np.float32)
        if trigger.update(0.05 * i, rest):
            times.append(i)
    return times


def test_one_utterance_is_one_event():
    assert len(fire([0.0] * 5 + [0.95] * 30 + [0.0] * 5)) == 1


def test_a_single_spike_does_not_fire():
    assert fire([0.0] * 5 + [1.0] + [0.0] * 5) == []


def test_a_word_said_again_fires_again_but_not_at_once():
    word, pause = [0.95] * 6, [0.0] * 12
    assert len(fire(word + pause + word + pause)) == 2
    assert len(fire(word + [0.0] * 3 + word, rest_s=2.0)) == 1


def test_low_thresholds_and_single_evaluations_work():
    assert len(fire([0.3] * 60, threshold=0.2)) == 1
    assert len(fire([0.0, 0.9, 0.0, 0.0], smoothing=1)) == 1
    assert fire([0.3] * 60, smoothing=1) == []


def test_unknown_and_silence_never_fire():
    trigger = Trigger(1, TriggerSettings())
    assert all(trigger.update(i, np.array([0.0, 1.0], np.float32)) is None for i in range(20))
