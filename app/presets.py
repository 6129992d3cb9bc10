"""Which denoisers are shipped: each card in ``assets/models`` is a preset and describes itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from resonance.app.errors import WrongUsage
from resonance.app.small_files import read_small
from resonance.assets import MODELS

#: What live sound and what files are cleaned with unless another preset is named.
LIVE_PRESET, FILE_PRESET = "call", "studio"


@dataclass(frozen=True)
class Preset:
    """A denoiser that can be chosen by name."""

    name: str
    title: str  #: what people call it
    summary: str  #: what it is good for, in a few words
    task: str  #: "speech", or what else it learned to clean
    lookahead_s: float  #: how much later it plays than it listens, s
    path: Path  #: of its step form


@lru_cache(maxsize=4)
def presets(folder: Path = MODELS) -> tuple[Preset, ...]:
    """All that are shipped, by name.

    Parameters
    ----------
    folder
        Where models and cards are.

    Returns
    -------
    tuple of Preset
        Title and summary come from the card; a card without them is named after its file.
    """
    found = []
    for path in sorted(folder.glob("denoiser-*.json")):
        name = path.stem.removeprefix("denoiser-")
        card = _card(path)
        title, summary = card.get("title", name.capitalize()), card.get("summary", "")
        task, lookahead_s = card.get("task", "speech"), card.get("lookahead_s", 0.0)
        found.append(
            Preset(
                name,
                str(title),
                str(summary),
                str(task),
                float(lookahead_s) if isinstance(lookahead_s, int | float) else 0.0,
                path.with_suffix(".onnx"),
            )
        )
    return tuple(found)


def speech_presets() -> list[Preset]:
    """Those that clean speech, the quickest first."""
    speech = [preset for preset in presets() if preset.task == "speech"]
    return sorted(speech, key=lambda preset: preset.lookahead_s)


def _card(path: Path) -> dict[str, Any]:
    """Nothing if it cannot be read: loading the model says so."""
    try:
        card = json.loads(read_small(path))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises
    ------
    WrongUsage
        If none of this name is shipped.
    """
    shipped = {preset.name: preset.path for preset in presets()}
    if name not in shipped:
        there_are = ", ".join(shipped) or "none"
        raise WrongUsage(f"preset {name!r} is not shipped; choose one of: {there_are}")
    return shipped[name]
