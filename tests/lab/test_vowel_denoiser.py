"""The published denoiser: sizes, causality, and its two other claims in small."""

import torch

from resonance.lab.vowel_denoiser import (
    CLIP_LAYERS,
    CLIP_OSCILLATORS,
    Continuation,
    VowelDenoiser,
    filter_imitation,
    snr_db,
    vowels,
)
from resonance.models.transformer import trainable

HOP = 128


def shaken(model):
    """The model with a head that says something."""
    torch.manual_seed(0)
    torch.nn.init.normal_(model.head.weight, std=0.1)
    return model


def test_sizes_are_the_published_ones():
    assert trainable(VowelDenoiser()) == 2_168_576
    assert trainable(VowelDenoiser(CLIP_OSCILLATORS, CLIP_LAYERS)) == 411_904


def test_untrained_it_changes_nothing():
    clean, noisy = vowels(0, 1)
    with torch.no_grad():
        assert snr_db(VowelDenoiser()(noisy), noisy).item() > 60
    assert 7.7 < snr_db(noisy, clean).item() < 7.9


def test_what_comes_later_changes_nothing_before():
    model, (_, sound) = shaken(VowelDenoiser(32, 1)), vowels(0, 1)
    other = sound.clone()
    other[:, 10 * HOP :] = 0
    with torch.no_grad():
        a, b = model(sound), model(other)
    assert torch.equal(a[:, : 10 * HOP], b[:, : 10 * HOP])
    assert not torch.equal(a, b)


def test_a_continuation_has_not_learnt_from_what_it_continues():
    made, (sound, _) = Continuation(), vowels(0, 1)
    shaken(made.model)
    last = sound.shape[-1] // HOP - 1
    other = sound.clone()
    other[:, last * HOP :] = 0
    with torch.no_grad():
        a, b = made.continued(made.before(sound)), made.continued(made.before(other))
    assert a.shape[-1] == last * HOP
    assert torch.equal(a, b)
    assert a[:, -HOP:].abs().max() > 0


def test_it_learns_to_be_a_state_variable_filter():
    """A narrow one needs oscillators that move; for a broad one weights suffice."""
    assert filter_imitation(1000.0, 0.7, steps=0) > 60
    assert filter_imitation(300.0, 10.0, steps=0) < 22.6 < filter_imitation(300.0, 10.0, steps=8)
