"""Words spoken by a network that sounds when it is asked to, in the layout that trainings read."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from resonance.models import kokoro_voices
from resonance.models.data import find_recordings
from resonance.models.keywords import CORE_WORDS


@pytest.fixture
def network(tmp_path):
    """A file with Kokoro's inputs that says its style over and over."""

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    nodes = [
        helper.make_node("Tile", ["style", "often"], ["long"]),
        helper.make_node("Mul", ["long", "speed"], ["audio"]),
    ]
    inputs = [
        value("tokens", TensorProto.INT64, [1, "count"]),
        value("style", TensorProto.FLOAT, [1, 256]),
        value("speed", TensorProto.FLOAT, [1]),
    ]
    often = helper.make_tensor("often", TensorProto.INT64, [2], [1, 40])
    graph = helper.make_graph(
        nodes, "voice", inputs, [value("audio", TensorProto.FLOAT, [1, 10240])], [often]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "network.onnx")
    voices = tmp_path / "voices"
    voices.mkdir()
    for number, name in enumerate(("af_one", "am_two", "bf_three", "jf_four")):
        style = np.random.default_rng(number).standard_normal((510, 256))
        style.astype(np.float32).tofile(voices / f"{name}.bin")
    return tmp_path / "network.onnx", voices


def test_a_word_in_kokoros_symbols():
    assert kokoro_voices.sounds_of("no", "en-us") == "nˈO"
    assert kokoro_voices.sounds_of("stop", "en-us") == "stˈɑp"
    assert kokoro_voices.sounds_of("right", "en-gb") == "ɹˈIt"
    for accent in ("en-us", "en-gb"):
        for word in CORE_WORDS:
            assert set(kokoro_voices.sounds_of(word, accent)) <= kokoro_voices.SYMBOLS.keys()


def test_speakers_are_written_as_trainings_read_them(network, tmp_path):
    out = tmp_path / "data"
    options = ["--network", network[0], "--voices", network[1], "--out", out, "--speakers", "2"]
    for first in ("0", "2"):
        run = CliRunner().invoke(kokoro_voices.main, [*map(str, options), "--first", first])
        assert run.exit_code == 0, run.output
    found = find_recordings(out)
    assert {r.speaker for r in found} == {f"kokoro-{number}" for number in range(4)}
    assert set(CORE_WORDS) <= {r.label for r in found}
    assert {(r.kind, r.split) for r in found} == {("keyword", "train")}
    assert all(r.path.exists() for r in found)


def test_a_speaker_is_a_function_of_its_number(network):
    kokoro = kokoro_voices.Kokoro(*network)
    once, again, other = (
        [sound for *_, sound in kokoro_voices.readings(kokoro, range(number, number + 1))]
        for number in (5, 5, 6)
    )
    for sound, same in zip(once, again, strict=True):
        np.testing.assert_array_equal(sound, same)
    assert not np.array_equal(once[0][:1000], other[0][:1000])


def test_without_voices_it_says_so(network, tmp_path):
    options = ["--network", network[0], "--voices", tmp_path / "models", "--out", tmp_path / "o"]
    (tmp_path / "models").mkdir()
    run = CliRunner().invoke(kokoro_voices.main, [str(option) for option in options])
    assert run.exit_code == 1
    assert "holds no voices" in run.output
