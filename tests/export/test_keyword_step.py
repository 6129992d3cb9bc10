"""The steps that are exported and compiled compute what the trained model does."""

import click
import numpy as np
import pytest
import torch

from resonance.dsp.keyword_step import KeywordStep
from resonance.export.keyword_step import SpotterStep
from resonance.export.onnx_file import weights_of
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
    "changes",
    [
        {},
        {"tokens": 48, "width": 64, "heads": 2},
        {"channels": (2, 3, 17), "width": 16, "d_osc": 4},
    ],
)
@torch.no_grad()
def test_compiled_it_is_the_model_at_once(changes):
    model = as_if_trained(SpotterConfig(**changes))
    exported = SpotterStep(model)
    assert exported.shown
    step = KeywordStep(weights_of(exported), model.config.bands)
    frames = torch.randn(1, 80, 40)
    whole, _ = model.listen(frames, model.first_state())
    for _ in range(2):
        step.reset()
        for pair in frames[0].numpy().reshape(40, 2, 40):
            step.run(pair)
    found = {name: torch.from_numpy(array) for name, array in step.outputs.items()}
    expected = label_scores(whole.scores).softmax(-1)
    torch.testing.assert_close(found["logits"].exp(), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found["embedding"], whole.embedding, atol=1e-4, rtol=0)
    for name, value in zip(("settled", "anchors", "order", "pull"), whole.view, strict=False):
        torch.testing.assert_close(found[name], value, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(found["attention"], whole.view.weights, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("changes", [{"exponent": 1}, {"coupling": "softplus"}, {"width": 40}])
def test_variants_are_left_to_the_graph(changes):
    assert not SpotterStep(KeywordSpotter(SpotterConfig(**changes)).eval()).shown


def test_weights_that_do_not_fit_are_refused():
    weights = weights_of(SpotterStep(as_if_trained(SpotterConfig())))
    unused = ("mean", "anchors", "toward")  # of the graph only
    for name in (name for name in weights if not name.endswith(unused)):
        other = {**weights, name: np.zeros((3, 3), np.float32)}
        with pytest.raises((KeyError, ValueError)):
            KeywordStep(other, 40)
        if ".change." not in name:
            with pytest.raises(KeyError):
                KeywordStep({n: w for n, w in weights.items() if n != name}, 40)
    with pytest.raises(ValueError, match="shape"):
        KeywordStep(weights, 48)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"attention": "softmax"}, "nothing to show"), ({"stem": "resonance"}, "convolutional stem")],
)
def test_what_cannot_be_exported_is_said(changes, reason):
    with pytest.raises(click.ClickException, match=reason):
        SpotterStep(KeywordSpotter(SpotterConfig(**changes)))
