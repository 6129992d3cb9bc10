"""``resonance batch``: the command line of batches."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import soundfile
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from resonance.app.batch import plan, ray_runner, storage
from resonance.app.batch.manifest import NAME, earlier_outputs
from resonance.app.batch.run import Batch, Totals, processors
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import Outcome
from resonance.app.errors import UserError, WrongUsage
from resonance.app.options import warn
from resonance.app.text import shown

#: The report's name in the outputs' folder.
REPORT = "resonance-batch.html"


class Screen:
    """What people see of a batch, on stderr: a calm display on terminals, else only errors."""

    def __init__(self, console: Console, jobs: list[BatchJob]) -> None:
        self._console, self._running = console, dict[BatchJob, TaskID]()
        self._sizes = {job.source: max(1, job.size) for job in jobs}
        self._seconds, self._begin = 0.0, time.monotonic()
        self._under_way: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._total = self._progress.add_task(
            "all", total=sum(self._sizes.values()), text=f"0/{len(jobs)}"
        )
        self._count, self._done = len(jobs), 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it for a while."""
        with self._progress:
            yield

    def report(self, job: BatchJob, seconds: float) -> None:
        """So many seconds of a file are done."""
        self._under_way[job.source] = seconds
        if self._console.is_terminal:
            if job not in self._running:
                self._running[job] = self._progress.add_task(
                    f"  {shown(job.name)}", total=None, text=""
                )
            self._progress.update(self._running[job], text=_clock(seconds))
            self._refresh()

    def outcome(self, outcome: Outcome) -> None:
        """A file is done or failed."""
        self._done += 1
        self._under_way.pop(outcome.source, None)
        self._seconds += outcome.seconds
        for job in [j for j in self._running if j.source == outcome.source]:
            self._progress.remove_task(self._running.pop(job))
        self._progress.advance(self._total, self._sizes.get(outcome.source, 0))
        self._refresh()
        if outcome.error:
            named = "" if outcome.source in outcome.error else f"{outcome.source}: "
            line = shown(f"{named}{outcome.error}")
            self._progress.console.print(f"error: {line}", style="red")
        for warning in outcome.warnings:
            self._progress.console.print(f"warning: {shown(warning)}", style="yellow")

    def _refresh(self) -> None:
        minutes = (time.monotonic() - self._begin) / 60
        hours = (self._seconds + sum(self._under_way.values())) / 3600
        text = f"{self._done}/{self._count} · {hours / minutes:.2f} h of sound a minute"
        self._progress.update(self._total, text=text)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def run(
    console: Console,
    inputs: tuple[str, ...],
    listed: Any,
    output: str,
    template: str,
    settings: BatchSettings,
    processes: int | None,
    ray: str | None,
    manifest: Path | None,
    report: bool,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> bool:
    """Do a batch as the options say; whether every file is done.

    Parameters
    ----------
    console
        For people.
    inputs
        Files, folders and patterns.
    listed
        Open file with a list of more; None: no list.
    output
        Folder or address of one.
    template
        Of outputs' names.
    settings
        How to clean.
    processes
        How many; None: one for each processor.
    ray
        Address of a cluster; None: this machine.
    manifest
        The record; None: in the outputs' folder.
    report
        Write a report.
    resume
        Leave out what is done and unchanged.
    overwrite
        Replace files that are there.
    dry_run
        Only say what would be done.
    as_json
        JSON lines in place of text.

    Returns
    -------
    bool
        Whether every file was cleaned.

    Raises
    ------
    UserError
        If inputs, outputs or options make no sense together.
    """
    _check(settings, template)
    named = [*inputs, *(plan.from_list(listed.read()) if listed else [])]
    if not named:
        raise click.UsageError("name files or folders, or give a --list of them")
    record = manifest or _manifest(output)
    if resume and not record.exists():
        warn(f"there is no record {record} to go on from; every file will be done")
    jobs = plan.plan(
        named, output, template=template, preset=settings.preset, made=earlier_outputs(record)
    )
    if not jobs:
        raise UserError("there is no sound in what was named, or only what earlier runs made of it")
    batch = Batch(jobs, settings, record, processes or processors(), ray, resume, overwrite)
    if dry_run:
        _show_plan(batch, as_json)
        return True
    if ray:
        ray_runner.connect(ray)
    screen = Screen(console, batch.left)

    def report_outcome(outcome: Outcome) -> None:
        screen.outcome(outcome)
        if as_json:
            facts = dataclasses.asdict(outcome)
            del facts["picture"]
            click.echo(json.dumps(facts))
            sys.stdout.flush()

    page = f"{output.rstrip('/')}/{REPORT}" if report else None
    with screen.shown():
        totals = batch.run(report_outcome, screen.report, page)
    _summary(console, totals, page, as_json)
    return not totals.failed


def _check(settings: BatchSettings, template: str) -> None:
    """What would otherwise fail at every file."""
    from resonance.app.batch import worker
    from resonance.app.batch.measures import dnsmos

    plan.check_template(template)
    if settings.subtype and settings.subtype not in soundfile.available_subtypes():
        known = " ".join(soundfile.available_subtypes())
        raise WrongUsage(f"no subtype {settings.subtype!r}; there are: {known}")
    worker.warm_up(settings)
    if settings.dnsmos:
        dnsmos(Path(settings.dnsmos))


def _manifest(output: str) -> Path:
    if storage.is_remote(output):
        raise click.UsageError("outputs that lie elsewhere need --manifest FILE on this machine")
    return storage.local_path(output) / NAME


def _show_plan(batch: Batch, as_json: bool) -> None:
    resumed = batch.resume and batch.manifest.exists()
    left = {job.source for job in (batch.left if resumed else batch.jobs)}
    for job in batch.jobs:
        todo = job.source in left
        if as_json:
            facts = {"source": job.source, "target": job.target, "size": job.size}
            click.echo(json.dumps({**facts, "to_do": todo}))
        else:
            source = shown(job.source)
            click.echo(f"{source} → {shown(job.target)}" if todo else f"{source}: done before")
    if not as_json:
        size = sum(job.size for job in batch.jobs if job.source in left)
        click.echo(f"{len(left)} of {len(batch.jobs)} files to do, {size / 1e6:.1f} MB")


def _summary(console: Console, totals: Totals, page: str | None, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"summary": dataclasses.asdict(totals), "report": page}))
        return
    failed = f", {totals.failed} failed" if totals.failed else ""
    skipped = f", {totals.skipped} done before" if totals.skipped else ""
    speed = ""
    if totals.seconds and totals.wall_s:
        speed = (
            f": {_clock(totals.seconds)} of sound in {_clock(totals.wall_s)}, "
            f"{totals.seconds / totals.wall_s:.0f} × real time"
        )
    console.print(f"{totals.done} of {totals.files} files cleaned{skipped}{failed}{speed}")
    if page:
        console.print(f"report: {shown(page)}")
