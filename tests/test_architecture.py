"""Who may import whom: the program must start without torch, and dsp must stand alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "dsp": set(),
    "assets": set(),
    "models": {"dsp"},
    "export": {"models", "dsp"},
    "lab": {"models", "dsp"},
    "app": {"dsp", "assets"},
}
FORBIDDEN = {
    "dsp": {"torch", "onnxruntime", "PyQt6", "soundfile", "sounddevice"},
    "app": {"torch"},
    "assets": {"torch"},
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports: of our own package by room, of others by package."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        ".".join(name.split(".")[: 2 if name.startswith("resonance.") else 1]) for name in names
    }


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_only_what_they_may(room):
    for path in (ROOT / room).rglob("*.py"):
        found = imports(path)
        rooms = {name.removeprefix("resonance.") for name in found if "." in name} & ALLOWED.keys()
        foreign = rooms - ALLOWED[room] - {room}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"
        assert not found & FORBIDDEN.get(room, set()), path


@pytest.mark.parametrize("folder", [*ALLOWED, "resonance", "bench", "tests"])
def test_rooms_are_imported_as_parts_of_the_package(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert not imports(path) & ALLOWED.keys(), f"{path.relative_to(ROOT)}: resonance.… is meant"


def test_program_starts_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import resonance.app.cli, resonance.app.files, resonance.app.figure\n"
        "import resonance.app.arrays, resonance.app.batch.command\n"
        "from resonance.app.onnx_models import DenoiserModel, SpotterModel\n"
        "denoiser, spotter = DenoiserModel.preset('live'), SpotterModel()\n"
        "resonance.Pipeline(16000, denoiser=denoiser, spotter=spotter)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
