import numpy as np
import pytest

from resonance.dsp.bank import broad_bank, narrow_bank
from resonance.dsp.contrast import neighbour_weights
from resonance.dsp.kernels import advance, guard, listen, rewind
from resonance.dsp.stream import NOTHING
from tests.dsp import oracle

BANK = broad_bank(24).joined(narrow_bank(24))
POLES = BANK.poles(16000)


def planes(values):
    return [np.ascontiguousarray(part, np.float32) for part in (values.real, values.imag)]


NEIGHBOURS = neighbour_weights(BANK, np.arange(48) < 24, 16000)

#: Nothing that runs backwards, and no guard.
ALONE = NOTHING, NOTHING, np.float32(0), np.float32(0)


def fresh():
    """States, energy, weights of neighbours, contrast."""
    state = [np.zeros(len(POLES), np.float32) for _ in range(3)]
    weights = [plane for own in NEIGHBOURS for plane in planes(own)]
    return [*state, *weights, np.zeros(len(POLES), np.float32)]


def test_advance_agrees_with_the_oracle(rng):
    sound = rng.standard_normal(2000).astype(np.float32)
    scale = 1 - np.abs(POLES)
    old, new = (scale * (rng.normal(size=48) + 1j * rng.normal(size=48)) for _ in range(2))
    state, out = fresh(), np.empty_like(sound)
    weights = *planes(old), *planes(new - old)
    bad = advance(sound, *planes(POLES), *state, *weights, 0, 64, *ALONE, out)
    expected, energy, z = oracle.advance(sound.astype(float), POLES, old, new, 64)
    assert bad == 0
    np.testing.assert_allclose(out, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(state[0] + 1j * state[1], z, atol=1e-4 * np.abs(z).max())
    np.testing.assert_allclose(state[2], energy, rtol=1e-4)
    every = oracle.states(sound.astype(float), POLES)
    between = NEIGHBOURS[0] * every[:, :-1] - NEIGHBOURS[1] * every[:, 1:]
    np.testing.assert_allclose(state[-1][:-1], (np.abs(between) ** 2).sum(0), rtol=1e-3, atol=1e-6)


def test_listen_is_advance_without_sound(rng):
    sound = rng.standard_normal(500).astype(np.float32)
    listened, played = fresh(), fresh()
    listen(sound, *planes(POLES), *listened)
    zeros = planes(np.zeros(48, complex)) + planes(np.zeros(48, complex))
    advance(sound, *planes(POLES), *played, *zeros, 0, 1, *ALONE, np.empty_like(sound))
    for a, b in zip(listened, played, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_cut_anywhere_the_bits_are_the_same(rng):
    sound, rewound = rng.standard_normal((2, 600)).astype(np.float32)
    weights = rng.standard_normal((4, 48)).astype(np.float32)
    results = []
    for cuts in ([600], [1, 7, 64, 65, 300, 600]):
        states, out, guarded, start = fresh(), np.empty_like(sound), np.ones(2, np.float32), 0
        rest = rewound, guarded, np.float32(0.9), np.float32(0.1)
        for stop in cuts:
            part = slice(start, stop)
            advance(sound[part], *planes(POLES), *states, *weights, start, 64, *rest, out[part])
            start = stop
        results.append((*states, guarded, out))
    for whole, cut in zip(*results, strict=True):
        np.testing.assert_array_equal(whole, cut)


def test_energy_decays_with_the_damping():
    state = fresh()
    listen(np.array([1.0], np.float32), *planes(POLES), *state)
    listen(np.zeros(160, np.float32), *planes(POLES), *state)
    np.testing.assert_allclose(
        np.hypot(state[0], state[1]), np.abs(POLES) ** 160, rtol=1e-3, atol=1e-7
    )


def test_poisoned_samples_are_silence_and_are_counted():
    sound = np.array([0.1, np.nan, np.inf, -np.inf, 1e30, 0.2], np.float32)
    clean = np.array([0.1, 0, 0, 0, 0, 0.2], np.float32)
    dirty_state, clean_state = fresh(), fresh()
    assert listen(sound, *planes(POLES), *dirty_state) == 4
    assert listen(clean, *planes(POLES), *clean_state) == 0
    np.testing.assert_array_equal(dirty_state[0], clean_state[0])


def test_a_stray_float64_is_an_error_not_a_recompilation():
    with pytest.raises(TypeError):
        listen(np.zeros(4), *planes(POLES), *fresh())
    assert len(listen.signatures) == len(advance.signatures) == 1


@pytest.mark.parametrize("edges", [[128], [128, 256], [128, 255, 383], [128, 256, 383, 400]])
@pytest.mark.parametrize("known", [True, False])
def test_rewind_is_advance_through_a_mirror(rng, edges, known):
    """For a part, and for the next one: what was summed once need not be summed again."""
    sound = rng.standard_normal(400).astype(np.float32)
    old, new = (rng.normal(size=48) + 1j * rng.normal(size=48) for _ in range(2))
    room = [np.zeros(48, np.float32) for _ in "zi"]
    sums = [np.zeros((3, 48), np.float32) for _ in "zi"]
    powers = planes(POLES ** np.arange(17, 129)[:, None])
    weights = *planes(old), *planes(new - old)
    summed = np.zeros(1, np.int64)
    while edges:
        out = np.empty(edges[0], np.float32)
        given = sound, np.array(edges), *planes(POLES), *room, summed, *sums, *powers
        rewind(*given, 17, *weights, 32, out)
        every = oracle.states(sound[::-1].astype(float), POLES)[::-1] - sound[:, None]
        progress = np.minimum(np.arange(1, len(out) + 1), 32) / 32
        moved = old + progress[:, None] * (new - old)
        expected = (moved * every[: len(out)]).real.sum(axis=1)
        np.testing.assert_allclose(out, expected, atol=1e-4 * np.abs(expected).max())
        assert summed == max(0, len(edges) - 2)
        summed *= known
        sound, edges = sound[edges[0] :], [edge - edges[0] for edge in edges[1:]]


def guarded(sound, played):
    out = played.astype(np.float32)
    guard(sound.astype(np.float32), out, np.ones(2, np.float32), np.float32(1), np.float32(2e-4))
    return out


def test_guard_changes_nothing_within_full_scale(rng):
    sound = rng.uniform(-1, 1, 4000).astype(np.float32)
    np.testing.assert_array_equal(guarded(sound, sound), sound)


def test_guard_keeps_what_is_played_within_full_scale():
    tone = np.sin(np.arange(4000) / 20)
    out = guarded(0.9 * tone, 1.5 * tone)
    assert np.abs(out).max() <= 1.0
    assert np.mean(np.abs(out) > 0.999) < 0.1, "later crests are turned down, not cut off"


def test_guard_lets_go_again():
    tone = 0.5 * np.sin(np.arange(40000) / 20)
    played = tone.copy()
    played[100] = 1.5
    np.testing.assert_array_equal(guarded(tone, played)[-2000:], tone[-2000:].astype(np.float32))


def test_guard_lets_float_sound_beyond_full_scale_pass():
    tone = 3 * np.sin(np.arange(4000) / 20)
    np.testing.assert_array_equal(guarded(tone, tone), tone.astype(np.float32))
