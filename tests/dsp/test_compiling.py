"""Machine code is kept, and never older than the sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import resonance.dsp

TWO_FILES = {
    "inner.py": """
import numba

@numba.njit
def inner(x):
    return x + {added}
""",
    "outer.py": """
from two_files.inner import inner
from two_files.compiling import compiled

@compiled()
def outer(x):
    return inner(x)
""",
}


def test_a_change_in_one_file_reaches_functions_of_another(tmp_path, monkeypatch):
    folder, kept = tmp_path / "two_files", tmp_path / "kept"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(kept))
    folder.mkdir()
    shutil.copy(Path(resonance.dsp.__path__[0]) / "compiling.py", folder)

    def run(added):
        for name, text in TWO_FILES.items():
            if name == "inner.py" or not (folder / name).exists():
                (folder / name).write_text(text.format(added=added))
        program = (
            "from two_files.outer import outer; "
            "print(outer(1), sum(outer.stats.cache_hits.values()))"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert run(1) == ["2", "0"]
    assert run(1) == ["2", "1"], "compiled once"
    assert run(5) == ["6", "0"], "and again when what it calls has changed"
