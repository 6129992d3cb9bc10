"""Resonance: a clean microphone and keyword spotter built from damped driven oscillators.

>>> import numpy as np
>>> import resonance
>>> hiss = 0.1 * np.random.default_rng(0).standard_normal(16000)
>>> cleaned = resonance.clean(hiss, samplerate=16000)

Sound that arrives block by block goes through a :class:`Pipeline`. Everything named here is loaded
when it is first used, so that ``import resonance`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resonance.app.arrays import clean, spot
    from resonance.app.errors import UserError
    from resonance.app.onnx_models import DenoiserModel, SpotterModel
    from resonance.app.pipeline import Pipeline
    from resonance.app.spotter import KeywordEvent
    from resonance.dsp.bank import OscillatorBank

__version__ = "0.1.0"

_PLACES = {
    "DenoiserModel": "resonance.app.onnx_models",
    "KeywordEvent": "resonance.app.spotter",
    "OscillatorBank": "resonance.dsp.bank",
    "Pipeline": "resonance.app.pipeline",
    "SpotterModel": "resonance.app.onnx_models",
    "UserError": "resonance.app.errors",
    "clean": "resonance.app.arrays",
    "spot": "resonance.app.arrays",
}

__all__ = [
    "DenoiserModel",
    "KeywordEvent",
    "OscillatorBank",
    "Pipeline",
    "SpotterModel",
    "UserError",
    "__version__",
    "clean",
    "spot",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
