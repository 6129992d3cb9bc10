"""What a bug report needs: versions, models, system libraries, devices."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

from resonance import __version__
from resonance.app import config, pulse
from resonance.app.devices import list_devices
from resonance.app.enrolment import words_folder
from resonance.app.errors import UserError
from resonance.app.live.streams import may_be_realtime
from resonance.app.onnx_models import read_card
from resonance.assets import MODELS

PACKAGES = (
    "numpy",
    "numba",
    "onnxruntime",
    "soundfile",
    "soxr",
    "sounddevice",
    "pulsectl",
    "PyQt6",
    "matplotlib",
    "torch",
)


def collect() -> dict[str, Any]:
    """Everything, as plain values; what is missing says so instead of failing."""
    return {
        "resonance": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in PACKAGES},
        "models": [_card(path.with_suffix(".json")) for path in sorted(MODELS.glob("*.onnx"))],
        "audio": _audio(),
        "sound_server": _server(),
        "realtime_priority": "granted" if may_be_realtime() else "not granted",
        "settings": {"file": str(config.path()), "exists": config.path().exists()},
        "words": str(words_folder()),
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


def _server() -> str:
    try:
        with pulse.connection() as server:
            facts = server.server_info()
            return f"{facts.server_name} {facts.server_version}"
    except UserError as error:
        return str(error)


def _audio() -> dict[str, Any]:
    try:
        devices = list_devices()
    except UserError as error:
        return {"portaudio": str(error), "devices": []}
    return {"portaudio": "found", "devices": [f"{d.name} ({d.host_api})" for d in devices]}
