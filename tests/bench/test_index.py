"""The index of measurements is whole, and each of them can be started."""

import importlib
import re
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent.parent / "bench"
MODULES = [path for path in BENCH.rglob("*.py") if path.name != "__init__.py"]
COMMANDS = [path for path in MODULES if 'if __name__ == "__main__":' in path.read_text()]


def test_the_index_names_every_file():
    sections = re.split(r"^## ", (BENCH / "README.md").read_text(), flags=re.MULTILINE)
    by_folder = {section.split("`")[1].strip("/"): section for section in sections[1:-1]}
    for path in MODULES:
        section = by_folder.get(path.parent.name, sections[-1])
        name = path.stem if path in COMMANDS and path.stem != "standstill" else path.name
        assert re.search(rf"`{name}[` ]", section), path


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_measurements_find_all_that_they_import(path):
    name = ".".join(path.relative_to(BENCH.parent).with_suffix("").parts)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # which only this comparison needs
        if error.name != "pymicro_wakeword":
            raise
