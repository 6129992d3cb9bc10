"""Writing measured sections into the pages of ``docs/``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
BENCHMARKS, EXPERIMENTS = DOCS / "benchmarks.md", DOCS / "experiments.md"


def write_section(name: str, text: str, target: Path = BENCHMARKS) -> None:
    """Replace what is between the markers of section ``name`` of a page; print it too.

    Parameters
    ----------
    name
        Of the section.
    text
        Markdown.
    target
        The page.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    page = target.read_text(encoding="utf-8") if target.exists() else "# Benchmarks\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(page):
        page = pattern.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    target.write_text(page, encoding="utf-8")
    print(text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])
