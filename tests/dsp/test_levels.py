import numpy as np
import pytest

from resonance.dsp.levels import levels


def test_levels_of_a_column(rng):
    sound = rng.standard_normal((480, 2)).astype(np.float32)
    column = sound[:, 1]
    low, high, power, bad = levels(column)
    assert (low, high, bad) == (column.min(), column.max(), 0)
    assert power == pytest.approx(np.mean(column.astype(float) ** 2))


def test_what_is_not_finite_counts_as_silence():
    sound = np.array([0.5, np.nan, np.inf, -np.inf, 0.25], np.float32)
    assert levels(sound) == (0.0, 0.5, (0.25 + 0.0625) / 5, 3)
