"""The command line: ``resonance COMMAND``."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import soundfile
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from resonance import __version__
from resonance.app import config
from resonance.app.commands import all_commands
from resonance.app.errors import UserError
from resonance.app.gui.command import gui
from resonance.app.live.command import live
from resonance.app.options import (
    CHANNEL,
    EXIT_FAILED,
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
    examples,
    out,
    sensitivity,
    warn,
)
from resonance.app.soundfiles.standard import (
    DASH,
    FORMATS,
    RawSound,
    standard_input,
    standard_output,
)
from resonance.app.spotter import KeywordEvent, Sensitivity
from resonance.app.text import shown

#: Commands by what people want to do.
SECTIONS = {
    "Listen and clean": ("gui", "live", "denoise", "batch"),
    "Keywords": ("spot", "enroll"),
    "For other programs": ("serve", "service"),
    "Settings and devices": ("config", "devices", "info", "completion"),
}


class Group(click.Group):
    """Shows its commands in sections; turns errors meant for users into one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, those without a section last."""
        told = {name for names in SECTIONS.values() for name in names}
        others = [name for name in self.list_commands(ctx) if name not in told]
        for title, names in {**SECTIONS, "Models and experiments": others}.items():
            known = [(name, self.commands[name]) for name in names if name in self.commands]
            with formatter.section(title):
                formatter.write_dl([(n, c.get_short_help_str(limit=120)) for n, c in known])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            err.print(f"error: {shown(error)}", style="red")
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(EXIT_FAILED)


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=examples(
        "resonance gui                                a window: two clicks to a clean call",
        "resonance live --virtual-mic                 the same in a terminal",
        "resonance denoise talk.wav -o talk-clean.wav",
        "resonance batch recordings/ -o clean/",
        "resonance live --run stop='playerctl pause'  act on words",
        "resonance COMMAND --help                     more about each",
    ),
)
@click.version_option(__version__, prog_name="resonance")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Clean microphone and keyword spotter built from damped driven oscillators."""
    if ctx.invoked_subcommand != "config":  # which must work when the file does not
        ctx.default_map = config.load(main)
    # So that half-written files are removed, as after Ctrl-C; also when the terminal is closed.
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, lambda got, _: sys.exit(128 + got))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and arrows on terminals that lack them
            stream.reconfigure(errors="replace")


@main.command()
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

    def clean(source: Path, tell: Callable[[float], None]) -> None:
        target = targets[source]
        picture = None
        if figure:
            with open_sound(source) as opened:
                picture = ResonogramFigure(model, opened.samplerate)
        result = denoise_file(
            source,
            target,
            make_pipeline,
            progress=tell,
            listener=picture.hear if picture else None,
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
        sources, place = _standard(stack, files, raw, output, form)
        targets = _targets(sources, place, figure)
        _each(list(targets), clean, "cleaning")


@main.command()
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


@main.command()
@click.argument("files", nargs=-1, required=True, type=FILES_OR_DASH, metavar="IN...")
@RAW_INPUT
@CHANNEL
@SENSITIVITY
@JSON
def spot(
    files: tuple[Path, ...],
    raw: RawSound | None,
    channel: int | None,
    rates: tuple[tuple[str, float], ...],
    as_json: bool,
) -> None:
    """Find keywords in recordings: one line for each."""
    from resonance.app.enrolment import load_all
    from resonance.app.files import spot_file
    from resonance.app.onnx_models import SpotterModel
    from resonance.app.pipeline import Pipeline

    with err.status("loading models"):
        model, wanted = SpotterModel(), sensitivity(rates)
        custom = load_all(model)
    wanted.thresholds(model, custom)

    def find(source: Path, tell: Callable[[float], None]) -> None:
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
            lambda rate, channels: Pipeline(
                rate, channels, spotter=model, sensitivity=wanted, custom=custom
            ),
            progress=tell,
            on_event=say,
            channel=channel,
        )
        warn(*result.warnings)
        if not result.events and not as_json:
            out.print(f"{shown(source)}  no keywords")

    with ExitStack() as stack:
        sources, _ = _standard(stack, files, raw)
        _each(sources, find, "listening")


@main.command()
@JSON
def devices(as_json: bool) -> None:
    """List audio devices; use their names with ``live``."""
    from resonance.app.devices import list_devices

    found = list_devices()
    if as_json:
        for device in found:
            click.echo(json.dumps(dataclasses.asdict(device)))
        return
    if not found:
        out.print("no audio devices; plug one in, or start the sound server")
        return
    table = Table("name", "host API", "in", "out", "Hz", "default", box=None)
    for d in found:
        marks = (("in", d.default_input), ("out", d.default_output), ("loopback", d.loopback))
        default = " ".join(mark for mark, on in marks if on)
        table.add_row(
            Text(shown(d.name)),
            d.host_api,
            str(d.inputs),
            str(d.outputs),
            f"{d.samplerate:g}",
            default,
        )
    out.print(table)


@main.command("config")
@click.option("--init", is_flag=True, help="Write a file with every setting explained.")
def show_config(init: bool) -> None:
    """Show where lasting settings are kept, and what they say."""
    file = config.path()
    if init:
        config.create(main)
    out.print(str(file))
    config.load(main)
    config.devices(main)
    if file.exists():
        out.print(config.text_without_secrets())
    else:
        out.print("no settings yet; resonance config --init writes a file to fill in")


@main.command()
@JSON
def info(as_json: bool) -> None:
    """Versions, models, libraries and devices: what a bug report needs."""
    from resonance.app.info import collect

    facts = collect()
    if as_json:
        click.echo(json.dumps(facts))
    else:
        out.print_json(data=facts)


def _programs(name: str, modules: dict[str, str], summary: str) -> None:
    """A group of commands that are programs of their own, imported only when called."""

    @main.group(name, help=summary)
    def group() -> None:
        pass

    for what, module in modules.items():

        @group.command(
            what,
            help=f"Same as python -m {module}.",
            context_settings={"ignore_unknown_options": True, "help_option_names": []},
        )
        @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
        def forward(arguments: tuple[str, ...], what: str = what, module: str = module) -> None:
            _forward(f"{name} {what}", module, arguments, "train")


def _forward(name: str, module: str, arguments: tuple[str, ...], extra: str) -> None:
    """Run a program that is imported only now; ``extra`` installs what it needs."""
    try:
        program = importlib.import_module(module)
        program.main(list(arguments), prog_name=f"resonance {name}")
    except ImportError as error:
        raise UserError(
            f"resonance {name} needs {error.name}; in the source folder: pip install '.[{extra}]'"
        ) from error


for command in (live, gui, *all_commands()):
    main.add_command(command)
_programs(
    "train",
    {"denoiser": "resonance.models.train_denoiser", "keywords": "resonance.models.train_keywords"},
    "Train a model (needs torch).",
)
_programs(
    "export",
    {"denoiser": "resonance.export.denoiser", "keywords": "resonance.export.keywords"},
    "Export a trained model (needs torch).",
)


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> None:
    """Published oscillator systems, and what became of their claims (needs torch)."""
    _forward("lab", "resonance.lab.command", arguments, "lab")


def _standard(
    stack: ExitStack,
    files: Sequence[Path],
    raw: RawSound | None,
    output: Path | None = None,
    form: str = "wav",
) -> tuple[list[Path], Path]:
    """Inputs and output, with files for a while in the place of ``-``."""
    if raw and DASH not in files:
        raise click.UsageError("--raw is about standard input: give - as input")
    spooled = stack.enter_context(standard_input(raw)) if DASH in files else DASH
    sources = [spooled if file == DASH else file for file in files]
    if output == DASH:
        output = stack.enter_context(standard_output(form))
    return sources, output or DASH


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
    from resonance.app.enrolment import load_all
    from resonance.app.onnx_models import DenoiserModel, SpotterModel
    from resonance.app.pipeline import Pipeline

    model = DenoiserModel.preset(preset)
    spotter = SpotterModel() if spot else None
    custom = load_all(spotter) if spotter else []
    if spotter:
        wanted.thresholds(spotter, custom)

    def make(samplerate: int, channels: int) -> Pipeline:
        return Pipeline(
            samplerate,
            channels,
            denoiser=model,
            spotter=spotter,
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
    if not result.latency_samples:
        return "latency added: 0 samples"
    ahead_ms = 1000 * result.latency_samples / result.samplerate
    return f"heard {ahead_ms:.3g} ms ahead, output aligned"


def _each(
    files: Sequence[Path], work: Callable[[Path, Callable[[float], None]], None], verb: str
) -> None:
    """Do every file; report those that fail and go on, then fail as a whole."""
    failed = 0
    with _progress(verb, files) as tell:
        for source in files:
            tell(source, 0.0)
            try:
                work(source, partial(tell, source))
            except UserError as error:
                named = "" if str(source) in str(error) else f"{source}: "
                err.print(f"error: {shown(f'{named}{error}')}", style="red")
                failed += 1
    if failed:
        if len(files) > 1:
            err.print(f"{failed} of {len(files)} files failed", style="red")
        raise SystemExit(EXIT_FAILED)


@contextmanager
def _progress(verb: str, files: Sequence[Path]) -> Iterator[Callable[[Path, float], None]]:
    """A calm line with per cent and the time left, on terminals alone.

    Yields a function that is told a file and the seconds of its sound that are done.
    """
    lengths = [_length_s(source) for source in files]
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(verb, total=sum(lengths) or None)

        def tell(source: Path, seconds: float) -> None:
            place = files.index(source)
            count = f" ({place + 1} of {len(files)})" if len(files) > 1 else ""
            progress.update(
                task,
                completed=sum(lengths[:place]) + seconds,
                description=f"{verb} {shown(source.name)}{count}",
            )

        yield tell


def _length_s(source: Path) -> float:
    """How long a file is by its header; 0 if that does not say."""
    try:
        facts = soundfile.info(os.fsencode(source))
    except (soundfile.LibsndfileError, OSError, TypeError):
        return 0.0
    known = facts.frames < 1 << 62  # libsndfile's word for "I cannot tell"
    return float(facts.duration) if known else 0.0


if __name__ == "__main__":
    main()
