import json
from dataclasses import replace

import click
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from resonance.models import (
    data,
    keyword_data,
    keyword_frames,
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
            ("keyword", "bed"),
            ("silence", "_silence_"),
        ):
            name = f"{split}-{kind}-{label}.wav"
            voiced = kind in ("speech", "keyword")
            length = 64000 if kind in ("speech", "noise") else 16000
            sound = vowel(rng, length) if voiced else 0.05 * rng.standard_normal(length)
            soundfile.write(folder / name, sound, 16000)
            rows.append(f"{name},{kind},{split},s-{split},{label},1.0,vowels only")
    spoken = ["train-speech-.wav,0.5,1.1,vowels", "train-speech-.wav,2.5,3.1,only"]
    (folder / "words.csv").write_text("\n".join(["path,start_s,end_s,word", *spoken]) + "\n")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--parts 3 --updates 2", "3 is no multiple of --updates 2"),
        ("--weigh edges 2 --weigh edges 3", "edges is given more than once"),
        ("--task vowels --weigh edges 2", "for --task speech"),
    ],
)
def test_denoiser_training_refuses_what_makes_no_sense(options, reason, tmp_path):
    arguments = ["--data", str(tmp_path), "--work", str(tmp_path), *options.split()]
    result = CliRunner().invoke(train_denoiser.main, arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.output.split())


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


def test_a_training_ends_when_its_time_is_over(tiny_data, tmp_path):
    common = "--data", tiny_data, "--work", tmp_path, "--task", "vowels", "--batch", 1
    run(train_denoiser.main, *common, "--workers", 0, "--minutes", 0.02, "--check-every", 10**6)
    folder = tmp_path / "denoiser-vowels"
    scores = json.loads((folder / "scores.jsonl").read_text(encoding="utf-8"))
    assert 5 < scores["step"] < 1000
    assert torch.load(folder / "last.pt", weights_only=True)["step"] == scores["step"]


def test_another_configuration_is_not_resumed(tmp_path):
    config = train_denoiser.DenoiserConfig(controller=ControllerConfig(layers=1))
    folder = tmp_path / "run"
    train_denoiser.Run(
        folder, config, 4, 1e-3, None, "cpu", 0, None, train_denoiser.waveform_loss
    ).save()
    other = replace(config, lookahead_s=0.02)
    with pytest.raises(click.ClickException, match="was trained with"):
        train_denoiser.Run(
            folder, other, 4, 1e-3, None, "cpu", 0, None, train_denoiser.waveform_loss
        )


def test_a_run_may_begin_with_another_models_weights(tmp_path, capsys):
    config = train_denoiser.DenoiserConfig(controller=ControllerConfig(layers=1))
    first = train_denoiser.Run(
        tmp_path / "a", config, 4, 1e-3, None, "cpu", 0, None, train_denoiser.waveform_loss
    )
    save_model(first.model, tmp_path / "best.pt")
    best, none = tmp_path / "best.pt", tmp_path / "none.pt"
    assert train_denoiser.layers_of(none, best) == 1  # none of them is lost
    assert train_denoiser.layers_of(none, None) == ControllerConfig.layers
    save_model(train_denoiser.Denoiser(train_denoiser.DenoiserConfig()), tmp_path / "last.pt")
    assert train_denoiser.layers_of(tmp_path / "last.pt", best) == ControllerConfig.layers
    ahead = replace(config, lookahead_s=0.02)
    second = train_denoiser.Run(
        tmp_path / "b",
        ahead,
        4,
        1e-3,
        None,
        "cpu",
        0,
        tmp_path / "best.pt",
        train_denoiser.waveform_loss,
    )
    assert torch.equal(first.model.controller.inlet.weight, second.model.controller.inlet.weight)
    assert (
        "from scratch: controller.say_broad.bias, controller.say_broad.weight"
        in capsys.readouterr().out
    )
    save_atomically({"weights": {"foreign": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(click.ClickException, match="no weights that fit"):
        train_denoiser.Run(
            tmp_path / "c",
            ahead,
            4,
            1e-3,
            None,
            "cpu",
            0,
            tmp_path / "other.pt",
            train_denoiser.waveform_loss,
        )


@pytest.fixture
def quiet_voices(monkeypatch):
    """Vowels instead of synthetic voices, which take minutes."""
    monkeypatch.setattr(
        keyword_frames,
        "spoken_words",
        lambda words, each, seed: [
            (word, vowel(np.random.default_rng(seed), 9000)) for word in words
        ],
    )
    monkeypatch.setattr(keyword_frames, "READINGS", dict.fromkeys(keyword_frames.READINGS, 1))


SMALL = ("--set", "width=16", "--set", "heads=2", "--set", "layers=1", "--set", "channels=[2,3,4]")


def test_keyword_training_resumes_exactly(tiny_data, tmp_path, quiet_voices):
    common = ("--data", tiny_data, "--versions", 2, "--period", 2, *SMALL)
    run(train_keywords.main, *common, "--work", tmp_path / "a", "--steps", 8)
    (tmp_path / "b/keywords").mkdir(parents=True)
    stopped = train_keywords.Run.check

    def stop_half_way(self):
        now = stopped(self)
        if self.step == 4:
            raise click.ClickException("stopped")
        return now

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_keywords.Run, "check", stop_half_way)
        arguments = [*common, "--work", tmp_path / "b", "--steps", 8]
        CliRunner().invoke(train_keywords.main, [str(a) for a in arguments])
    run(train_keywords.main, *common, "--work", tmp_path / "b", "--steps", 8)
    whole, parts = (
        torch.load(tmp_path / name / "keywords/last.pt", weights_only=True) for name in "ab"
    )
    assert whole["step"] == parts["step"] == 8
    for part in ("model", "average", "types"):
        for name, value in whole[part].items():
            assert torch.equal(value, parts[part][name]), (part, name)
    assert keywords.load(tmp_path / "a/keywords/best.pt")[0].config.channels == (2, 3, 4)
    begun = ("--start-from", tmp_path / "a/keywords/best.pt", "--name", "again", "--steps", 2)
    run(train_keywords.main, *common, "--work", tmp_path / "a", *begun)
    wrong = [*common, "--work", tmp_path, "--set", "wide=16"]
    result = CliRunner().invoke(train_keywords.main, [str(a) for a in wrong])
    assert "--set wide: no such size" in result.output


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
