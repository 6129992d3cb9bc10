"""Exported files say what the trained models say, carry their facts, and fail loudly otherwise."""

import json

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from resonance.app.errors import ModelError
from resonance.app.onnx_models import (
    CompiledRun,
    DenoiserModel,
    GraphRun,
    SpotterModel,
    SpotterState,
)
from resonance.app.pipeline import Pipeline
from resonance.assets import MODELS
from resonance.export import denoiser as export_denoiser
from resonance.export import keywords as export_keywords
from resonance.export.onnx_file import ParityError, check_close, write_card
from resonance.models.controller import ControllerConfig
from resonance.models.denoiser import Denoiser, DenoiserConfig
from resonance.models.keywords import KeywordSpotter, SpotterConfig, label_scores
from resonance.models.training import save_model

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A random denoiser with a random bank, exported: (folder, model, output of the command)."""
    return export(tmp_path_factory.mktemp("models"), "live", 0.0)


@pytest.fixture(scope="module")
def exported_ahead(tmp_path_factory):
    """The same with look-ahead and two updates a hop."""
    return export(tmp_path_factory.mktemp("ahead"), "call", 0.008, updates=2)


def export(folder, preset, lookahead_s, updates=1):
    torch.manual_seed(0)
    config = DenoiserConfig(
        lookahead_s=lookahead_s, updates=updates, controller=ControllerConfig(layers=1)
    )
    model = Denoiser(config).eval()
    with torch.no_grad():
        model.controller.say_broad.weight.normal_(std=0.05)
        model.controller.say_narrow.weight.normal_(std=0.05)
        model.controller.layers[0].out.weight.normal_(std=0.2)
        model.bank.f0_shift.normal_(std=0.5)
        model.bank.damping_shift.normal_(std=0.5)
    save_model(model, folder / "best.pt", step=5, scores={"improvement": 1.5})
    result = CliRunner().invoke(
        export_denoiser.main,
        [
            "--checkpoint",
            str(folder / "best.pt"),
            "--out",
            str(folder),
            "--data",
            "none",
            "--preset",
            preset,
        ],
    )
    assert result.exit_code == 0, result.output
    return folder, model, result.output


def test_torch_onnx_and_pipeline_agree_over_a_minute(exported):
    folder, model, output = exported
    differences = json.loads(next(x for x in output.splitlines() if x.startswith("{")))
    assert max(differences.values()) < 2e-5
    sound = export_denoiser.proof_sound()
    with torch.no_grad():
        trained = model(torch.from_numpy(sound[None]))[0][0].numpy()
    played = np.empty_like(sound)
    pipeline = Pipeline(16000, denoiser=DenoiserModel(folder / "denoiser-live.onnx"))
    for start in range(0, len(sound), 1234):
        pipeline.process(sound[start : start + 1234], played[start : start + 1234])
    assert np.abs(trained - played).max() < 2e-5


def test_torch_and_pipeline_agree_with_lookahead(exported_ahead):
    folder, model, output = exported_ahead
    differences = json.loads(next(x for x in output.splitlines() if x.startswith("{")))
    assert max(differences.values()) < 2e-5
    pipeline = Pipeline(16000, denoiser=DenoiserModel(folder / "denoiser-call.onnx"))
    late = pipeline.latency_samples
    sound = export_denoiser.proof_sound()[: 160_000 + late]
    with torch.no_grad():
        trained = model(torch.from_numpy(sound[None]))[0][0].numpy()
    played = np.empty_like(sound)
    for start in range(0, len(sound), 1234):
        pipeline.process(sound[start : start + 1234], played[start : start + 1234])
    assert np.abs(trained[:-late] - played[late:]).max() < 2e-5


def test_torch_and_pipeline_agree_after_digital_silence(exported):
    """Before the first sound: later on the pipeline leaves silence out."""
    folder, model, _ = exported
    sound = np.concatenate([np.zeros(4800, np.float32), export_denoiser.proof_sound()])
    with torch.no_grad():
        trained = model(torch.from_numpy(sound[None]))[0][0].numpy()
    played = np.empty_like(sound)
    Pipeline(16000, denoiser=DenoiserModel(folder / "denoiser-live.onnx")).process(sound, played)
    assert np.abs(trained - played).max() < 1e-4


def test_card_and_metadata_tell_where_a_model_comes_from(exported):
    folder, model, _ = exported
    card = json.loads((folder / "denoiser-live.json").read_text())
    assert card["training_scores"] == {"improvement": 1.5}
    assert card["parameters"] == sum(p.numel() for p in model.parameters())
    assert "export.denoiser" in card["command"]
    facts = {
        p.key: json.loads(p.value)
        for p in onnx.load(str(folder / "denoiser-live.onnx")).metadata_props
    }
    assert facts["lookahead_s"] == 0
    np.testing.assert_allclose(facts["f0_hz"], model.bank.frozen().f0_hz)


def test_a_changed_file_is_refused(exported, tmp_path):
    folder = exported[0]
    for name in ("denoiser-live.onnx", "denoiser-live.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with (tmp_path / "denoiser-live.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="card describes"):
        DenoiserModel(tmp_path / "denoiser-live.onnx")
    with pytest.raises(ModelError, match="missing"):
        DenoiserModel(tmp_path / "nothing.onnx")
    (tmp_path / "denoiser-live.json").write_text("[]")
    with pytest.raises(ModelError, match="cannot be read"):
        DenoiserModel(tmp_path / "denoiser-live.onnx")


@pytest.mark.parametrize("preset", ["live", "call", "studio"])
def test_the_compiled_loop_gives_the_gains_of_the_file(preset):
    model = DenoiserModel.preset(preset)
    features = np.random.default_rng(0).standard_normal((200, 2, len(model.bank), 4))
    ended = np.arange(200) % model.parts == 1
    runs = [kind(model) for kind in (CompiledRun, GraphRun)]
    ours, theirs = (run.gains(features.astype(np.float32), ended) for run in runs)
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()
    np.testing.assert_allclose(runs[0].voices, runs[1].voices, atol=1e-5)
    assert runs[0].voice == runs[0].voices[-1]
    assert runs[0].noise_dbfs == pytest.approx(runs[1].noise_dbfs, abs=1e-3)


def test_many_parts_in_one_call_give_the_same_bits_as_one_by_one(exported_ahead):
    model = DenoiserModel(exported_ahead[0] / "denoiser-call.onnx")
    features = np.random.default_rng(0).standard_normal((50, 2, 160, 4)).astype(np.float32)
    ended = np.arange(50) % 4 == 2
    together, one_by_one = model.start(), model.start()
    expected = together.gains(features, ended)
    single = [
        one_by_one.gains(f[None], last[None])[0] for f, last in zip(features, ended, strict=True)
    ]
    np.testing.assert_array_equal(single, expected)
    together.reset()
    np.testing.assert_array_equal(together.gains(features, ended), expected)


def test_a_bank_that_does_not_fill_vectors_is_refused():
    """The compiled loop writes 16 numbers at a time, and looks at no limits."""
    odd = Denoiser(DenoiserConfig(broad=40, controller=ControllerConfig(layers=1)))
    with pytest.raises(ValueError, match="has another shape"):
        export_denoiser.compiled(odd)


@pytest.mark.parametrize("change", ["missing", "wrong shape"])
def test_weights_that_do_not_fit_are_refused(exported, tmp_path, change):
    path = tmp_path / "denoiser-live.onnx"
    model = onnx.load(str(exported[0] / path.name))
    if change == "missing":
        kept = [o for o in model.graph.output if o.name != "inlet.down"]
    else:
        kept = [o for o in model.graph.output if o.name not in ("inlet.rate", "inlet.keep")]
        value = np.zeros((1, 2), np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, "rate"))
        model.graph.node.append(onnx.helper.make_node("Identity", ["rate"], ["inlet.rate"]))
        for node in model.graph.node[:-1]:
            node.input[:] = ["old" if name == "inlet.rate" else name for name in node.input]
        for weight in model.graph.initializer:
            weight.name = "old" if weight.name == "inlet.rate" else weight.name
        kept.append(onnx.helper.make_tensor_value_info("inlet.rate", 1, value.shape))
    del model.graph.output[:]
    model.graph.output.extend(kept)
    onnx.save(model, str(path))
    write_card(path, {})
    with pytest.raises(ModelError, match="weights do not fit"):
        DenoiserModel(path)


def test_junk_with_a_good_card_is_refused(tmp_path):
    path = tmp_path / "denoiser-live.onnx"
    path.write_bytes(b"junk")
    write_card(path, {})
    with pytest.raises(ModelError, match="not a model of ours"):
        DenoiserModel(path)


def test_a_denoiser_is_no_spotter(exported):
    with pytest.raises(ModelError, match="kind"):
        SpotterModel(exported[0] / "denoiser-live.onnx")


@pytest.mark.parametrize(("bits", "noise_db"), [(8, -30), (4, -15)])
def test_fewer_bits_are_smaller_and_sound_nearly_alike(exported, tmp_path, bits, noise_db):
    folder = exported[0]
    result = CliRunner().invoke(
        export_denoiser.main,
        [
            "--checkpoint",
            str(folder / "best.pt"),
            "--out",
            str(tmp_path),
            "--data",
            "none",
            "--preset",
            "live",
            "--bits",
            str(bits),
        ],
    )
    assert result.exit_code == 0, result.output
    card = json.loads((tmp_path / "denoiser-live.json").read_text())
    assert card["bits_per_weight"] == bits
    assert card["parity"]["quantisation_noise_db"] < noise_db
    assert card["bytes"] < json.loads((folder / "denoiser-live.json").read_text())["bytes"]
    DenoiserModel(tmp_path / "denoiser-live.onnx")


def test_differences_stop_an_export():
    with pytest.raises(ParityError, match="gains differ by"):
        check_close("gains", 2e-4)
    with pytest.raises(ParityError):
        check_close("gains", float("nan"))


@pytest.mark.parametrize("bits", ["32", "8"])
def test_spotter_export(tmp_path, bits):
    torch.manual_seed(0)
    model = KeywordSpotter(SpotterConfig()).eval()
    save_model(model, tmp_path / "best.pt", scores={"ten": 50.0})
    result = CliRunner().invoke(
        export_keywords.main,
        [
            "--checkpoint",
            str(tmp_path / "best.pt"),
            "--out",
            str(tmp_path),
            "--data",
            "none",
            "--bits",
            bits,
        ],
    )
    assert result.exit_code == 0, result.output
    state = SpotterState(SpotterModel(tmp_path / "keywords.onnx"))
    frames = np.random.default_rng(0).normal(size=(62, 40)).astype(np.float32)
    for start in range(0, 62, 2):
        probabilities = state.step(frames[start : start + 2])
    with torch.no_grad():
        output, _ = model.listen(torch.from_numpy(frames[None]), model.first_state())
    close = {"atol": 1e-5 if bits == "32" else 0.1, "rtol": 0}
    expected = label_scores(output.scores).softmax(-1)[0]
    np.testing.assert_allclose(probabilities, expected, **close)
    if bits == "32":
        np.testing.assert_allclose(state.embedding, output.embedding[0], **close)
        np.testing.assert_allclose(state.settled, output.view.settled[0], **close)
        np.testing.assert_allclose(state.pull, output.view.pull[0], atol=1e-3)
    assert state.settled.shape == state.anchors.shape == (4, 31, 2)
    assert state.attention.shape == (4, 31, 31)
    state.reset()
    assert not state.logits.any()


def test_an_export_of_the_same_weights_keeps_its_identity(tmp_path):
    """Words that people have learned with the spotter stay valid."""
    torch.manual_seed(0)
    folders = {}
    for name in ("before", "same", "other"):
        model = KeywordSpotter(SpotterConfig(layers=1 + (name == "other"))).eval()
        if name == "same":
            model.load_state_dict(torch.load(folders["before"] / "state.pt"))
        folder = folders[name] = tmp_path / name
        folder.mkdir()
        torch.save(model.state_dict(), folder / "state.pt")
        save_model(model, folder / "best.pt", scores={})
        arguments = ["--checkpoint", folder / "best.pt", "--out", folder, "--data", "none"]
        if name != "before":
            arguments += ["--same-as", folders["before"] / "keywords.onnx"]
        result = CliRunner().invoke(export_keywords.main, [str(a) for a in arguments])
        assert (result.exit_code == 0) == (name != "other")
    before, same = (SpotterModel(folders[n] / "keywords.onnx") for n in ("before", "same"))
    assert same.identity == before.identity
    assert isinstance(result.exception, ParityError)


def test_a_spotter_of_another_step_is_refused(tmp_path):
    """The compiled loop takes two frames and looks at no limits."""
    model = onnx.load(MODELS / "keywords.onnx")
    (frames,) = (each for each in model.graph.input if each.name == "frames")
    frames.type.tensor_type.shape.dim[1].dim_value = 4
    for node in model.graph.node:
        node.input[:] = ["two" if name == "frames" else name for name in node.input]
    ends = {"first": [0], "last": [2], "axis": [1]}
    for name, value in ends.items():
        tensor = onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        model.graph.initializer.append(tensor)
    model.graph.node.insert(0, onnx.helper.make_node("Slice", ["frames", *ends], ["two"]))
    for fact in model.metadata_props:
        if fact.key == "step_frames":
            fact.value = "4"
    path = tmp_path / "keywords.onnx"
    onnx.save(model, path)
    write_card(path, {})
    with pytest.raises(ModelError, match="another step"):
        SpotterModel(path)
