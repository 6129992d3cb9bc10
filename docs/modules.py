"""Write the list of modules in architecture.md: ``python docs/modules.py``.

Every module is named with the first line of its docstring.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = ("resonance", "dsp", "models", "export", "app", "lab", "assets", "bench")
BEGIN, END = "<!-- modules -->", "<!-- end of modules -->"


def modules() -> str:
    """A table for each folder."""
    parts = []
    for folder in (f for room in ROOMS for f in sorted({p.parent for p in _files(room)})):
        rows = [f"| `{p.relative_to(ROOT)}` | {_summary(p)} |" for p in _files(folder.name, folder)]
        name = folder.relative_to(ROOT)
        parts.append("\n".join([f"### `{name}/`", "", "| module | |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _files(room: str, folder: Path | None = None) -> list[Path]:
    found = folder.glob("*.py") if folder else (ROOT / room).rglob("*.py")
    return sorted(path for path in found if path.name != "__init__.py")


def _summary(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|").rstrip(".")


def main() -> None:
    """Replace the list in the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{modules()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
