"""Two clocks kept in step."""

import numpy as np
import pytest

from resonance.dsp.drift import LARGEST, DriftControl

BLOCK_S = 0.01


def simulate(ppm, seconds, jitter_s=0.0):
    """Filling [blocks] of a buffer written ``ppm`` too fast, and the corrections [blocks]."""
    rng = np.random.default_rng(0)
    control = DriftControl(0.03)
    filling, ratio = 0.03, 1.0
    fillings, ratios = [], []
    for _ in range(round(seconds / BLOCK_S)):
        filling += BLOCK_S * (1 + ppm * 1e-6) / ratio - BLOCK_S
        ratio = control.update(filling + jitter_s * rng.standard_normal(), BLOCK_S)
        fillings.append(filling)
        ratios.append(ratio)
    return np.array(fillings), np.array(ratios)


@pytest.mark.parametrize("ppm", [-200, 0, 50, 200])
def test_the_difference_is_found_and_the_buffer_stays_even(ppm):
    fillings, ratios = simulate(ppm, 600, jitter_s=0.002)
    assert abs(ratios[-6000:].mean() - 1 - ppm * 1e-6) < 5e-6
    assert np.abs(fillings - 0.03).max() < 0.005
    assert np.abs(fillings[-6000:] - 0.03).max() < 0.0005
    assert np.abs(ratios - 1).max() <= LARGEST


def test_a_sudden_gap_is_made_up_for():
    control = DriftControl(0.03)
    ratios = [control.update(0.02, BLOCK_S) for _ in range(1000)]
    assert ratios[-1] < 1 - 0.9 * LARGEST, "read slower, so that it fills"
