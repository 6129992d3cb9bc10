"""The compiled loops of a hop say what their definitions say."""

import numpy as np

from resonance.dsp.features import hop_features
from resonance.dsp.hop_kernels import describe, weigh

HOPS, OSCILLATORS, WINGS, RESPONSES = 3, 7, 2, 4


def test_features_are_those_of_the_definition(rng):
    re, im, before_re, before_im = rng.standard_normal((4, HOPS, OSCILLATORS)).astype(np.float32)
    power, contrast = rng.random((2, HOPS, OSCILLATORS)).astype(np.float32) ** 8
    power[0, 0] = re[1, 1] = im[1, 1] = 0.0
    turn = np.exp(1j * rng.random((HOPS, OSCILLATORS))).astype(np.complex64)
    out = np.empty((HOPS, OSCILLATORS, 4), np.float32)
    describe(power, contrast, re, im, before_re, before_im, turn, out)
    args = (a.astype(np.float64) for a in (power, contrast, re, im, before_re, before_im))
    wanted = hop_features(*args, turn.real, turn.imag)
    np.testing.assert_allclose(out, wanted, atol=1e-5)


def test_weights_follow_the_gains_and_wings_the_top(rng):
    identity, span = rng.standard_normal((2, OSCILLATORS + WINGS + 1, 2)) @ (1, 1j)
    onset = (rng.standard_normal((OSCILLATORS, 2)) @ (1, 1j)).astype(np.complex64)
    gains = (rng.standard_normal((HOPS, OSCILLATORS, 2)) @ (1, 1j)).astype(np.complex64)
    gains[1] = 0.0
    probes = rng.standard_normal((RESPONSES, 2, OSCILLATORS)).astype(np.float32)
    w_re, w_im = np.empty((2, HOPS, OSCILLATORS + WINGS + 1), np.float32)
    identity, span = identity.astype(np.complex64), span.astype(np.complex64)
    weigh(gains, identity, span, onset, probes, np.float32(9.0), w_re, w_im)
    own = identity[:OSCILLATORS] + span[:OSCILLATORS] * (gains - 1)
    parts = np.stack([own.real, own.imag], 1)
    top = np.sqrt((np.einsum("rpk,hpk->hr", probes, parts) ** 2).sum(1)) / 9.0
    wings = np.minimum(1.0, top)[:, None] * identity[OSCILLATORS:-1]
    tap = (own * onset).real.sum(1, keepdims=True)
    np.testing.assert_allclose(w_re + 1j * w_im, np.concatenate([own, wings, tap], 1), rtol=1e-4)
