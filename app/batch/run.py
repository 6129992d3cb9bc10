"""A batch from its plan to its report."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resonance.app.batch import pool, ray_runner, report, storage
from resonance.app.batch.manifest import Manifest
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import Outcome, outputs
from resonance.app.errors import UserError
from resonance.app.safe_write import remove_parts


@dataclass
class Totals:
    """What a run did, all files together."""

    files: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0  #: done by an earlier run
    seconds: float = 0.0  #: of sound, cleaned in this run
    wall_s: float = 0.0
    warnings: int = 0
    keywords: int = 0

    def count(self, outcome: Outcome) -> None:
        """Add a file."""
        self.failed += outcome.error is not None
        self.done += outcome.error is None
        self.seconds += outcome.seconds
        self.warnings += len(outcome.warnings)
        self.keywords += len(outcome.keywords)


@dataclass
class Batch:
    """Files to clean, and how.

    Parameters
    ----------
    jobs
        From :func:`resonance.app.batch.plan.plan`.
    manifest
        Path of the record.
    processes
        On this machine; each takes one processor.
    ray
        Address of a cluster to work on instead, or ``local``.
    resume
        Leave out what the record says is done and unchanged.
    overwrite
        Replace files that no batch made, too.
    """

    jobs: Sequence[BatchJob]
    settings: BatchSettings
    manifest: Path
    processes: int = 1
    ray: str | None = None
    resume: bool = False
    overwrite: bool = False

    @cached_property
    def left(self) -> list[BatchJob]:
        """The files that are left to do."""
        if not self.resume:
            return list(self.jobs)
        key = self.settings.key()
        with Manifest(self.manifest) as manifest:
            return [job for job in self.jobs if not manifest.done_before(job, key)]

    def run(
        self, on_outcome: Callable[[Outcome], None], progress: pool.Progress, page: str | None
    ) -> Totals:
        """Do all that is left; report each outcome; write the report to ``page`` and beside it.

        What is done stays done and recorded, however this ends.

        Parameters
        ----------
        on_outcome
            Called with each outcome.
        progress
            Called with a job and the seconds of its sound that are done.
        page
            Address of the HTML report; None: no report.

        Returns
        -------
        Totals
            Sums over all files.

        Raises
        ------
        UserError
            Before anything is cleaned, if an output would replace a file that no batch made.
        """
        key, begin = self.settings.key(), time.monotonic()
        totals = Totals(len(self.jobs), skipped=len(self.jobs) - len(self.left))
        with Manifest(self.manifest) as manifest:
            jobs = self._checked(manifest, page)
            self._remove_parts()
            for outcome in self._outcomes(self._begun(jobs, manifest, key), progress):
                manifest.record(outcome, key)
                totals.count(outcome)
                on_outcome(outcome)
            self._remove_parts()
            totals.wall_s = round(time.monotonic() - begin, 3)
            if page:
                self._report(manifest, totals, page)
        return totals

    def _checked(self, manifest: Manifest, page: str | None) -> list[BatchJob]:
        """The files that are left, each with those outputs that it may replace.

        Outputs of this record may be made anew; nothing else is replaced.
        """
        made = {job: outputs(job, self.settings) for job in self.left}
        there = storage.existing(path for paths in made.values() for path in paths)
        jobs, foreign = [], []
        for job, paths in made.items():
            found = [path for path in paths if path in there]
            ours = manifest.made(job) if found else set()
            foreign += [(job, path) for path in found if path not in ours]
            jobs.append(dataclasses.replace(job, replaces=tuple(found)))
        if foreign and not self.overwrite:
            (first, path), more = foreign[0], len(foreign) - 1
            others = f" (and {more} more)" if more else ""
            raise UserError(
                f"{path} is there already{others}, and the record {self.manifest} does not "
                f"say that it was made from {first.source}; choose another folder or --name, "
                "move away what is there, or replace it with --overwrite"
            )
        if page and not self.overwrite:
            self._check_report(page)
        return jobs

    def _check_report(self, page: str) -> None:
        for path in (page, _facts_of(page)):
            if storage.exists(path) and not report.is_ours(storage.beginning(path, 1000)):
                raise UserError(
                    f"{path} is there already and is no report of a batch; move it away, leave the "
                    "report out with --no-report, or replace it with --overwrite"
                )

    def _remove_parts(self) -> None:
        """What killed workers left, of earlier runs and of this one."""
        targets = (job.target for job in self.left)
        remove_parts(storage.local_path(t) for t in targets if not storage.is_remote(t))

    def _begun(self, jobs: Iterable[BatchJob], manifest: Manifest, key: str) -> Iterator[BatchJob]:
        """The files that are left, each recorded when it is handed out."""
        for job in jobs:
            manifest.begin(job, key)
            yield job

    def _outcomes(self, jobs: Iterable[BatchJob], progress: pool.Progress) -> Iterator[Outcome]:
        if self.ray is None:
            return pool.clean_all(jobs, self.settings, self.processes, progress)
        ray_runner.connect(self.ray)
        return ray_runner.clean_all(jobs, self.settings)

    def _report(self, manifest: Manifest, totals: Totals, page: str) -> None:
        facts: list[dict[str, Any]] = []
        for file in manifest.outcomes(self.jobs):
            if len(facts) >= report.MOST_PICTURES:
                file["picture"] = None  # a million of them would fill the memory
            facts.append(file)
        content: dict[str, Any] = {
            "totals": dataclasses.asdict(totals),
            "settings": dataclasses.asdict(self.settings),
            "files": facts,
        }
        storage.write_text(page, report.html(content, page), overwrite=True)
        for file in facts:
            file.pop("picture")
        text = json.dumps(content, indent=1, allow_nan=False)
        storage.write_text(_facts_of(page), text, overwrite=True)


def _facts_of(page: str) -> str:
    """Where the facts behind a report go."""
    return page.removesuffix(".html") + ".json"


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
