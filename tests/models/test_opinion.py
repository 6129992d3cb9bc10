import click
import numpy as np
import onnx
import pytest
import torch

from resonance.models.opinion import Opinion, taught

LOOKS = [(128, 1), (64, 128), (64, 64), (32, 64), (32, 32), (32, 32), (64, 32)]


@pytest.fixture
def network(tmp_path):
    """A file with the tensors of DNSMOS, of chance."""
    rng = np.random.default_rng(0)
    shapes = {f"time2freq/stft-{part}/kernel:0": (161, 320, 1) for part in ("real", "imag")}
    for i, (outputs, inputs) in enumerate(LOOKS):
        name = "conv2d" if i == 0 else f"conv2d_{i}"
        shapes |= {f"{name}/kernel:0": (outputs, inputs, 3, 3), f"{name}/bias:0": (outputs,)}
    for name, inputs, outputs in (("dense", 64, 128), ("dense_1", 128, 64), ("dense_3", 64, 3)):
        layer = f"mos_estimator_logpow/{name}/{{}}/ReadVariableOp/resource:0"
        shapes |= {layer.format("MatMul"): (inputs, outputs), layer.format("BiasAdd"): (outputs,)}
    tensors = [
        onnx.numpy_helper.from_array(
            (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name
        )
        for name, shape in shapes.items()
    ]
    graph = onnx.helper.make_graph([], "dnsmos", [], [], initializer=tensors)
    path = tmp_path / "dnsmos.onnx"
    onnx.save(onnx.helper.make_model(graph), path)
    return path


def test_a_teacher_judges_at_one_level_and_steers(network):
    torch.manual_seed(0)
    opinion = Opinion(network)
    clean = 0.1 * torch.randn(4, 16000)
    noisy = clean + 0.1 * torch.randn(4, 16000)
    points = opinion(noisy, clean)
    assert points.shape == (4,)
    torch.testing.assert_close(opinion(0.01 * noisy, 0.01 * clean), points, atol=0.02, rtol=0)

    def loss(estimate, target, mixture):
        return (estimate - target).square().mean()

    estimate = noisy.clone().requires_grad_()
    (plain,) = torch.autograd.grad(loss(estimate, clean, noisy), estimate)
    (steered,) = torch.autograd.grad(taught(loss, opinion, 1.0)(estimate, clean, noisy), estimate)
    assert not torch.equal(steered[0], plain[0])  # one in four is judged
    torch.testing.assert_close(steered[1:], plain[1:])


def test_nothing_is_judged_without_speech(network):
    silence, noise = torch.zeros(2, 16000), 0.1 * torch.randn(2, 16000)
    both = taught(lambda estimate, target, mixture: estimate.sum(), Opinion(network), 1.0)
    assert both(noise, silence, noise) == noise.sum()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"no network")
    with pytest.raises(click.ClickException, match="is not a DNSMOS model"):
        Opinion(tmp_path / "other.onnx")
