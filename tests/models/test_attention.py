"""The theory of oscillator attention, and its masks."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from resonance.models.attention import (
    OscillatorAttention,
    SoftmaxAttention,
    cap_probability,
    settled_fraction,
    trajectory,
)


def lohe(z, drive):
    """ż = (I - z zᵀ) h."""
    return drive - (z * drive).sum(-1, keepdims=True) * z


def sphere(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return points / points.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("d_osc", [2, 3, 8])
def test_the_only_equilibria_are_the_drive_and_its_antipode(d_osc):
    drive = 3 * sphere((500, d_osc), 1)
    goal = drive / drive.norm(dim=-1, keepdim=True)
    assert lohe(goal, drive).abs().max() < 1e-12
    assert lohe(-goal, drive).abs().max() < 1e-12
    elsewhere = sphere((500, d_osc), 2)
    along = (elsewhere * goal).sum(-1).abs()
    speed = lohe(elsewhere, drive).norm(dim=-1)
    torch.testing.assert_close(speed, 3 * torch.sqrt(1 - along**2))  # 0 only at the two poles


@pytest.mark.parametrize("d_osc", [2, 8])
def test_almost_every_start_settles_at_the_drive(d_osc):
    drive = 2 * sphere((1000, d_osc), 1)
    end = trajectory(sphere((1000, d_osc), 2), drive, 30.0)
    torch.testing.assert_close(end, drive / 2, atol=1e-6, rtol=0)


def test_antipode_is_unstable_and_goal_is_stable():
    drive = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    nudge = 1e-6
    for sign, grows in ((1.0, False), (-1.0, True)):
        start = torch.tensor([[nudge, sign]], dtype=torch.float64)
        start = start / start.norm()
        moved = trajectory(start, drive, 1.0)[0, 0].abs().item()
        assert moved == pytest.approx(nudge * math.exp(2.0 if grows else -2.0), rel=1e-3)


@pytest.mark.parametrize("d_osc", [2, 4, 8])
def test_closed_form_solves_the_equation(d_osc):
    drive, start = 1.7 * sphere((20, d_osc), 3), sphere((20, d_osc), 4)
    exact = trajectory(start, drive, 2.5)
    for i in range(20):
        h = drive[i].numpy()
        solved = solve_ivp(
            lambda _, z, h=h: h - (z @ h) * z, (0, 2.5), start[i].numpy(), rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(solved.y[:, -1], exact[i], atol=1e-7)


@pytest.mark.parametrize(
    ("d_osc", "expected"),
    [
        (2, (0.125, 0.166667, 0.25)),
        (3, (0.038060, 0.066987, 0.146447)),
        (4, (0.012460, 0.028834, 0.090845)),
        (8, (1.859e-4, 1.268e-3, 0.016573)),
        (16, (6.0e-8, 3.50e-6, 7.51e-4)),
    ],
)
def test_cap_formula_of_proposition_4(d_osc, expected):
    angles = (math.pi / 8, math.pi / 6, math.pi / 4)
    for angle, probability in zip(angles, expected, strict=True):
        assert cap_probability(angle, d_osc) == pytest.approx(probability, rel=5e-3)
    points = sphere((40000, d_osc))
    share = (points[:, 0] > math.cos(math.pi / 4)).double().mean().item()
    error = math.sqrt(expected[2] / 40000)
    assert share == pytest.approx(expected[2], abs=4 * error)


def test_settled_fraction_is_what_random_starts_do():
    drive = torch.tensor([[0.18, 0.0]], dtype=torch.float64).expand(20000, 2)
    end = trajectory(sphere((20000, 2)), drive, 30.0)
    share = ((end - drive / 0.18).norm(dim=-1) < 0.01).double().mean().item()
    assert share == pytest.approx(settled_fraction(0.18, 30.0, 0.01), abs=0.015)


def test_settled_positions_ignore_the_scale_of_the_coupling():
    torch.manual_seed(0)
    attention = OscillatorAttention(16, 2, 10, coupling="relu").double()
    with torch.no_grad():
        attention.query.weight *= 100  # far above the small constant that keeps h from vanishing
    x = torch.randn(3, 10, 16, dtype=torch.float64)
    _, before = attention.synchronise(x)
    with torch.no_grad():
        attention.query.weight *= 50
    _, after = attention.synchronise(x)
    torch.testing.assert_close(before.settled, after.settled, atol=5e-3, rtol=0)


@pytest.mark.parametrize(("exponent", "rank"), [(1, 3), (2, 6)])
def test_rank_of_the_weights_is_bounded(exponent, rank):
    torch.manual_seed(0)
    attention = OscillatorAttention(16, 1, 40, exponent=exponent).double()
    _, view = attention.synchronise(torch.randn(1, 40, 16, dtype=torch.float64))
    assert torch.linalg.matrix_rank(view.weights[0, 0], rtol=1e-9) <= rank


@pytest.mark.parametrize("coupling", ["relu", "softplus"])
def test_weights_are_a_distribution_and_order_is_between_0_and_1(coupling):
    torch.manual_seed(0)
    _, view = OscillatorAttention(16, 4, 12, coupling=coupling).synchronise(torch.randn(2, 12, 16))
    torch.testing.assert_close(view.weights.sum(-1), torch.ones(2, 4, 12))
    assert (view.weights >= 0).all()
    assert ((view.order >= 0) & (view.order <= 1)).all()


KINDS = {
    "oscillator": lambda causal: OscillatorAttention(16, 2, 12, causal=causal),
    "softmax": lambda causal: SoftmaxAttention(16, 2, causal=causal),
}


@pytest.mark.parametrize("kind", KINDS)
def test_causal_tokens_do_not_see_the_future(kind):
    torch.manual_seed(0)
    attention = KINDS[kind](True)
    x = torch.randn(1, 12, 16)
    changed = x.clone()
    changed[:, 7:] = torch.randn(1, 5, 16)
    torch.testing.assert_close(attention(x)[:, :7], attention(changed)[:, :7])
    assert not torch.allclose(attention(x)[:, 7:], attention(changed)[:, 7:])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind):
    torch.manual_seed(0)
    attention = KINDS[kind](False)
    x = torch.randn(2, 12, 16)
    present = torch.ones(2, 12, dtype=torch.bool)
    present[:, 8:] = False
    garbage = x.clone()
    garbage[:, 8:] = 100.0
    torch.testing.assert_close(attention(x, present)[:, :8], attention(garbage, present)[:, :8])


def test_width_must_divide_into_heads():
    with pytest.raises(ValueError, match="multiple of heads 3"):
        OscillatorAttention(16, 3, 10)
