"""What a bug report needs: versions, models, system libraries, devices."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from app import __version__
from app.devices import list_devices
from app.errors import UserError
from app.sessions import read_card
from assets import MODELS

PACKAGES = ("numpy", "numba", "onnxruntime", "soundfile", "sounddevice", "matplotlib", "torch")


def collect() -> dict[str, Any]:
    """Everything, as plain values; what is missing says so instead of failing."""
    return {
        "resonance": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in PACKAGES},
        "models": [_card(path) for path in sorted(MODELS.glob("*.json"))],
        "audio": _audio(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _card(path: Any) -> dict[str, Any]:
    try:
        card = read_card(path)
    except (ValueError, OSError) as error:
        return {"file": path.name, "error": str(error)}
    return {name: card.get(name) for name in ("file", "kind", "bytes", "parameters", "sha256")}


def _audio() -> dict[str, Any]:
    try:
        devices = list_devices()
    except UserError as error:
        return {"portaudio": str(error), "devices": []}
    return {"portaudio": "found", "devices": [f"{d.name} ({d.host_api})" for d in devices]}
