from dataclasses import replace

import pytest
import torch

from models.keywords import PUBLISHED, KeywordSpotter, SpotterConfig, load
from models.training import save_model


@pytest.mark.parametrize(("attention", "count"), [("oscillator", 14_446), ("softmax", 14_250)])
def test_published_parameter_counts(attention, count):
    model = KeywordSpotter(replace(PUBLISHED, attention=attention))
    assert sum(p.numel() for p in model.parameters()) == count


def test_level_does_not_matter():
    model = KeywordSpotter(SpotterConfig()).eval()
    window = torch.randn(2, 62, 40)
    torch.testing.assert_close(model(window), model(window + 0.7), atol=1e-4, rtol=0)


def test_explaining_gives_the_same_answer_and_the_view():
    config = SpotterConfig()
    model = KeywordSpotter(config).eval()
    window = torch.randn(1, 62, 40)
    logits, embedding, view = model.explain(window)
    torch.testing.assert_close(logits, model(window))
    assert embedding.shape == (1, config.width)
    assert view.settled.shape == (1, config.heads, 31, config.d_osc)
    torch.testing.assert_close(view.anchors.norm(dim=-1), torch.ones(config.heads, 31))


def test_softmax_has_nothing_to_show():
    model = KeywordSpotter(SpotterConfig(attention="softmax")).eval()
    with pytest.raises(TypeError, match="softmax"):
        model.explain(torch.randn(1, 62, 40))


def test_saved_models_come_back(tmp_path):
    model = KeywordSpotter(SpotterConfig(width=32)).eval()
    save_model(model, tmp_path / "m.pt", scores={"all": 1.0})
    again, extra = load(tmp_path / "m.pt")
    window = torch.randn(1, 62, 40)
    torch.testing.assert_close(again(window), model(window))
    assert extra == {"scores": {"all": 1.0}}
