"""The exact solution of the Kerr equation, against an integrator that knows nothing of it."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from resonance.models.kerr import KerrFeedForward, KerrOscillators, ring

BANDS = 6


def swung(coupling):
    """Oscillators with nothing special about them, and inputs [inputs, 2 · bands]."""
    torch.manual_seed(0)
    oscillators = KerrOscillators(BANDS, coupling).double()
    with torch.no_grad():
        for parameter in oscillators.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return oscillators, 1.5 * torch.randn(4, 2 * BANDS, dtype=torch.float64)


@pytest.mark.parametrize("coupling", ["neighbours", "full"])
def test_closed_form_solves_the_equation(coupling):
    oscillators, x = swung(coupling)
    if coupling == "full":
        matrix = oscillators.matrix.detach().numpy()
    else:
        matrix = np.zeros((BANDS, BANDS))
        for k in range(BANDS):
            for j in range(BANDS):
                near = {0: oscillators.own, 1: oscillators.beside, 2: oscillators.beside}
                matrix[k, j] = float(near[abs(k - j)].detach()) if abs(k - j) <= 2 else 0.0
    damping, own = (p.detach().numpy() for p in (oscillators.damping, oscillators.frequency))
    end = oscillators(x).detach().numpy()
    for start, expected in zip(x.numpy(), end, strict=True):
        z = start[0::2] + 1j * start[1::2]
        solved = solve_ivp(
            lambda _, z: (-damping + 1j * (own + matrix @ np.abs(z) ** 2)) * z,
            (0, 1),
            z,
            rtol=1e-11,
            atol=1e-12,
        ).y[:, -1]
        np.testing.assert_allclose(expected[0::2] + 1j * expected[1::2], solved, atol=1e-8)


def test_no_input_grows_and_the_start_can_be_had_back():
    oscillators, x = swung("neighbours")
    y = oscillators(100 * x)
    assert (
        y.unflatten(-1, (-1, 2)).norm(dim=-1) <= 100 * x.unflatten(-1, (-1, 2)).norm(dim=-1)
    ).all()
    torch.testing.assert_close(oscillators.inverse(oscillators(x)), x, atol=1e-12, rtol=0)


def test_gradients_are_right_also_without_damping():
    oscillators, x = swung("neighbours")
    assert torch.autograd.gradcheck(oscillators, (x[:1].requires_grad_(),))
    damping = torch.tensor([0.0, 1e-9, 0.3], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ring(damping)[:2].detach(), torch.ones(2, dtype=torch.float64))
    ring(damping).sum().backward()
    assert torch.isfinite(damping.grad).all()


def test_layer_has_the_published_size():
    assert sum(p.numel() for p in KerrFeedForward(128).parameters()) == 16_642
    assert sum(p.numel() for p in KerrFeedForward(128, maestro=16).parameters()) == 16_642 + 4_240
