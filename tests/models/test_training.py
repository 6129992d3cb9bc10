from dataclasses import replace

import click
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from resonance.models import (
    data,
    keyword_copies,
    keyword_data,
    keywords,
    train_denoiser,
    train_keywords,
)
from resonance.models.controller import ControllerConfig
from resonance.models.training import Average, save_atomically, save_model, warm_hold_decay
from resonance.models.vowels import vowel


@pytest.fixture(scope="module")
def tiny_data(tmp_path_factory):
    """A data folder with a few seconds of everything, in both splits."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = ["path,kind,split,speaker,label,seconds,text"]
    for split in ("train", "dev"):
        for kind, label in (
            ("speech", ""),
            ("noise", "hiss"),
            ("keyword", "yes"),
            ("keyword", "no"),
            ("silence", "_silence_"),
        ):
            name = f"{split}-{kind}-{label}.wav"
            voiced = kind in ("speech", "keyword")
            sound = vowel(rng, 16000) if voiced else 0.05 * rng.standard_normal(16000)
            soundfile.write(folder / name, sound, 16000)
            rows.append(f"{name},{kind},{split},s-{split},{label},1.0,vowels only")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_denoiser_training_resumes_exactly(tiny_data, tmp_path):
    common = (
        "--data",
        tiny_data,
        "--batch",
        1,
        "--threads",
        1,
        "--workers",
        0,
        "--check-every",
        4,
        "--steps",
        4,
        "--task",
        "vowels",
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(train_denoiser.main, *common, "--work", whole)
    train_denoiser.seed_everything(0)
    config = train_denoiser.DenoiserConfig()
    folder = parts / "denoiser-vowels"
    stopped = train_denoiser.Run(
        folder, config, 4, 3e-3, None, "cpu", 0, None, train_denoiser.waveform_loss
    )
    mixer = train_denoiser.Mixer(
        *train_denoiser.stores(train_denoiser.find_recordings(tiny_data), "train", parts),
        train_denoiser.room_responses(200, 0),
        train_denoiser.VOWELS_ONLY,
        0,
    )
    for index in range(2):
        stopped.train_step(*(torch.from_numpy(s) for s in mixer.batch(index, 1)))
    stopped.save()
    output = run(train_denoiser.main, *common, "--work", parts)
    assert "at step 2" in output
    a, b = (torch.load(f / "denoiser-vowels/last.pt", weights_only=True) for f in (whole, parts))
    for part in ("model", "average"):
        for name, value in a[part].items():
            assert torch.equal(value, b[part][name]), name
    for number, state in a["optimiser"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, b["optimiser"]["state"][number][name]), (number, name)


def test_another_configuration_is_not_resumed(tmp_path):
    config = train_denoiser.DenoiserConfig(controller=ControllerConfig(layers=1))
    folder = tmp_path / "run"
    train_denoiser.Run(folder, config, 4, 1e-3, None, "cpu", 0, None).save()
    other = replace(config, lookahead_s=0.02)
    with pytest.raises(click.ClickException, match="was trained with"):
        train_denoiser.Run(folder, other, 4, 1e-3, None, "cpu", 0, None)


def test_a_run_may_begin_with_another_models_weights(tmp_path, capsys):
    config = train_denoiser.DenoiserConfig(controller=ControllerConfig(layers=1))
    first = train_denoiser.Run(tmp_path / "a", config, 4, 1e-3, None, "cpu", 0, None)
    save_model(first.model, tmp_path / "best.pt")
    ahead = replace(config, lookahead_s=0.02)
    second = train_denoiser.Run(
        tmp_path / "b", ahead, 4, 1e-3, None, "cpu", 0, tmp_path / "best.pt"
    )
    assert torch.equal(first.model.controller.inlet.weight, second.model.controller.inlet.weight)
    assert (
        "from scratch: controller.say_broad.bias, controller.say_broad.weight"
        in capsys.readouterr().out
    )
    save_atomically({"weights": {"foreign": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(click.ClickException, match="no weights that fit"):
        train_denoiser.Run(tmp_path / "c", ahead, 4, 1e-3, None, "cpu", 0, tmp_path / "other.pt")


def test_keyword_training_runs_and_resumes(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        keyword_copies,
        "spoken_words",
        lambda words, each, seed: [
            (word, vowel(np.random.default_rng(seed), 9000)) for word in words for _ in range(each)
        ],
    )
    monkeypatch.setattr(keyword_data, "speak_by_anyone", lambda rng, text: vowel(rng, 20000))
    common = (
        "--data",
        tiny_data,
        "--work",
        tmp_path,
        "--copies",
        1,
        "--threads",
        1,
        "--synthetic",
        3,
        "--share",
        0.1,
    )
    first = run(train_keywords.main, *common, "--epochs", 1)
    assert "'ten'" in first
    run(train_keywords.main, *common, "--epochs", 2)
    assert torch.load(tmp_path / "keywords/last.pt", weights_only=True)["epoch"] == 2
    begun = ("--start-from", tmp_path / "keywords/best.pt", "--name", "again", "--epochs", 1)
    run(train_keywords.main, *common, *begun)
    small = ("--set", "width=16", "--set", "channels=[2,3,4]", "--epochs", 1, "--name", "small")
    run(train_keywords.main, *common, *small)
    assert keywords.load(tmp_path / "small/best.pt")[0].config.channels == (2, 3, 4)
    result = CliRunner().invoke(
        train_keywords.main, [str(a) for a in (*common, "--set", "wide=16", "--epochs", 1)]
    )
    assert "--set wide: no such size" in result.output


def test_keyword_training_resumes_exactly(tmp_path):
    torch.manual_seed(0)
    config = keywords.SpotterConfig(width=16, heads=2, layers=1, channels=(2, 3, 4))
    examples = keyword_data.Examples(torch.randn(64, 64, 40), torch.randint(0, 12, (64,)))
    options = {
        "epochs": 3,
        "seed": 1,
        "batch": 16,
        "learning_rate": 1e-3,
        "device": "cpu",
        "share": 1.0,
    }

    def some(folder, epochs):
        torch.manual_seed(1)
        model = keywords.KeywordSpotter(config)
        run = train_keywords.Run(model, examples, folder, **options)
        while run.epoch < epochs:
            run.train_epoch(examples)
            run.check()
        return torch.load(folder / "last.pt", weights_only=True)

    whole = some(tmp_path / "whole", 3)
    some(tmp_path / "parts", 1)
    parts = some(tmp_path / "parts", 3)
    for name, value in whole["model"].items():
        assert torch.equal(value, parts["model"][name]), name


def test_words_that_count_are_never_taken_for_unknown_speech(tiny_data, tmp_path):
    store = keyword_data.AudioStore(
        [
            data.Recording(tiny_data / "train-speech-.wav", "speech", "train", "s", "", text)
            for text in ("nothing to see", "please stop", "Marvin went home")
        ],
        tmp_path,
    )
    assert keyword_data.places_of_words(store, 0) == []
    assert keyword_data.places_of_words(store, 1) == [pytest.approx(9 / 11)]
    assert keyword_data.places_of_words(store, 2) == [pytest.approx(3 / 16)]


def test_readers_are_held_out_by_name():
    lots = [
        keyword_data.held_out(data.Recording(None, "speech", "train", str(n))) for n in range(400)
    ]
    assert set(lots) == {0, 1, 2}
    assert 60 < sum(lot > 0 for lot in lots) < 140
    assert keyword_data.held_out(data.Recording(None, "speech", "train", "")) == 0


def test_learning_rate_rises_holds_and_falls():
    factors = [warm_hold_decay(s, 1000, warm=100, decay=0.4) for s in range(1001)]
    assert factors[0] == 0.01
    assert factors[100] == factors[599] == 1.0
    assert factors[800] == pytest.approx(0.5)
    assert factors[1000] == 0.0


def test_average_follows_the_model():
    model = torch.nn.Linear(2, 2)
    average = Average(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    for step in range(40):
        average.update(model, step)
    torch.testing.assert_close(average.weights["weight"], torch.ones(2, 2))


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "last.pt"
    save_atomically({"step": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_atomically({"step": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
