"""The report of a batch: one page that needs nothing else, and opens anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from resonance.app.batch import storage

#: More rows than this make no page that people read; those that failed come first.
MOST_ROWS = 5000
#: Resonograms are shown for this many files at most: 10 kB each.
MOST_PICTURES = 1000

#: What can be listened to.
_SIDES = {"before": "source", "after": "target"}
_PAGE = Path(__file__).with_name("report.html")


def html(content: dict[str, Any], page: str) -> str:
    """The page for ``totals``, ``settings`` and ``files``, the outcomes as dictionaries.

    ``page`` is where it will be: from there, sound on the same machine can be played.
    """
    files = sorted(content["files"], key=lambda file: file["error"] is None)
    shown = [
        _row(file, place < MOST_PICTURES, page) for place, file in enumerate(files[:MOST_ROWS])
    ]
    data = {
        "totals": content["totals"],
        "settings": content["settings"],
        "files": shown,
        "left_out": len(files) - len(shown),
        "sums": _sums(files),
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return _PAGE.read_text(encoding="utf-8").replace("{{data}}", text)


def is_ours(beginning: bytes) -> bool:
    """Whether a file that begins so is a report, or the facts behind one."""
    return b"<title>Resonance batch</title>" in beginning or beginning.startswith(
        b'{\n "totals": {'
    )


def _row(file: dict[str, Any], with_picture: bool, page: str) -> dict[str, Any]:
    left_out = {"sha256", "modified_ns", "size", "fetched_s"}
    row = {name: value for name, value in file.items() if name not in left_out}
    if not with_picture:
        row["picture"] = None
    sides = {side: _link(file[name], page) for side, name in _SIDES.items()}
    row["sound"] = sides if file["error"] is None and all(sides.values()) else None
    return row


def _link(path: str, page: str) -> str | None:
    """Address of a file as seen from the page; None if either is in a storage elsewhere."""
    if storage.is_remote(path) or storage.is_remote(page):
        return None
    here, there = storage.local_path(path).absolute(), storage.local_path(page).absolute()
    try:
        relative = Path(os.path.relpath(here, there.parent))
    except ValueError:  # on another drive
        return here.as_uri()
    return quote_from_bytes(os.fsencode(relative.as_posix()))


def _sums(files: list[dict[str, Any]]) -> dict[str, Any]:
    """Over all files that are done, in earlier runs, too."""
    done = [file for file in files if file["error"] is None]
    cut = [c for c in map(noise_cut_db, done) if c is not None]
    return {
        "done": len(done),
        "failed": len(files) - len(done),
        "seconds": sum(file["seconds"] for file in done),
        "keywords": sum(len(file["keywords"]) for file in done),
        "warnings": sum(len(file["warnings"]) for file in done),
        "noise_cut_db": round(sum(cut) / len(cut), 1) if cut else None,
    }


def noise_cut_db(file: dict[str, Any]) -> float | None:
    """By how much the level of the noise fell."""
    levels = file["levels"]
    if not levels or None in (levels["before"]["noise_db"], levels["after"]["noise_db"]):
        return None
    cut: float = levels["before"]["noise_db"] - levels["after"]["noise_db"]
    return cut
