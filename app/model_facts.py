"""Whether the facts in a model file make sense, before anything is built from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resonance.app.checks import are_numbers, is_count, is_number

Facts = dict[str, Any]
#: Inputs or outputs of a model by name: shapes.
Shapes = dict[str, list[Any]]

#: More numbers than this in one input, output or state are no model of ours.
_MOST_NUMBERS = 10_000_000
#: Shortest hop, and part of one, s.
_SHORTEST_S = 5e-4
#: What begins the address of a file beside an ONNX model, in its encoding.
_EXTERNAL = b"\n\x08location\x12"


def wrong_fact(facts: Facts, kind: str) -> str | None:
    """Name of a fact that is missing or makes no sense in a model of ``kind``; None: all do."""
    checks = {**_BANK, **(_DENOISER if kind == "denoiser" else _KEYWORDS)}
    for name, fits in checks.items():
        try:
            if not fits(facts[name], facts):
                return name
        except (KeyError, TypeError, ValueError, IndexError):
            return name
    return None


def wrong_shape(
    inputs: Shapes, outputs: Shapes, given: tuple[str, ...], needed: tuple[str, ...]
) -> str | None:
    """Name of an input or output that is missing or has no plain shape; None: all have.

    Every input that is not ``given`` is a state, and has an output ``new_STATE`` like it.

    Parameters
    ----------
    inputs, outputs
        Of the model, by ONNX Runtime.
    given
        Inputs that are no states.
    needed
        Outputs that it must have.

    Returns
    -------
    str | None
        The name, or None.
    """
    states = {name: shape for name, shape in inputs.items() if name not in given}
    for name in (*given, *(f"new_{name}" for name in states), *needed):
        if name not in (inputs if name in given else outputs):
            return name
    for name, shape in (*inputs.items(), *outputs.items()):
        if not shape or not all(is_count(size, 1) for size in shape):
            return name
        total = 1
        for size in shape:
            total *= size
        if total > _MOST_NUMBERS:
            return name
    return next((n for n, shape in states.items() if outputs[f"new_{n}"] != shape), None)


def has_external_data(content: bytes) -> bool:
    """Whether an ONNX file leads to other files."""
    return _EXTERNAL in content


def _labels(value: Any, facts: Facts) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 10_000
        and all(isinstance(v, str) and 0 < len(v) <= 40 and v.isprintable() for v in value)
        and len(set(value)) == len(value)
        and not any(set(v) & set("/\\+#\0") for v in value)
    )


def _sensitivity(value: Any, facts: Facts) -> bool:
    """A line for each word; a word that was never measured may be left out."""
    return isinstance(value, dict) and all(
        word in facts["labels"] and are_numbers(line, [2]) and line[1] != 0
        for word, line in value.items()
    )


def _pooling(value: Any, facts: Facts) -> bool:
    count = len(facts["f0_hz"])
    return (
        isinstance(value, list)
        and len(value) == facts["bands"]
        and all(are_numbers(row, [count], -1e6, 1e6) for row in value)
    )


def _carriers(value: Any, facts: Facts) -> bool:
    return (
        isinstance(value, list)
        and len(value) == len(facts["f0_hz"])
        and all(isinstance(v, bool) or v in (0, 1) for v in value)
        and any(value)
    )


def _shortest_ahead(facts: Facts) -> float:
    """A hop, and at least a part and a sample of any samplerate."""
    return float(max(facts["hop_s"], facts["hop_s"] / facts["parts"] + _SHORTEST_S))


Check = Callable[[Any, Facts], bool]

#: Label of what is no word and no speech.
SILENCE = "_silence_"
#: What a file of before need not say.
DEFAULTS: Facts = {"updates": 1, "identity": "", "sensitivity_twice": {}, "apart_odds": 0.0}

_BANK: dict[str, Check] = {
    "f0_hz": lambda value, _: are_numbers(value, range(4, 10_000), 1e-3, 1e5),
    "damping_ratio": lambda value, facts: are_numbers(value, [len(facts["f0_hz"])], 1e-9, 1 - 1e-9),
    "hop_s": lambda value, _: is_number(value, _SHORTEST_S, 0.1),
}
_DENOISER: dict[str, Check] = {
    "carriers": _carriers,
    "parts": lambda value, facts: is_count(value, 1, 16) and facts["hop_s"] / value >= _SHORTEST_S,
    "updates": lambda value, facts: is_count(value, 1, 16) and facts["parts"] % value == 0,
    "ramp_s": lambda value, facts: is_number(value, 0.0, facts["hop_s"] / facts["parts"]),
    "lookahead_s": lambda value, facts: value == 0 or is_number(value, _shortest_ahead(facts), 1.0),
}
_KEYWORDS: dict[str, Check] = {
    "labels": _labels,
    "words": lambda value, facts: is_count(value, 1, len(facts["labels"])),
    "frame_s": lambda value, facts: is_number(value, facts["hop_s"], 0.5),
    "step_frames": lambda value, _: is_count(value, 1, 1000),
    "bands": lambda value, _: is_count(value, 1, 10_000),
    "tokens": lambda value, _: is_count(value, 1, 10_000),
    "pooling": _pooling,
    "sensitivity": _sensitivity,
    "sensitivity_twice": _sensitivity,
    "apart_odds": lambda value, facts: (
        is_number(value, 0.0, 10.0)
        and (not value or (SILENCE in facts["labels"] and bool(facts["sensitivity_twice"])))
    ),
    "identity": lambda value, _: isinstance(value, str),
}
