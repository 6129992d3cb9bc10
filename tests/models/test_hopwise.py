"""The plain forms, and on an NVIDIA GPU its kernels, against the compiled ones of the CPU."""

import pytest
import torch

from resonance.models import bank, hopwise
from resonance.models.training import Recorded

DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def compare(ours, reference, inputs, device):
    """Values and gradients of a function on a device against those of another on the CPU."""
    there = [t.detach().to(device).requires_grad_(t.requires_grad) for t in inputs]
    found = []
    for function, given in ((reference, inputs), (ours, there)):
        out = function(*given)
        out = out if isinstance(out, tuple) else (out,)
        torch.manual_seed(1)
        loss = sum((o * torch.randn(o.shape).to(o)).sum() for o in out)
        found.append([*out, *torch.autograd.grad(loss, [g for g in given if g.requires_grad])])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got.cpu(), expected, rtol=1e-4, atol=1e-4)


def resonate(drive, circle):
    u_re, u_im, gain = drive.chunk(3, -1)
    gain = torch.sigmoid(gain)
    parts = (1 - gain) * circle[0], (1 - gain) * circle[1], gain * u_re, gain * u_im
    h = torch.stack(bank.scan(*(p.flatten(2) for p in parts)), 1)
    return h.unflatten(-1, u_re.shape[2:]).transpose(2, 3)


@pytest.mark.parametrize("device", DEVICES)
def test_scans_agree(device):
    torch.manual_seed(0)
    inputs = [(0.6 * torch.randn(3, 37, 70)).requires_grad_() for _ in range(4)]
    compare(hopwise.scan, bank.scan, inputs, device)


@pytest.mark.parametrize("device", DEVICES)
def test_slow_oscillators_agree(device):
    torch.manual_seed(0)
    turn = torch.randn(16)
    circle = torch.stack([turn.cos(), turn.sin()]).requires_grad_()
    inputs = [torch.randn(2, 37, 6, 48).requires_grad_(), circle]
    compare(hopwise.resonate, resonate, inputs, device)


@pytest.mark.parametrize("device", DEVICES)
def test_listening_agrees(device):
    torch.manual_seed(0)
    edges = torch.tensor([0, 50, 99, 150, 200])
    angle = torch.linspace(0.1, 2.0, 40)
    sound, own, following = torch.randn(2, 200), *torch.randn(2, 39, dtype=torch.complex64)
    given = 0.9 * angle.cos(), 0.9 * angle.sin(), own, following

    def listen(form, sound, pole_re, pole_im, *neighbours):
        return form(sound, edges, pole_re, pole_im, neighbours)

    expected = listen(bank.listen, sound, *given)
    got = listen(hopwise.listen, *(t.to(device) for t in (sound, *given)))
    for theirs, ours in zip(expected, got, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-4)


if torch.cuda.is_available():

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
