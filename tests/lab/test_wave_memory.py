"""The memory's file, and what it does to a model."""

import click
import numpy as np
import pytest
import torch

from resonance.lab.kerr_feedforward import QUICK, character_model
from resonance.lab.wave_memory import WaveMemory, attached, generate


def memory(layers=3, bands=64, alpha=0.05):
    parts = np.random.default_rng(0).standard_normal((2, layers, bands))
    return WaveMemory((parts[0] + 1j * parts[1]).astype(np.complex64), alpha, 0.99, 7)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return character_model("Kerr, maestro", 65, QUICK).eval()


def test_file_has_the_published_size_and_comes_back(tmp_path):
    path = tmp_path / "a.kwmf"
    memory().save(path)
    assert path.stat().st_size == 1568
    assert path.read_bytes()[:4] == b"KWMF"
    back = WaveMemory.load(path)
    np.testing.assert_array_equal(back.state, memory().state)
    assert (back.alpha, back.beta) == pytest.approx((0.05, 0.99))
    assert back.conversations == 7
    memory(bands=384).save(path)
    assert path.stat().st_size == 9248


def test_published_version_without_checksum_is_read(tmp_path):
    path = tmp_path / "a.kwmf"
    memory().save(path)
    content = bytearray(path.read_bytes())
    content[4:8], content[20:24] = (1).to_bytes(4, "little"), np.float32(0.99).tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(WaveMemory.load(path).state, memory().state)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "a.kwmf"
    memory().save(path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[700] ^= 1
    for content, reason in (
        (damaged, "damaged"),
        (whole[:-1], "bytes"),
        (b"RIFF" + whole[4:], "KWMF"),
    ):
        path.write_bytes(content)
        with pytest.raises(click.ClickException, match=reason):
            WaveMemory.load(path)


def test_without_memory_nothing_changes_by_a_bit(model):
    tokens = torch.randint(65, (1, 20))
    with torch.no_grad():
        plain = model(tokens)
        with attached(model, memory(2, 24)):
            assert not torch.equal(model(tokens), plain)
        assert torch.equal(model(tokens), plain)
        with attached(model, WaveMemory.empty(2, 24)):
            assert torch.equal(model(tokens), plain)
        with attached(model, memory(2, 24, alpha=0.0)):
            assert torch.equal(model(tokens), plain)


def test_text_in_parts_leaves_the_memory_that_all_of_it_leaves(model):
    tokens = torch.randint(65, (4, 20))
    with torch.no_grad():
        with attached(model, None) as at_once:
            model(tokens)
        with attached(model, None) as in_parts:
            for part in tokens:
                model(part[None])
    np.testing.assert_allclose(at_once.mean(), in_parts.mean(), atol=1e-5)


def test_memory_converges_to_what_it_sees_again_and_again():
    seen, made = memory().state, WaveMemory.empty(3, 64)
    for _ in range(50):
        made.learn(seen)
    np.testing.assert_allclose(made.state, (1 - 0.99**50) * seen, rtol=1e-4)


def test_census_catches_a_spike():
    made = memory()
    made.state[1, 32] = 7.0
    assert (1, 32) in made.census()


def test_generation_is_repeatable(model):
    start = torch.randint(65, (5,))
    first, second = (list(generate(model, start, 10, seed=3)) for _ in range(2))
    assert first == second
    assert len(first) == 10
