import numba
import numpy as np
import pytest
import torch

from resonance.dsp.coupled import STATES, _by_eight, _by_four
from resonance.models.coupled import coupled, coupled_plain


def layer(tokens, channels, hops=5, batch=2):
    """Random tokens and weights of a layer."""
    torch.manual_seed(0)
    shapes = [
        (batch, hops, tokens, channels),
        (channels,),
        (channels,),
        (5 * STATES, channels),
        (5 * STATES,),
        (STATES,),
        (2, tokens, tokens),
        (channels, 2 * STATES),
    ]
    return [0.5 * torch.randn(shape, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("product", [_by_eight, _by_four])
@pytest.mark.parametrize("rows", [1, 7, 8, 21])
def test_products_are_right_on_processors_of_either_width(product, rows):
    @numba.njit
    def call(start, step, a, b, c):
        product(start, step, a, b, c)

    rng = np.random.default_rng(0)
    a, b, c = (
        rng.normal(size=shape).astype(np.float32) for shape in ((rows, 5), (5, 32), (rows, 32))
    )
    expected = c + a @ b
    call(c, 1, a, b, c)
    np.testing.assert_allclose(c, expected, rtol=1e-5, atol=1e-5)
    call(b[:1], 0, a, b, c)
    np.testing.assert_allclose(c, b[:1] + a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("tokens", "channels"), [(32, 32), (5, 16), (3, 24)])
def test_compiled_and_plain_agree_in_value_and_gradients(tokens, channels):
    found = []
    for form in (coupled, coupled_plain):
        inputs = [x.clone().requires_grad_() for x in layer(tokens, channels)]
        out = form(*inputs)
        (out * torch.arange(out.numel(), dtype=out.dtype).view(out.shape).sin()).sum().backward()
        found.append([out, *(x.grad for x in inputs)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_those_of_finite_differences():
    inputs = [x.requires_grad_() for x in layer(tokens=2, channels=16, hops=3, batch=1)]
    assert torch.autograd.gradcheck(coupled, inputs, fast_mode=True)
