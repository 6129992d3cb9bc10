"""The step form gives hop by hop what the trained model gives for a whole sound."""

from dataclasses import replace

import pytest
import torch

from resonance.export.denoiser_step import DenoiserStep
from resonance.models.controller import CONTRAST, ControllerConfig, SlowLevels
from resonance.models.denoiser import Denoiser, DenoiserConfig

SMALL = DenoiserConfig(broad=32, narrow=16, controller=ControllerConfig(channels=16, layers=2))
AHEAD = replace(SMALL, lookahead_s=0.02)
HOPS = 20


def stirred(config):
    """A denoiser with all its parameters at random."""
    torch.manual_seed(0)
    model = Denoiser(config).eval()
    with torch.no_grad():
        for parameter in model.controller.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(params=[SMALL, AHEAD], ids=["one-sided", "two-sided"])
def model(request):
    return stirred(request.param)


def test_step_by_step_is_the_whole(model):
    features = torch.randn(1, HOPS, model.oscillators, 4)
    step = DenoiserStep(model).eval()
    states = tuple(step.first_states().values())
    with torch.no_grad():
        whole, readings = model.gains(features)
        readings = torch.cat([readings[..., :1].sigmoid(), readings[..., 1:]], -1)
        for hop in range(HOPS):
            gain, reading, *states = step(features[:, hop], *states)
            torch.testing.assert_close(gain, whole[:, hop], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(reading, readings[:, hop], atol=1e-4, rtol=1e-4)


def test_the_running_level_follows_step_by_step(model):
    features = torch.randn(1, HOPS, model.oscillators, 4)
    controller, step = model.controller, DenoiserStep(model).level
    state = torch.zeros(1, 1, 2)
    with torch.no_grad():
        level = controller.level(features[..., : controller.broad, CONTRAST])
        for hop in range(HOPS):
            relative, _, state = step(features[:, hop], state)
            moved = features[:, hop] - relative
            torch.testing.assert_close(moved[..., :2], level[:, hop, None].expand(1, 48, 2))
            assert (moved[..., 2:] == 0).all()


def test_slow_levels_follow_step_by_step(model):
    features = torch.randn(1, HOPS, model.oscillators, 4)
    slow: SlowLevels = model.controller.floor
    step, state = DenoiserStep(model).inlet, torch.zeros(1, model.oscillators, 2)
    with torch.no_grad():
        whole = slow(features[..., CONTRAST])
        for hop in range(HOPS):
            *_, state = step(features[:, hop], state)
            torch.testing.assert_close(state.transpose(1, 2).flatten(1), whole[:, hop])
