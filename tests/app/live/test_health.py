"""Figures about live sound, from the rows about its blocks."""

import numpy as np
import pytest

from resonance.app.live.health import removed_db

ROW = np.dtype([("time_s", "f8"), ("samples", "i4"), ("input_power", "f4"), ("output_power", "f4")])


def blocks(*powers, seconds=0.01):
    """Rows of as many blocks, each with its power before and after."""
    rows = np.zeros(len(powers), ROW)
    rows["time_s"] = np.arange(len(powers)) * seconds
    rows["samples"] = 480
    rows["input_power"], rows["output_power"] = np.array(powers).T
    return rows


def test_noise_removed_between_loud_words_is_seen():
    words, pauses = [(0.1, 0.1)] * 50, [(1e-3, 1e-6)] * 50
    assert removed_db(blocks(*words, *pauses)) == pytest.approx(15.0, abs=0.1)


def test_nothing_is_removed_from_silence_or_before_the_last_seconds():
    assert removed_db(blocks(*[(0.0, 0.0)] * 10)) == 0.0
    long_ago, now = [(1e-3, 1e-6)] * 100, [(1e-3, 1e-3)] * 201
    assert removed_db(blocks(*long_ago, *now)) == pytest.approx(0.0, abs=0.1)


def test_what_is_silenced_counts_down_to_the_floor():
    assert removed_db(blocks((0.1, 0.0))) == pytest.approx(90.0)
