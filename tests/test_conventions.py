"""Things that every file is held to, and that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("app", "assets", "dsp", "export", "lab", "models")
SKIPPED = """
import pytest

@pytest.mark.skip(reason="no sound card")
def test_nothing():
    pass
"""


def tracked(*patterns):
    return subprocess.check_output(["git", "ls-files", *patterns], cwd=ROOT, text=True).split()


def test_the_formatter_formats_everything():
    off = "fmt: " + "skip"
    assert not [f for f in tracked("*.py") if off in (ROOT / f).read_text(encoding="utf-8")]


def test_the_architecture_page_names_every_module():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = [f for room in ROOMS for f in tracked(f"{room}/**/*.py", f"{room}/*.py")]
    missing = [f for f in modules if not f.endswith("__init__.py") and f"`{f}`" not in page]
    assert not missing


def public_functions(path):
    """Those with three parameters or more, also of public classes; options of commands are none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        for found in inside if not getattr(node, "name", "_").startswith("_") else []:
            if isinstance(found, ast.FunctionDef) and not found.name.startswith("_"):
                names = [a.arg for a in (*found.args.args, *found.args.kwonlyargs)]
                if len([name for name in names if name != "self"]) >= 3:
                    yield found


def test_parameters_of_the_signal_mathematics_and_the_public_face_are_explained():
    files = [*tracked("dsp/*.py"), "app/arrays.py", "app/pipeline.py", "app/devices.py"]
    unexplained = [
        f"{file}: {function.name}"
        for file in files
        for function in public_functions(ROOT / file)
        if "Parameters\n" not in (ast.get_docstring(function) or "")
    ]
    assert not unexplained


def test_a_skipped_test_fails_where_nothing_may_be_skipped(tmp_path):
    conftest = (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8")
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_skipped.py").write_text(SKIPPED)
    codes = []
    for options in ([], ["--no-skips"]):
        command = [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml"]
        done = subprocess.run(
            [*command, "--rootdir", tmp_path, *options, tmp_path], cwd=ROOT, capture_output=True
        )
        codes.append(done.returncode)
    assert codes == [0, 1]


def test_api_pages_are_built(tmp_path):
    command = [sys.executable, "-m", "pdoc", "--docformat", "numpy", "-o", tmp_path]
    subprocess.run([*command, "resonance", "resonance.dsp.bank"], check=True, capture_output=True)
    page = (tmp_path / "resonance.html").read_text(encoding="utf-8")
    assert "Clean a whole recording" in page
    assert "Damped oscillators in continuous time" in page
