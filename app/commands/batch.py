"""``resonance batch``: its options; :mod:`resonance.app.batch` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from resonance.app.options import (
    CHANNEL,
    EXIT_FAILED,
    FILE_PRESET,
    FILES,
    JSON,
    LIMIT,
    OVERWRITE,
    PRESERVE,
    SENSITIVITY,
    err,
)


@click.command()
@click.argument("inputs", nargs=-1, metavar="IN...")
@click.option("-o", "--output", required=True, help="Folder for the outputs; may be s3://, gs:// …")
@click.option(
    "--list",
    "listed",
    type=click.File("rb"),
    help="Take the inputs named in this file, one a line or after each NUL; - is stdin.",
)
@click.option(
    "--name",
    "template",
    default="{stem}{suffix}",
    metavar="TEMPLATE",
    help="Outputs' names: {stem}, {suffix}, {name}, {folder}, {preset}; '{stem}.flac' converts.",
)
@FILE_PRESET
@LIMIT
@CHANNEL
@OVERWRITE
@PRESERVE
@click.option(
    "--subtype", metavar="NAME", help="PCM_16, PCM_24, FLOAT …; default: the input's own."
)
@click.option(
    "--spot",
    is_flag=True,
    help="Write keywords beside each output: JSON lines, SRT, Audacity labels.",
)
@SENSITIVITY
@click.option("--dnsmos", type=FILES, help="Estimate opinions with this DNSMOS P.835 model.")
@click.option("--processes", type=click.IntRange(1), help="Default: one for each processor.")
@click.option("--ray", metavar="ADDRESS", help="Work on a Ray cluster; 'local' starts one here.")
@click.option("--resume", is_flag=True, help="Leave out what is done and unchanged.")
@click.option(
    "--manifest", type=FILES, help="Record of every file; default: in the outputs' folder."
)
@click.option("--report/--no-report", default=True, help="Write an HTML page and JSON of it all.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@JSON
def batch(
    inputs: tuple[str, ...],
    output: str,
    listed: Any,
    template: str,
    preset: str,
    limit_db: float | None,
    channel: int | None,
    overwrite: bool,
    preserve: bool,
    subtype: str | None,
    spot: bool,
    rates: tuple[tuple[str, float], ...],
    dnsmos: Path | None,
    processes: int | None,
    ray: str | None,
    resume: bool,
    manifest: Path | None,
    report: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Clean whole folders, on all processors or a cluster; can be stopped and resumed."""
    from resonance.app.batch import command
    from resonance.app.batch.settings import BatchSettings

    if output == "-":
        raise click.UsageError("a batch has no standard output; name a folder (./- is one)")
    settings = BatchSettings(
        preset,
        limit_db,
        spot,
        rates,
        subtype,
        str(dnsmos.resolve()) if dnsmos else None,
        channel,
        preserve,
        report,
    )
    whole = command.run(
        err,
        inputs,
        listed,
        output,
        template,
        settings,
        processes,
        ray,
        manifest,
        report,
        resume,
        overwrite,
        dry_run,
        as_json,
    )
    if not whole:
        raise SystemExit(EXIT_FAILED)
