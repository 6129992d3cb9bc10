import numpy as np
import pytest

from resonance.dsp.peaks import log_rates, peaks, rate_line


def test_peaks_are_apart_and_highest_first():
    scores = np.array([0.1, 0.9, 0.8, 0.2, 0.0, 0.7, 0.1])
    assert peaks(scores, 2, 0.15) == [1, 5]
    assert peaks(scores, 0, 0.15) == [1, 2, 5, 3]
    assert peaks(scores, 2, most=1) == [1]
    assert peaks(scores, 2, 1.0) == peaks(scores[:0], 2) == []
    assert scores[1] == 0.9, "what was given stays"


def test_a_straight_line_is_found_again():
    heights = (log_rates(8, 2.0) - 3.0) / -5.0
    assert rate_line(heights, 2.0) == pytest.approx((-5.0, 3.0))
