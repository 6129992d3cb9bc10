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
    """Those with three parameters or more, also of public classes; commands have their help."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        for found in inside if not getattr(node, "name", "_").startswith("_") else []:
            if isinstance(found, ast.FunctionDef) and not found.name.startswith("_"):
                names = [a.arg for a in (*found.args.args, *found.args.kwonlyargs)]
                command = any(".command" in ast.unparse(d) for d in found.decorator_list)
                if len([n for n in names if n not in ("self", "cls")]) >= 3 and not command:
                    yield found


def raises(node):
    """Whether the function itself raises, not one inside of it."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        return True
    inner = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
    return any(raises(n) for n in ast.iter_child_nodes(node) if not isinstance(n, inner))


def missing_sections(function):
    text = ast.get_docstring(function) or ""
    yield from ["Parameters"] if "Parameters\n---" not in text else []
    returns = ast.unparse(function.returns) if function.returns else "None"
    if returns != "None" and "Returns\n---" not in text and "Yields\n---" not in text:
        yield "Returns"
    if raises(function) and "Raises\n---" not in text:
        yield "Raises"


def test_public_functions_explain_parameters_results_and_errors():
    files = [f for room in (*ROOMS, "bench", "resonance") for f in tracked(f"{room}/*.py")]
    missing = [
        f"{file}: {function.name}: {section}"
        for file in files
        for function in public_functions(ROOT / file)
        for section in missing_sections(function)
    ]
    assert not missing


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
