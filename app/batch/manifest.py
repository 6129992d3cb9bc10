"""The record of a batch: every file, its state and all that is known of it, in SQLite."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resonance.app.batch import storage
from resonance.app.batch.keyword_files import paths_beside
from resonance.app.batch.settings import BatchJob
from resonance.app.batch.worker import Outcome
from resonance.app.errors import UserError
from resonance.app.safe_write import create

#: Of the layout; a record of another one is refused.
VERSION = 2
NAME = "resonance-batch.sqlite"

_LAYOUT = """
CREATE TABLE IF NOT EXISTS files (
    source TEXT, target TEXT, state TEXT NOT NULL, settings TEXT NOT NULL, sha256 TEXT,
    size INTEGER, modified_ns INTEGER, output_bytes INTEGER, error TEXT, facts TEXT,
    PRIMARY KEY (source, target)
) WITHOUT ROWID
"""


#: Rows whose target, if it is there, was made by a batch.
_MADE = "(state = 'waiting' OR output_bytes > 0)"


class Manifest:
    """States are ``waiting``, ``done`` and ``failed``; every change is on the disk at once.

    A row waits from before its target is written, and knows from then on what was written there:
    so a target differs from a file of somebody else's, whenever a run is killed.

    Parameters
    ----------
    path
        The database, made if missing.

    Raises
    ------
    UserError
        If it cannot be opened, read or written, is no manifest, or another run holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():  # for this user alone, never through a link that leads nowhere
                os.close(create(path))
            self._base = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")  # also when the power fails
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise UserError(f"{path} is of another version of this program; name another one")
            self._base.execute(_LAYOUT)
            self._base.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.OperationalError as error:
            raise UserError(f"the manifest {path} cannot be opened: {_reason(error)}") from error
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path} is not a manifest of ours ({error}); move it away") from error
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def begin(self, job: BatchJob, settings: str) -> None:
        """A file is begun: what an earlier run made of it no longer counts as done."""
        with self._reported():
            self._base.execute(
                "INSERT INTO files (source, target, state, settings, size) "
                "VALUES (?, ?, 'waiting', ?, ?) ON CONFLICT (source, target) DO UPDATE "
                "SET state = 'waiting', settings = excluded.settings",
                (_stored(job.source), _stored(job.target), settings, job.size),
            )

    def record(self, outcome: Outcome, settings: str) -> None:
        """What became of a file; one that failed leaves an earlier output as it was."""
        facts = asdict(outcome)
        state = "failed" if outcome.error else "done"
        error = _stored(outcome.error) if outcome.error else None
        with self._reported():
            self._base.execute(
                "INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, "
                "(SELECT output_bytes FROM files WHERE source = ?1 AND target = ?2)), ?9, ?10)",
                (
                    _stored(outcome.source),
                    _stored(outcome.target),
                    state,
                    settings,
                    outcome.sha256,
                    outcome.size,
                    outcome.modified_ns,
                    outcome.output_bytes or None,
                    error,
                    json.dumps(facts),
                ),
            )

    def done_before(self, job: BatchJob, settings: str) -> bool:
        """Whether the output is there, made with these settings from the source as it is now."""
        with self._reported():
            row = self._base.execute(
                "SELECT sha256, size, modified_ns, output_bytes FROM files "
                "WHERE source = ? AND target = ? AND state = 'done' AND settings = ?",
                (_stored(job.source), _stored(job.target), settings),
            ).fetchone()
        if row is None:
            return False
        sha256, size, modified_ns, output_bytes = row
        if job.size != size or not _is_whole(job.target, output_bytes):
            return False
        # Storages report no reliable time; there, the size must do.
        return storage.is_remote(job.source) or self._unchanged(job, sha256, modified_ns)

    def _unchanged(self, job: BatchJob, sha256: str, modified_ns: int) -> bool:
        path = storage.local_path(job.source)
        try:
            now_ns = path.stat().st_mtime_ns
            if now_ns == modified_ns:
                return True
            if _hash(path) != sha256:
                return False
        except OSError:  # it cannot be read: cleaning it will say why
            return False
        with self._reported():  # so that it need not be read again the next time
            self._base.execute(
                "UPDATE files SET modified_ns = ? WHERE source = ? AND target = ?",
                (now_ns, _stored(job.source), _stored(job.target)),
            )
        return True

    def made(self, job: BatchJob) -> set[str]:
        """The outputs that were made from the source, as far as they may still be there."""
        with self._reported():
            row = self._base.execute(
                f"SELECT state, facts FROM files WHERE source = ? AND target = ? AND {_MADE}",
                (_stored(job.source), _stored(job.target)),
            ).fetchone()
        if row is None:
            return set()
        state, facts = row
        known = Outcome.from_json(job.source, job.target, facts or "{}")
        beside = set(paths_beside(job.target)) if state == "waiting" else set(known.beside)
        return {job.target} | beside

    def targets(self) -> set[str]:
        """All outputs that were made."""
        with self._reported():
            rows = self._base.execute(f"SELECT target FROM files WHERE {_MADE}").fetchall()
        return {os.fsdecode(target) for (target,) in rows}

    def outcomes(self, jobs: Collection[BatchJob]) -> Iterator[dict[str, Any]]:
        """The facts of those that are done or failed, in the order of their names."""
        wanted = {(job.source, job.target) for job in jobs}
        with self._reported():
            rows = self._base.execute(
                "SELECT source, target, facts FROM files WHERE facts IS NOT NULL ORDER BY source"
            )
            for source, target, facts in rows:
                names = os.fsdecode(source), os.fsdecode(target)
                if names in wanted:
                    yield asdict(Outcome.from_json(*names, facts))

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """What SQLite says, as a sentence."""
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"the manifest {self.path} cannot be read or written: {error}; "
                "see that its disk has room and is there, then go on with --resume"
            ) from error


def earlier_outputs(path: Path) -> set[str]:
    """All outputs that the manifest at ``path`` knows; none if there is no such file."""
    if not path.exists():
        return set()
    with Manifest(path) as manifest:
        return manifest.targets()


def _reason(error: sqlite3.OperationalError) -> str:
    if "lock" not in str(error):
        return str(error)
    return (
        "another run is at work on it, or its folder lies on a network and has no locks; "
        "in that case name a --manifest on a disk of this machine"
    )


def _stored(text: str) -> str | bytes:
    """SQLite takes UTF-8 alone: names that are none are stored as their bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def _is_whole(target: str, output_bytes: int) -> bool:
    if storage.is_remote(target):
        return storage.exists(target)
    path = storage.local_path(target)
    return os.path.isfile(path) and os.path.getsize(path) == output_bytes


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
