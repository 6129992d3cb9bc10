"""The installed package: what is in it, and that it lives beside anybody's own folders."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import resonance

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "assets", "dsp", "export", "lab", "models")


def test_wheel_holds_one_package(tmp_path):
    source = tmp_path / "source"
    tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, tracked):
        if not name.startswith(("docs/", "tests/", "bench/")) and (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--quiet", "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"resonance", f"resonance_denoiser-{resonance.__version__}.dist-info"}
    inside = {name.removeprefix("resonance/") for name in names}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert str(path.relative_to(ROOT)) in inside
    assert {"assets/models/denoiser-live.onnx", "app/batch/report.html", "py.typed"} <= inside


def test_every_room_is_in_the_list_of_packages():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(settings["packages"]) == {"resonance", *(f"resonance.{name}" for name in names)}


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import resonance; print(resonance.clean.__module__)"],
        ["-m", "resonance", "--version"],
        ["-m", "resonance.app.cli", "--version"],
        [str(Path(sys.executable).with_name("resonance")), "--version"],
    ],
)
def test_own_folders_of_the_same_names_are_no_matter(tmp_path, command):
    for name in ROOMS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('somebody else's')")
    (tmp_path / "app.py").write_text("raise RuntimeError('somebody else's')")
    program = [] if command[0].startswith("/") else [sys.executable]
    done = subprocess.run([*program, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_is_quick():
    code = "import sys, resonance; print([m for m in ('numpy', 'numba') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_help_needs_no_compiler():
    code = (
        "import sys; from resonance.app.cli import main\n"
        "try: main(['--help'])\n"
        "finally: assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


MODULES = ("", ".app.arrays", ".app.pipeline", ".dsp.bank")


@pytest.mark.parametrize("name", [f"resonance{module}" for module in MODULES])
def test_examples_in_docstrings(name):
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed
