"""The step form gives hop by hop what the trained model gives for a whole sound."""

from dataclasses import replace

import pytest
import torch

from resonance.export.denoiser_step import DenoiserStep
from resonance.models.controller import CONTRAST, ControllerConfig, SlowLevels
from resonance.models.denoiser import Denoiser, DenoiserConfig

SMALL = DenoiserConfig(broad=32, narrow=16, controller=ControllerConfig(channels=16, layers=2))
AHEAD = replace(SMALL, lookahead_s=0.02)
OFTEN = replace(SMALL, updates=2)
HOPS = 8


def stirred(config):
    """A denoiser with all its parameters at random."""
    torch.manual_seed(0)
    model = Denoiser(config).eval()
    with torch.no_grad():
        for parameter in model.controller.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(params=[SMALL, AHEAD, OFTEN], ids=["one-sided", "two-sided", "often"])
def model(request):
    return stirred(request.param)


def random_features(model):
    """Features of updates, and of the broad ones up to the end of each part and in it."""
    steps = (HOPS - 1) * model.config.update_parts + 1
    hops = torch.randn(1, HOPS, model.oscillators, 4)
    windows, parts = torch.randn(2, 1, steps, model.config.broad, 4)
    windows[:, :: model.config.update_parts] = hops[..., : model.config.broad, :]
    return hops, windows, parts


def in_steps(model, hops, windows, parts):
    """The same as the step form takes them: features of parts, and whether each ends an update."""
    for step in range(windows.shape[1]):
        hop, place = divmod(step, model.config.update_parts)
        features = torch.full((1, 2, model.oscillators, 4), float("nan"))
        features[:, 0, : model.config.broad] = windows[:, step]
        features[:, 1, : model.config.broad] = parts[:, step]
        if place == 0:
            features[:, 0] = hops[:, hop]
        yield features, torch.full((1, 1, 1), float(place == 0)), hop


def test_step_by_step_is_the_whole(model):
    given = random_features(model)
    step = DenoiserStep(model).eval()
    states = tuple(step.first_states().values())
    with torch.no_grad():
        whole, readings = model.gains(*given)
        readings = torch.cat([readings[..., :1].sigmoid(), readings[..., 1:]], -1)
        for number, (features, ended, hop) in enumerate(in_steps(model, *given)):
            gain, reading, *states = step(features, ended, *states)
            torch.testing.assert_close(gain, whole[:, number], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(reading, readings[:, hop], atol=1e-4, rtol=1e-4)


def test_until_a_hop_has_ended_all_passes(model):
    step = DenoiserStep(model).eval()
    features = torch.randn(1, 2, model.oscillators, 4)
    with torch.no_grad():
        gain, *_ = step(features, torch.zeros(1, 1, 1), *step.first_states().values())
    torch.testing.assert_close(gain, torch.tensor([1.0, 0.0]).expand_as(gain))


def test_the_running_level_follows_step_by_step(model):
    hops, windows, parts = random_features(model)
    controller, step = model.controller, DenoiserStep(model).level
    state = torch.zeros(1, 1, 2)
    with torch.no_grad():
        level = controller.level(hops[..., : controller.broad, CONTRAST])
        for features, ended, hop in in_steps(model, hops, windows, parts):
            relative, part, state = step(features, ended > 0, state)
            for given, moved in zip(features[0], (relative[0], part[0]), strict=True):
                moved = (given - moved)[: controller.broad]
                torch.testing.assert_close(moved[:, :2], level[:, hop].expand(32, 2))
                assert (moved[:, 2:] == 0).all()


def test_slow_levels_follow_step_by_step(model):
    hops, windows, parts = random_features(model)
    slow: SlowLevels = model.controller.floor
    step, state = DenoiserStep(model).inlet, torch.zeros(1, model.oscillators, 2)
    with torch.no_grad():
        whole = slow(hops[..., CONTRAST])
        for features, ended, hop in in_steps(model, hops, windows, parts):
            *_, state = step(features[:, 0], ended > 0, state)
            torch.testing.assert_close(state.transpose(1, 2).flatten(1), whole[:, hop])
