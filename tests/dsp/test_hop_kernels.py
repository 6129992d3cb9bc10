"""The compiled loops of a hop say what their definitions say."""

import numpy as np
import pytest

from resonance.dsp.features import hop_features
from resonance.dsp.hop_kernels import STAND_IN_POWER, describe, lead

HOPS, OSCILLATORS, WINGS, RESPONSES = 3, 7, 2, 4
PARTS, MOVING = 4, 5


@pytest.mark.parametrize("resting", [0, 2])
def test_features_are_those_of_the_definition(rng, resting):
    """Of windows of a hop that end with each part, and of the part alone."""
    steps, rows = 9, 9 + PARTS - 1
    energy, contrast = rng.random((2, rows, OSCILLATORS)).astype(np.float32) ** 8
    energy[:, 0] = 0.0
    lengths = rng.integers(80, 90, rows)
    ends = rng.standard_normal((2, rows + 1, OSCILLATORS)).astype(np.float32)
    ends[:, 3, 1] = 0.0
    drive = rng.random(OSCILLATORS).astype(np.float32)
    drive[OSCILLATORS - resting :] = 0.0
    pairs = rng.integers(0, OSCILLATORS, OSCILLATORS)
    highest = np.array([2, 3]) if resting else np.zeros(0, np.int64)
    fall = rng.random(OSCILLATORS).astype(np.float32)
    turn = np.exp(1j * rng.random((steps, 2, OSCILLATORS))).astype(np.complex64)
    ended = np.arange(steps) % PARTS == 1
    out = np.full((steps, 2, OSCILLATORS, 4), np.nan, np.float32)
    describe(
        energy, contrast, lengths, *ends, drive, pairs, highest, fall, turn, ended, MOVING, out
    )
    z = ends[0] + 1j * ends[1]
    for step in range(steps):
        for row, first in enumerate((step, step + PARTS - 1)):
            stretch = slice(first, step + PARTS)
            samples = lengths[stretch].sum()
            power = energy[stretch].sum(0) * drive**2 / samples
            between = contrast[stretch][:, pairs].sum(0) / samples
            if resting:
                between = np.where(drive > 0, between, fall * between[highest].mean())
                power = np.where(drive > 0, power, STAND_IN_POWER * power[highest].mean())
            now, before = z[step + PARTS] * drive, z[first] * drive
            states = now.real, now.imag, before.real, before.imag
            turned = turn[step, row].real, turn[step, row].imag
            wanted = hop_features(power, between, *states, *turned)
            count = OSCILLATORS if ended[step] and row == 0 else MOVING
            np.testing.assert_allclose(out[step, row, :count], wanted[:count], atol=2e-5)
            assert np.isnan(out[step, row, count:]).all()


@pytest.mark.parametrize("translated", [0, MOVING])
def test_weights_follow_the_gains_and_wings_the_top(translated, rng):
    matrix = rng.standard_normal((2 * translated, 2 * translated)).astype(np.float32)
    identity, span = rng.standard_normal((2, OSCILLATORS + WINGS + 1, 2)) @ (1, 1j)
    onset = (rng.standard_normal((OSCILLATORS, 2)) @ (1, 1j)).astype(np.complex64)
    gains = (rng.standard_normal((HOPS, OSCILLATORS, 2)) @ (1, 1j)).astype(np.complex64)
    gains[1] = 0.0
    probes = rng.standard_normal((RESPONSES, 2, OSCILLATORS)).astype(np.float32)
    identity, span = identity.astype(np.complex64), span.astype(np.complex64)
    begun = rng.standard_normal((4, OSCILLATORS + WINGS + 1)).astype(np.float32)
    old, step = begun[0] + 1j * begun[1], begun[2] + 1j * begun[3]
    change = gains - 1
    first = change[:, :translated]
    first = np.concatenate([first.real, first.imag], 1) @ matrix.T
    change[:, :translated] = first[:, :translated] + 1j * first[:, translated:]
    own = identity[:OSCILLATORS] + span[:OSCILLATORS] * change
    parts = np.stack([own.real, own.imag], 1)
    top = np.sqrt((np.einsum("rpk,hpk->hr", probes, parts) ** 2).sum(1)) / 9.0
    wings = np.minimum(1.0, top)[:, None] * identity[OSCILLATORS:-1]
    tap = (own * onset).real.sum(1, keepdims=True)
    wanted = np.concatenate([own, wings, tap], 1)
    for chosen, weights in zip(gains, wanted, strict=True):
        lead(chosen, matrix, identity, span, onset, probes, np.float32(9.0), *begun)
        old, step = old + step, weights - old - step
        np.testing.assert_allclose(begun[0] + 1j * begun[1], old, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(begun[2] + 1j * begun[3], step, rtol=1e-4, atol=1e-5)
