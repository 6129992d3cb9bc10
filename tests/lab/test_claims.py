"""Exact claims: counts, closed forms and equalities at the published sizes."""

import math

import numpy as np
import torch

from resonance.lab import (
    agreement,
    harmonic_embeddings,
    kerr_feedforward,
    oscillator_language,
    phase_modality,
    text,
    wave_coherence,
)
from resonance.lab.report import Verdict
from resonance.models.transformer import trainable

SAYING = "all the world is a stage, and all the men and women merely players. " * 40


def test_language_model_has_the_published_number_of_parameters():
    model = oscillator_language.OscillatorLanguageModel(oscillator_language.Config())
    assert trainable(model) == 14_770_432
    muon, adam = oscillator_language.optimisers(model)
    assert sum(p.numel() for group in adam.param_groups for p in group["params"]) == 24_832
    assert sum(p.numel() for group in muon.param_groups for p in group["params"]) == 14_745_600


def test_language_model_generates_as_it_was_trained():
    assert oscillator_language.recurrence_error() < 1e-4


def test_quantised_weights_are_near_and_the_oscillators_keep_their_precision():
    torch.manual_seed(0)
    model = oscillator_language.OscillatorLanguageModel(oscillator_language.Config(64, 8, 1, 2))
    for bits in (8, 4):
        for name, value in oscillator_language.quantise(model, bits).items():
            limit = value.abs().max() / (2 ** (bits - 1) - 1)
            error = (value - model.state_dict()[name]).abs().max()
            assert error <= (1e-3 if name.startswith("encoding.") else 0.51 * limit + 1e-7)


def test_kerr_models_have_the_published_numbers_of_parameters():
    row = kerr_feedforward.counts()
    assert row.ours == "801,664 / 341,638 / 354,358"
    assert row.verdict == Verdict.HOLDS


def test_controls_of_equal_size_are_of_equal_size():
    sizes = kerr_feedforward.QUICK
    few, kerr = (
        trainable(kerr_feedforward.character_model(kind, 65, sizes))
        for kind in ("MLP of equal size", "Kerr, maestro")
    )
    assert abs(few - kerr) < 0.01 * kerr


def test_integrators_converge_to_the_closed_form_and_perturbation_does_not():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((200, 64)) + 1j * rng.standard_normal((200, 64))
    exact = kerr_feedforward.exact(z)

    def error(found):
        return np.mean(np.abs(found - exact) ** 2)

    coarse, fine = (error(kerr_feedforward.runge_kutta(z, steps)) for steps in (16, 32))
    assert coarse / fine > 100  # fourth order: 256
    assert error(kerr_feedforward.perturbative(z)) > 0.1
    small = 0.1 * z
    off = kerr_feedforward.perturbative(small) - kerr_feedforward.exact(small)
    assert np.mean(np.abs(off) ** 2) < 1e-7


def test_agreement_of_phases_needs_no_cube():
    phases = torch.randn(2, 20, 16, dtype=torch.float64)
    cube = torch.cos(phases[:, :, None] - phases[:, None]).mean(-1)
    torch.testing.assert_close(phase_modality.agreement(phases), cube)


def test_rhyming_words_begin_with_like_phases(tmp_path):
    (tmp_path / "dict.txt").write_text("stage S T EY1 JH\npage P EY1 JH\nworld W ER1 L D\n")
    rhymes = phase_modality.read_rhymes(tmp_path / "dict.txt")
    assert rhymes["stage"] == rhymes["page"] != rhymes["world"]


def test_harmonic_vectors_have_length_1_and_depend_on_the_angle_alone():
    table = harmonic_embeddings.harmonic_table(65, 32)
    torch.testing.assert_close(table.norm(dim=1), torch.ones(65))
    alike = table @ table.T
    torch.testing.assert_close(alike[0, 3], alike[40, 43], atol=1e-5, rtol=0)


def test_overtones_tell_angles_apart_as_published():
    apart = [wave_coherence.first_apart(math.radians(d), 0.9) for d in (2, 1, 0.1)]
    assert apart == [13, 26, 259]
    each = [wave_coherence.angles_agree(n, 2 * math.pi / 3) for n in range(1, 13)]
    assert abs(sum(each)) < 1e-9
    assert min(each[2], each[5], each[8], each[11]) > 1 - 1e-9


def test_variance_of_coherence_is_what_structureless_vectors_have():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 400, 384))
    assert abs(wave_coherence.z_score(a, b).mean()) < 0.3
    assert wave_coherence.variance(a, a).max() < 1e-12
    theory = 7 / 8 / 48  # of unrelated vectors
    assert abs(wave_coherence.variance(a, b).mean() - theory) < 0.1 * theory


def test_hard_sentences_have_an_attractor_of_the_other_number():
    tokens, verb, agrees, hard = agreement.sentences(300, 0)
    words = [[agreement.WORDS[t] for t in sentence] for sentence in tokens.tolist()]
    nouns = agreement.NOUNS.split()
    for said, at, right, difficult in zip(words, verb.tolist(), agrees, hard, strict=True):
        numbers = [w.endswith("s") for w in said[:at] if w in nouns or w[:-1] in nouns]
        assert bool(difficult) == (numbers[-1] != numbers[0])
        assert bool(right) == (said[at].endswith("s") != numbers[0])


def test_texts_come_back_from_their_tokens():
    for made in (text.characters(SAYING), text.pieces(SAYING, 300)):
        assert made.tokenizer.decode(made.held.tolist()) == SAYING[-len(SAYING) // 10 :]
        assert made.tokenizer.encode("the men").ids
