"""``resonance spot``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from resonance.app.file_by_file import each_file, standard_files
from resonance.app.options import (
    CHANNEL,
    FILES_OR_DASH,
    JSON,
    RAW_INPUT,
    SENSITIVITY,
    err,
    out,
    sensitivity,
    warn,
)
from resonance.app.soundfiles.standard import RawSound
from resonance.app.spotter import KeywordEvent
from resonance.app.text import shown


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILES_OR_DASH, metavar="IN...")
@RAW_INPUT
@CHANNEL
@SENSITIVITY
@click.option(
    "--fast",
    is_flag=True,
    help="Listen to the sound as it is only, not to the cleaned one, too: several times as fast, "
    "less reliable in noise.",
)
@JSON
def spot(
    files: tuple[Path, ...],
    raw: RawSound | None,
    channel: int | None,
    rates: tuple[tuple[str, float], ...],
    fast: bool,
    as_json: bool,
) -> None:
    """Find keywords in recordings: one line for each."""
    from resonance.app.files import spot_file
    from resonance.app.pipeline_factory import PipelineFactory

    with err.status("loading models"):
        factory, wanted = PipelineFactory(), sensitivity(rates)
        custom = factory.custom_words()
    wanted.thresholds(factory.spotter(), custom)
    make = partial(factory.make_spotting, fast=fast, sensitivity=wanted, custom=custom)

    def find(source: Path, report: Callable[[float], None]) -> None:
        def say(event: KeywordEvent) -> None:
            if as_json:
                click.echo(json.dumps({"file": str(source), **event.facts()}))
                sys.stdout.flush()
            else:
                out.print(
                    f"{shown(source)}  {event.time_s:8.2f} s  {event.keyword:<8} {event.score:.2f}"
                )

        result = spot_file(
            source,
            make,
            progress=report,
            on_event=say,
            channel=channel,
        )
        warn(*result.warnings)
        if not result.events and not as_json:
            out.print(f"{shown(source)}  no keywords")

    with ExitStack() as stack:
        sources, _ = standard_files(stack, files, raw)
        each_file(sources, find, "listening")
