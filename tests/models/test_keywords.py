from dataclasses import replace

import click
import pytest
import torch

from resonance.models.bc_resnet import BCResNet
from resonance.models.keyword_mixing import sudden
from resonance.models.keywords import (
    CLASSES,
    CORE_WORDS,
    CUSTOM_WORDS,
    LABELS,
    PUBLISHED,
    KeywordSpotter,
    SpotterConfig,
    label_scores,
    load,
)
from resonance.models.stem import CausalStem, compiled_training
from resonance.models.train_keywords import begun_with
from resonance.models.training import save_model
from resonance.models.widening import widened


@pytest.fixture
def spotter():
    torch.manual_seed(0)
    return KeywordSpotter(SpotterConfig()).eval()


@pytest.mark.parametrize(("attention", "count"), [("oscillator", 14_446), ("softmax", 14_250)])
def test_published_parameter_counts(attention, count):
    model = KeywordSpotter(replace(PUBLISHED, attention=attention))
    assert sum(p.numel() for p in model.parameters()) == count


def test_the_convolutional_control_has_the_published_size():
    body = sum(p.numel() for p in BCResNet(12).parameters())
    assert 9_000 < body < 9_500  # 9.2 k as published
    assert BCResNet(12)(torch.randn(2, 94, 40)).shape == (2, 12)


def test_level_does_not_matter(spotter):
    frames = torch.randn(2, 94, 40)
    torch.testing.assert_close(spotter(frames), spotter(frames + 0.7), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stem", ["convolution", "resonance"])
def test_two_frames_at_a_time_are_the_same_as_all_at_once(stem):
    spotter = KeywordSpotter(SpotterConfig(stem=stem)).eval()
    frames = torch.randn(2, 94, 40)
    whole, _ = spotter.listen(frames, spotter.first_state(2))
    state = spotter.first_state(2)
    for i in range(0, 94, 2):
        output, state = spotter.listen(frames[:, i : i + 2], state)
    for name in ("scores", "embedding"):
        torch.testing.assert_close(getattr(output, name), getattr(whole, name))
    torch.testing.assert_close(output.view.settled, whole.view.settled, atol=1e-4, rtol=0)


def make_used(model):
    """As after a training: no normalisation is as it was made."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean):
                values.copy_(0.5 + torch.rand_like(values))
            module.running_var.copy_(0.5 + torch.rand_like(module.running_var))


def test_compiled_passes_train_the_stem_as_torch_does(monkeypatch):
    torch.manual_seed(0)
    stems = [CausalStem(40, (6, 9, 12), 16, dropout=0.0).train() for _ in range(2)]
    make_used(stems[0])
    stems[1].load_state_dict(stems[0].state_dict())
    frames, weights = torch.randn(3, 20, 40).cumsum(1), torch.randn(16)
    assert compiled_training(stems[0], frames)
    assert not compiled_training(stems[0].eval(), frames)
    stems[0].train()
    outputs = []
    for stem, compiled in zip(stems, (True, False), strict=True):
        monkeypatch.setattr("resonance.models.stem.compiled_training", lambda *_, c=compiled: c)
        tokens, _ = stem(frames, stem.first_past(3))
        (tokens.tanh() @ weights).sum().backward()
        outputs.append(tokens)
    torch.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)
    ours, torchs = (dict(stem.named_parameters()) for stem in stems)
    for name, parameter in torchs.items():
        off = (ours[name].grad - parameter.grad).norm() / parameter.grad.norm().clamp(min=1e-3)
        assert off < 0.01, name
    for (name, ours), (_, torchs) in zip(*(s.named_buffers() for s in stems), strict=True):
        torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=1e-4, msg=name)


def test_a_widened_spotter_computes_the_same_and_can_learn_more(spotter):
    make_used(spotter)
    wide = widened(spotter, replace(spotter.config, channels=(30, 72, 96))).eval()
    frames = torch.randn(2, 94, 40)
    torch.testing.assert_close(wide(frames), spotter(frames), atol=1e-4, rtol=1e-4)
    mix = wide.inlet.blocks[5].mix.weight  # copies that stayed alike would learn alike
    assert not torch.allclose(mix[:, :48], mix[:, 48:])
    with pytest.raises(ValueError, match="cannot become one of"):
        widened(spotter, replace(spotter.config, channels=(24, 36, 40)))
    with pytest.raises(ValueError, match="width = 80, not 96"):
        widened(spotter, replace(spotter.config, width=96))


@pytest.mark.parametrize("changes", [{}, {"stem": "resonance"}, {"channels": None}])
def test_training_begins_with_a_spotter_of_the_same_sizes(changes):
    config = replace(SpotterConfig(), **changes)
    model = KeywordSpotter(config).eval()
    again = widened(model, replace(config, dropout=0.3)).eval()
    frames = torch.randn(2, 94, 40)
    torch.testing.assert_close(again(frames), model(frames))


def test_what_training_cannot_begin_with_is_named(tmp_path, spotter):
    save_model(spotter, tmp_path / "best.pt")
    with pytest.raises(click.ClickException, match=r"best.pt: it has width = 80, not 96"):
        begun_with(tmp_path / "best.pt", replace(spotter.config, width=96))
    torch.save({"model": {}}, tmp_path / "last.pt")
    with pytest.raises(click.ClickException, match=r"last.pt: .*config"):
        begun_with(tmp_path / "last.pt", spotter.config)


def test_what_is_longer_ago_than_it_remembers_does_not_matter(spotter):
    frames = torch.randn(1, 140, 40)
    torch.testing.assert_close(spotter(frames), spotter(frames[:, -94:]), atol=1e-5, rtol=0)


def test_the_future_does_not_change_the_tokens(spotter):
    frames = torch.randn(1, 40, 40)
    tokens, _ = spotter.inlet(frames, spotter.inlet.first_past())
    earlier, _ = spotter.inlet(frames[:, :20], spotter.inlet.first_past())
    torch.testing.assert_close(tokens[:, :10], earlier)


def test_words_that_are_no_keywords_are_unknown_together():
    scores = torch.full((1, len(CLASSES)), -20.0)
    scores[0, CLASSES.index("bed")] = scores[0, CLASSES.index("cat")] = 1.0
    scores[0, CLASSES.index("yes")] = 1.5
    labels = label_scores(scores)
    assert labels.shape == (1, len(LABELS))
    assert LABELS[int(labels.argmax())] == "_unknown_"
    assert not set(CUSTOM_WORDS) & set(CLASSES)
    assert CLASSES[: len(CORE_WORDS)] == CORE_WORDS


def test_sudden_sounds_are_found_in_noise():
    """A bark begins within a few frames; what swells for a second does not count."""
    noise = 0.02 * torch.randn(400, 40)
    noise[100:120] += 1.0
    noise[200:300] += torch.linspace(0, 1, 100)[:, None]
    (begin,) = sudden(noise)
    assert 100 <= begin < 104


def test_softmax_has_nothing_to_show():
    model = KeywordSpotter(SpotterConfig(attention="softmax")).eval()
    output, _ = model.listen(torch.randn(1, 62, 40), model.first_state())
    assert output.view is None


def test_saved_models_come_back(tmp_path):
    model = KeywordSpotter(SpotterConfig(width=32, position="learned")).eval()
    save_model(model, tmp_path / "m.pt", scores={"all": 1.0})
    again, extra = load(tmp_path / "m.pt")
    frames = torch.randn(1, 62, 40)
    torch.testing.assert_close(again(frames), model(frames))
    assert extra == {"scores": {"all": 1.0}}
