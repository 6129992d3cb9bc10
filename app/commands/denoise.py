"""``resonance denoise``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from resonance.app.errors import UserError
from resonance.app.file_by_file import each_file, standard_files
from resonance.app.options import (
    CHANNEL,
    FILE_PRESET,
    FILES,
    FILES_OR_DASH,
    JSON,
    LIMIT,
    OVERWRITE,
    PRESERVE,
    RAW_INPUT,
    SENSITIVITY,
    Page,
    err,
    out,
    sensitivity,
    warn,
)
from resonance.app.soundfiles.standard import DASH, FORMATS, RawSound
from resonance.app.spotter import Sensitivity
from resonance.app.text import shown


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILES_OR_DASH, metavar="IN...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=FILES_OR_DASH,
    help="File, or folder (made if missing); - is standard output.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="wav",
    help="What standard output gets; raw: samples alone, as in the input.",
)
@RAW_INPUT
@FILE_PRESET
@LIMIT
@CHANNEL
@OVERWRITE
@PRESERVE
@click.option("--spot", is_flag=True, help="Also report keywords.")
@click.option(
    "--figure", type=FILES, help="Write a resonogram of input and output (PNG, SVG, PDF)."
)
@SENSITIVITY
@JSON
def denoise(
    files: tuple[Path, ...],
    output: Path,
    form: str,
    raw: RawSound | None,
    preset: str,
    limit_db: float | None,
    channel: int | None,
    overwrite: bool,
    preserve: bool,
    spot: bool,
    figure: Path | None,
    rates: tuple[tuple[str, float], ...],
    as_json: bool,
) -> None:
    """Clean recordings; samplerate, channels, subtype and length stay as they are."""
    from resonance.app.figure import ResonogramFigure, check_drawable
    from resonance.app.files import denoise_file
    from resonance.app.soundfiles.reader import open_sound

    if output == DASH and (as_json or len(files) > 1):
        raise click.UsageError("-o - takes one input, and no --json beside it")
    if output != DASH and form != "wav":
        raise click.UsageError("--format is about standard output (-o -); a file's name says it")
    if figure:
        if len(files) > 1:
            raise click.UsageError("--figure takes one input file")
        check_drawable(figure)
    page = err if output == DASH else out
    with err.status("loading models"):
        make_pipeline, model = _pipeline_maker(preset, limit_db, spot, sensitivity(rates))

    def clean(source: Path, report: Callable[[float], None]) -> None:
        target = targets[source]
        picture = None
        if figure:
            with open_sound(source) as opened:
                picture = ResonogramFigure(model, opened.samplerate)
        result = denoise_file(
            source,
            target,
            make_pipeline,
            progress=report,
            listener=picture.add if picture else None,
            channel=channel,
            overwrite=overwrite,
            preserve=preserve,
        )
        _report(source, target, result, as_json, spot, page)
        if figure and picture:
            title = f"{source.name}: oscillators before and after"
            picture.save(figure, result.events, title, overwrite=overwrite)
            if not as_json:
                page.print(f"  resonogram: {shown(figure)}")

    with ExitStack() as stack:
        sources, place = standard_files(stack, files, raw, output, form)
        targets = _targets(sources, place, figure)
        each_file(list(targets), clean, "cleaning")


def _targets(files: Sequence[Path], output: Path, figure: Path | None) -> dict[Path, Path]:
    """Where each input's output goes; none is an input, nor is the figure one of either."""
    from resonance.app.targets import check_no_input, output_paths

    for source in files:
        if os.path.isdir(source):
            raise click.UsageError(
                f"{shown(source)} is a folder: resonance batch {shown(source)} -o {shown(output)} "
                "cleans all in it"
            )
    try:
        targets = output_paths(files, output)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    if figure:
        check_no_input([figure], [*files, *targets.values()])
    return targets


def _pipeline_maker(
    preset: str, limit_db: float | None, spot: bool, wanted: Sensitivity
) -> tuple[Callable[[int, int], Any], Any]:
    from resonance.app.pipeline_factory import PipelineFactory
    from resonance.app.stretch_pipeline import StretchPipeline

    factory = PipelineFactory()
    model = factory.denoiser(preset)
    custom = factory.custom_words() if spot else []
    if spot:
        wanted.thresholds(factory.spotter(), custom)
    make = partial(
        factory.make,
        kind=StretchPipeline,
        preset=preset,
        spot=spot,
        limit_db=limit_db,
        sensitivity=wanted,
        custom=custom,
    )
    return make, model


def _report(
    source: Path, target: Path, result: Any, as_json: bool, spotted: bool, page: Page
) -> None:
    warn(*result.warnings)
    if as_json:
        line = {
            "file": str(source),
            "output": str(target),
            "latency_samples": result.latency_samples,
            "seconds": round(result.seconds, 3),
            "samplerate": result.samplerate,
            "channels": result.channels,
            "real_time_factor": round(result.real_time_factor, 5),
            "warnings": result.warnings,
        }
        if spotted:
            line["keywords"] = [event.facts() for event in result.events]
        click.echo(json.dumps(line))
        return
    page.print(
        f"{shown(source)} → {shown(target)}\n"
        f"  {result.seconds:.2f} s, {result.channels} × {result.samplerate} Hz, "
        f"real-time factor {result.real_time_factor:.3f}, {_latency(result)}"
    )
    for event in result.events:
        page.print(f"  {event.time_s:8.2f} s  {event.keyword:<8} {event.score:.2f}")


def _latency(result: Any) -> str:
    if result.both_ways:
        return "cleaned from both ends, output aligned"
    if not result.latency_samples:
        return "latency added: 0 samples"
    ahead_ms = 1000 * result.latency_samples / result.samplerate
    return f"look-ahead {ahead_ms:.3g} ms, output aligned"
