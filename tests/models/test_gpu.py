"""The kernels for NVIDIA GPUs; elsewhere there is nothing to run them on."""

import pytest
import torch

from resonance.models import hopwise
from resonance.models.training import Recorded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")


def on_gpu(tensors):
    return [t.detach().cuda().requires_grad_(t.requires_grad) for t in tensors]


def compare(function, inputs):
    """Values and gradients on the GPU against those on the CPU."""
    found = []
    for given in (inputs, on_gpu(inputs)):
        out = function(*given)
        out = out if isinstance(out, tuple) else (out,)
        torch.manual_seed(1)
        loss = sum((o * torch.randn(o.shape).to(o)).sum() for o in out)
        found.append([*out, *torch.autograd.grad(loss, [g for g in given if g.requires_grad])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs.cpu(), ours, rtol=1e-4, atol=1e-4)


def test_scans_agree():
    torch.manual_seed(0)
    compare(hopwise.scan, [(0.6 * torch.randn(3, 37, 70)).requires_grad_() for _ in range(4)])


def test_slow_oscillators_agree():
    torch.manual_seed(0)
    turn = torch.randn(16)
    circle = torch.stack([turn.cos(), turn.sin()])
    compare(hopwise.resonate, [torch.randn(2, 37, 6, 48).requires_grad_(), circle.requires_grad_()])


def test_listening_agrees():
    torch.manual_seed(0)
    edges = torch.tensor([0, 50, 99, 150, 200])
    angle = torch.linspace(0.1, 2.0, 40)
    poles = 0.9 * angle.cos(), 0.9 * angle.sin()
    neighbours = tuple(torch.randn(2, 39, dtype=torch.complex64))
    sound = torch.randn(2, 200)
    there = hopwise.listen(sound.cuda(), edges, *on_gpu(poles), tuple(n.cuda() for n in neighbours))
    for ours, theirs in zip(hopwise.listen(sound, edges, *poles, neighbours), there, strict=True):
        torch.testing.assert_close(theirs.cpu(), ours, rtol=1e-4, atol=1e-4)


def test_recorded_steps_do_what_steps_do():
    weight = torch.zeros(3, device="cuda", requires_grad=True)
    optimiser = torch.optim.SGD([weight], lr=0.1)

    def step(x):
        optimiser.zero_grad()
        loss = (weight - x).square().sum()
        loss.backward()
        optimiser.step()
        return (loss.detach(),)

    recorded, expected = Recorded(step), torch.zeros(3)
    for number in range(8):
        x = torch.full((3,), float(number))
        (loss,) = recorded(x.cuda())
        assert float(loss) == pytest.approx(float((expected - x).square().sum()), rel=1e-5)
        expected += 0.2 * (x - expected)
    torch.testing.assert_close(weight.detach().cpu(), expected)
