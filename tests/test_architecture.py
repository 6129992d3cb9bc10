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
    "app": {"dsp", "assets"},
}
FORBIDDEN = {
    "dsp": {"torch", "onnxruntime", "PyQt6", "soundfile", "sounddevice"},
    "app": {"torch"},
    "assets": {"torch"},
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_only_what_they_may(room):
    for path in (ROOT / room).rglob("*.py"):
        found = imports(path)
        foreign = (found & ALLOWED.keys()) - ALLOWED[room] - {room}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"
        assert not found & FORBIDDEN.get(room, set()), path


def test_program_starts_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import app.cli, app.pipeline, app.files, app.figure, app.clean, app.batch.command\n"
        "from app.sessions import DenoiserModel, SpotterModel\n"
        "denoiser, spotter = DenoiserModel.preset('live'), SpotterModel()\n"
        "app.pipeline.Pipeline(16000, denoiser=denoiser, spotter=spotter)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
