import numpy as np
import pytest

from bench.denoising.scores import edge_energy_kept, sdr_db, word_edges

RATE = 16000


def two_words():
    """Two words of 0.5 s, 0.3 s apart [samples]."""
    rng = np.random.default_rng(0)
    sound = np.zeros(2 * RATE, np.float32)
    for start in (4800, 17600):
        sound[start : start + 8000] = 0.1 * rng.standard_normal(8000)
    return sound


def test_edges_are_the_first_and_last_60_ms_of_words():
    found = [(e.start, e.stop) for e in word_edges(two_words())]
    assert found == [(4800, 5760), (11840, 12800), (17600, 18560), (24640, 25600)]
    assert word_edges(np.zeros(RATE, np.float32)) == []


def test_a_swallowed_start_is_missed():
    clean = two_words()
    assert edge_energy_kept(clean, clean) == pytest.approx(1)
    assert edge_energy_kept(-clean, clean) == pytest.approx(1), "phases do not matter"
    cut = clean.copy()
    cut[4800:5760] = 0
    assert edge_energy_kept(cut, clean) == pytest.approx(0.75, abs=0.02)
    softer = 0.5 * clean
    assert edge_energy_kept(softer, clean) == pytest.approx(0.25, abs=0.01)


def test_si_sdr_of_a_known_mixture():
    clean = two_words()
    noise = 0.1 * np.random.default_rng(1).standard_normal(len(clean)).astype(np.float32)
    assert sdr_db(clean + 0.1 * noise, clean) == pytest.approx(17, abs=0.7)
