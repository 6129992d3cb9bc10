"""The record of a batch: every file, its state and all that is known of it, in SQLite."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.batch import storage
from app.batch.settings import Job
from app.batch.worker import Outcome
from app.errors import UserError

#: Of the layout; a record of another one is refused.
VERSION = 1
NAME = "resonance-batch.sqlite"

_LAYOUT = """
CREATE TABLE IF NOT EXISTS files (
    source TEXT PRIMARY KEY, target TEXT NOT NULL, state TEXT NOT NULL, settings TEXT NOT NULL,
    sha256 TEXT, size INTEGER, modified_ns INTEGER, output_bytes INTEGER, error TEXT, facts TEXT
) WITHOUT ROWID
"""


class Manifest:
    """States are ``waiting``, ``done`` and ``failed``; every change is on the disk at once.

    Parameters
    ----------
    path
        The database, made if missing.

    Raises
    ------
    UserError
        If it cannot be opened, is no manifest, or another run holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = NORMAL")
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise UserError(f"{path} is of another version of this program; name another one")
            self._base.execute(_LAYOUT)
            self._base.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.OperationalError as error:
            reason = "another run is at work on it" if "locked" in str(error) else str(error)
            raise UserError(f"the manifest {path} cannot be opened: {reason}") from error
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path} is not a manifest of ours ({error}); move it away") from error
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def begin(self, jobs: list[Job], settings: str) -> None:
        """Write down what is going to be done."""
        rows = [(job.source, job.target, "waiting", settings, job.size) for job in jobs]
        self._base.execute("BEGIN")
        self._base.executemany(
            "INSERT OR REPLACE INTO files (source, target, state, settings, size) "
            "VALUES (?, ?, ?, ?, ?)",
            rows,
        )
        self._base.execute("COMMIT")

    def record(self, outcome: Outcome, settings: str) -> None:
        """What became of a file."""
        facts = asdict(outcome)
        state = "failed" if outcome.error else "done"
        self._base.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (outcome.source, outcome.target, state, settings, outcome.sha256, outcome.size,
             outcome.modified_ns, outcome.output_bytes, outcome.error, json.dumps(facts)),
        )  # fmt: skip

    def done_before(self, job: Job, settings: str) -> bool:
        """Whether the output is there, made with these settings from the source as it is now."""
        row = self._base.execute(
            "SELECT target, sha256, size, modified_ns, output_bytes FROM files "
            "WHERE source = ? AND state = 'done' AND settings = ?",
            (job.source, settings),
        ).fetchone()
        if row is None or row[0] != job.target:
            return False
        _, sha256, size, modified_ns, output_bytes = row
        if not _is_whole(job.target, output_bytes) or job.size != size:
            return False
        if storage.is_remote(job.source):
            return True  # storages tell no reliable time; the size is as it was
        path = storage.local_path(job.source)
        return bool(path.stat().st_mtime_ns == modified_ns or _hash(path) == sha256)

    def outcomes(self, sources: set[str] | None = None) -> Iterator[dict[str, Any]]:
        """The facts of files that are done or failed, in the order of their names."""
        rows = self._base.execute(
            "SELECT source, facts FROM files WHERE facts IS NOT NULL ORDER BY source"
        )
        for source, facts in rows:
            if sources is None or source in sources:
                yield json.loads(facts)

    def states(self) -> dict[str, int]:
        """How many files are in each state."""
        rows = self._base.execute("SELECT state, count(*) FROM files GROUP BY state")
        return dict(rows.fetchall())


def _is_whole(target: str, output_bytes: int) -> bool:
    if storage.is_remote(target):
        return storage.exists(target)
    path = storage.local_path(target)
    return path.is_file() and path.stat().st_size == output_bytes


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
