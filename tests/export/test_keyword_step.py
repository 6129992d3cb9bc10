"""The step that is exported computes what the trained model does."""

import click
import pytest
import torch

from resonance.export.keyword_step import SpotterStep
from resonance.models.keywords import KeywordSpotter, SpotterConfig, label_scores


def as_if_trained(config):
    """A spotter whose normalisations have met sound."""
    torch.manual_seed(0)
    model = KeywordSpotter(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.weight, 1.0, 0.3)
            torch.nn.init.normal_(module.bias, 0.0, 0.3)
    return model


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layers": 1, "exponent": 1, "position": "learned"},
        {"exponent": 3, "coupling": "softplus"},
        {"normalise_anchors": False, "channels": (2, 3, 4), "width": 16, "d_osc": 4},
    ],
)
@torch.no_grad()
def test_step_by_step_is_the_model_at_once(changes):
    model = as_if_trained(SpotterConfig(**changes))
    step = SpotterStep(model)
    frames = torch.randn(1, 80, 40)
    whole, _ = model.listen(frames, model.first_state())
    state = step.first_state()
    for i in range(0, 80, 2):
        logits, embedding, *view_and_state = step(frames[:, i : i + 2], *state)
        view, state = view_and_state[:5], view_and_state[5:]
    torch.testing.assert_close(logits.softmax(-1), label_scores(whole.scores).softmax(-1))
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(1))
    torch.testing.assert_close(embedding, whole.embedding, atol=1e-4, rtol=0)
    for found, expected in zip(view, whole.view, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"attention": "softmax"}, "nothing to show"), ({"stem": "resonance"}, "convolutional stem")],
)
def test_what_cannot_be_exported_is_said(changes, reason):
    with pytest.raises(click.ClickException, match=reason):
        SpotterStep(KeywordSpotter(SpotterConfig(**changes)))
