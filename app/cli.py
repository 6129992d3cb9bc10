"""The command line: ``resonance COMMAND``."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from app import __version__
from app.audiofile import FORMATS
from app.errors import UserError
from app.spotter import KeywordEvent, Sensitivity

#: Exit codes: all well, something failed, wrong usage (click's own).
EXIT_FAILED = 1

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_FILES = click.Path(path_type=Path, readable=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object per line on stdout.")


class _Rate(click.ParamType[tuple[str, float]]):
    """``RATE`` for every word or ``WORD=RATE`` for one."""

    name = "[WORD=]RATE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, float]:
        """The word ("" for all) and its rate."""
        word, _, rate = str(value).rpartition("=")
        try:
            number = float(rate)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e6:
            self.fail(f"{value!r}: give false accepts per hour, such as 0.5 or stop=2", param, ctx)
        return word, number


_SENSITIVITY = click.option(
    "--false-accepts", "rates", type=_Rate(), multiple=True,
    help="False accepts allowed per hour of running speech: more hears more. For every word "
    "(default 1), or for one: stop=2. May be given several times.",
)  # fmt: skip
_LIMIT = click.option(
    "--limit-db", type=click.FloatRange(0, 200), default=None,
    help="Largest attenuation in dB (6–12 light, 18–24 medium); default: no limit.",
)  # fmt: skip
_PRESET = click.option(
    "--preset", default="live", metavar="NAME",
    help="Model to use. live: no look-ahead at all. studio: hears 20 ms ahead, cleaner. "
    "vowels: knows only synthetic vowels.",
)  # fmt: skip


class Group(click.Group):
    """Turns errors meant for users into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            err.print(f"error: {error}", style="red", markup=False)
            ctx.exit(EXIT_FAILED)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(EXIT_FAILED)


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.version_option(__version__, prog_name="resonance")
def main() -> None:
    """Clean microphone and keyword spotter built from damped driven oscillators."""
    # So that half-written files are removed, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and arrows on terminals that lack them
            stream.reconfigure(errors="replace")


@main.command()
@click.argument("files", nargs=-1, required=True, type=_FILES, metavar="IN...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=_FILES,
    help="File (replaced if it exists), or folder (made if missing).",
)
@_PRESET
@_LIMIT
@click.option("--spot", is_flag=True, help="Also report keywords.")
@click.option(
    "--figure", type=_FILES, help="Write a resonogram of input and output (PNG, SVG, PDF)."
)
@_SENSITIVITY
@_JSON
def denoise(
    files: tuple[Path, ...], output: Path, preset: str, limit_db: float | None, spot: bool,
    figure: Path | None, rates: tuple[tuple[str, float], ...], as_json: bool,
) -> None:  # fmt: skip
    """Clean recordings; samplerate, channels, subtype and length stay as they are."""
    from app.audiofile import open_audio
    from app.figure import Resonogram, check_drawable
    from app.files import denoise_file

    targets = _targets(files, output)
    if figure:
        if len(files) > 1:
            raise click.UsageError("--figure takes one input file")
        check_drawable(figure)
    make_pipeline, model = _pipeline_maker(preset, limit_db, spot, _sensitivity(rates))

    def clean(source: Path, tell: Callable[[float], None]) -> None:
        target = targets[source]
        picture = None
        if figure:
            with open_audio(source) as opened:
                picture = Resonogram(model, opened.samplerate)
        result = denoise_file(
            source, target, make_pipeline, progress=tell, listener=picture.hear if picture else None
        )
        _report(source, target, result, as_json, spot)
        if figure and picture:
            picture.save(figure, result.events, f"{source.name}: oscillators before and after")
            if not as_json:
                out.print(f"  resonogram: {figure}", markup=False)

    _each(list(targets), clean, "cleaning")


@main.command()
@click.argument("inputs", nargs=-1, metavar="IN...")
@click.option("-o", "--output", required=True, help="Folder for the outputs; may be s3://, gs:// …")
@click.option(
    "--list", "listed", type=click.File(encoding="utf-8"),
    help="Take the inputs named in this file, one a line; - is stdin.",
)  # fmt: skip
@click.option(
    "--name", "template", default="{stem}{suffix}", metavar="TEMPLATE",
    help="Outputs' names: {stem}, {suffix}, {name}, {preset}; '{stem}.flac' converts.",
)  # fmt: skip
@click.option("--preset", default="studio", metavar="NAME", help="Model to use, as in denoise.")
@_LIMIT
@click.option(
    "--subtype", metavar="NAME", help="PCM_16, PCM_24, FLOAT …; default: the input's own."
)
@click.option(
    "--spot", is_flag=True,
    help="Write keywords beside each output: JSON lines, SRT, Audacity labels.",
)  # fmt: skip
@_SENSITIVITY
@click.option("--dnsmos", type=_FILES, help="Estimate opinions with this DNSMOS P.835 model.")
@click.option("--processes", type=click.IntRange(1), help="Default: one for each processor.")
@click.option("--ray", metavar="ADDRESS", help="Work on a Ray cluster; 'local' starts one here.")
@click.option("--resume", is_flag=True, help="Leave out what is done and unchanged.")
@click.option(
    "--manifest", type=_FILES, help="Record of every file; default: in the outputs' folder."
)
@click.option("--report/--no-report", default=True, help="Write an HTML page and JSON of it all.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@_JSON
def batch(
    inputs: tuple[str, ...], output: str, listed: Any, template: str, preset: str,
    limit_db: float | None, subtype: str | None, spot: bool, rates: tuple[tuple[str, float], ...],
    dnsmos: Path | None, processes: int | None, ray: str | None, resume: bool,
    manifest: Path | None, report: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Clean whole folders, on all processors or a cluster; can be stopped and resumed."""
    from app.batch import command
    from app.batch.settings import Settings

    settings = Settings(
        preset, limit_db, spot, rates, subtype, str(dnsmos.resolve()) if dnsmos else None, report
    )
    whole = command.run(
        err, inputs, listed, output, template, settings, processes, ray, manifest, report,
        resume, dry_run, as_json,
    )  # fmt: skip
    if not whole:
        raise SystemExit(EXIT_FAILED)


@main.command()
@click.argument("files", nargs=-1, required=True, type=_FILES, metavar="IN...")
@_SENSITIVITY
@_JSON
def spot(files: tuple[Path, ...], rates: tuple[tuple[str, float], ...], as_json: bool) -> None:
    """Find keywords in recordings: one line for each."""
    from app.enrolment import load_all
    from app.files import spot_file
    from app.pipeline import Pipeline
    from app.sessions import SpotterModel

    model, sensitivity = SpotterModel(), _sensitivity(rates)
    custom = load_all(model)

    def find(source: Path, tell: Callable[[float], None]) -> None:
        def say(event: KeywordEvent) -> None:
            if as_json:
                click.echo(json.dumps({"file": str(source), **dataclasses.asdict(event)}))
                sys.stdout.flush()
            else:
                out.print(
                    f"{source}  {event.time_s:8.2f} s  {event.keyword:<8} {event.score:.2f}",
                    markup=False,
                )

        result = spot_file(
            source,
            lambda rate, channels: Pipeline(
                rate, channels, spotter=model, sensitivity=sensitivity, custom=custom
            ),
            progress=tell,
            on_event=say,
        )
        _warn(result.warnings)
        if not result.events and not as_json:
            out.print(f"{source}  no keywords", markup=False)

    _each(files, find, "listening")


@main.command()
@click.option("--input", "input_name", help="Input device by name; default: the system's.")
@click.option("--output", "output_name", help="Output device by name; default: the system's.")
@click.option(
    "--virtual-mic",
    is_flag=True,
    help="Play into a microphone that other programs can choose (Linux).",
)
@click.option("--samplerate", type=float, help="Hz; default: the input device's.")
@click.option("--block-ms", type=click.FloatRange(1, 200), default=10.0, help="Block length.")
@click.option("--seconds", type=float, help="Stop after this long; default: Ctrl-C.")
@_SENSITIVITY
@click.option("--no-spot", is_flag=True, help="Do not listen for keywords.")
@click.option("--record", type=_FILES, help="Record the cleaned sound to this new file.")
@click.option("--record-raw", type=_FILES, help="Record the sound as it came to this new file.")
@click.option("--events", type=_FILES, help="Add each keyword to this file as a line of JSON.")
@click.option(
    "--run",
    "commands",
    multiple=True,
    metavar="[WORD=]COMMAND",
    help="Start a program for every keyword, or for one: stop='playerctl pause'. Its "
    "arguments are not read by a shell; RESONANCE_KEYWORD, RESONANCE_SCORE and "
    "RESONANCE_TIME_S are in its environment. May be given several times.",
)
@click.option(
    "--websocket",
    metavar="[HOST:]PORT",
    help="Serve keywords as JSON; on this machine only, unless HOST says otherwise.",
)
@click.option(
    "--token",
    envvar="RESONANCE_TOKEN",
    help="What clients of --websocket must know; default: a new one, printed.",
)
@click.option("--osc", metavar="[HOST:]PORT", help="Send keywords by Open Sound Control (UDP).")
@click.option(
    "--mqtt", metavar="URL", help="Publish keywords: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC]."
)
@_PRESET
@_LIMIT
@_JSON
def live(
    input_name: str | None, output_name: str | None, virtual_mic: bool, samplerate: float | None,
    block_ms: float, seconds: float | None, rates: tuple[tuple[str, float], ...], no_spot: bool,
    preset: str, limit_db: float | None, record: Path | None, record_raw: Path | None,
    events: Path | None, commands: tuple[str, ...],
    websocket: str | None, token: str | None, osc: str | None, mqtt: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Clean the microphone into the loudspeaker, and say which keywords are heard."""
    from app.enrolment import load_all
    from app.live import LiveStream
    from app.recorder import Recorder
    from app.sessions import DenoiserModel, SpotterModel
    from app.virtual_mic import VirtualMic

    if virtual_mic and output_name:
        raise click.UsageError("--virtual-mic is the output: leave --output out")
    with ExitStack() as running:
        with err.status("loading models and opening devices"):
            spotter = None if no_spot else SpotterModel()
            custom = load_all(spotter) if spotter else []
            workers = _actions(
                [*spotter.words, *(word.word for word in custom)] if spotter else [], token,
                events=events, commands=commands, websocket=websocket, osc=osc, mqtt=mqtt,
            )  # fmt: skip
            for worker in workers:
                running.callback(worker.close)
            mic = running.enter_context(VirtualMic()) if virtual_mic else None
            with mic.as_default() if mic else nullcontext():
                stream = LiveStream(
                    DenoiserModel.preset(preset), spotter,
                    input_name=input_name, output_name="pulse" if mic else output_name,
                    samplerate=samplerate, blocksize_s=block_ms / 1000, limit_db=limit_db,
                    sensitivity=_sensitivity(rates), custom=custom,
                )  # fmt: skip
        for side, path in enumerate((record_raw, record)):
            if path:
                recorder = Recorder(path, stream.pipeline.samplerate, 1, lambda t: _warn([t]))
                running.callback(recorder.close)
                stream.recorders[side].append(recorder)
        running.enter_context(stream)
        _say_what_runs(stream, mic)
        with suppress(KeyboardInterrupt):
            _watch(stream, workers, seconds, as_json)
    summary = {**dataclasses.asdict(stream.counters), "load": round(stream.counters.load, 4)}
    if as_json:
        click.echo(json.dumps({"summary": summary}))
    else:
        err.print(
            f"{summary['blocks']} blocks, {summary['lost_blocks']} lost by the device, "
            f"{summary['late_blocks']} late, load {100 * summary['load']:.1f} % of a core"
        )


@main.command()
@click.argument("word")
@click.argument("files", nargs=-1, type=_FILES, metavar="[IN...]")
@click.option(
    "--false-accepts",
    "per_hour",
    default=1.0,
    metavar="RATE",
    help="Allowed per hour of running speech.",
)
@click.option("--forget", is_flag=True, help="Delete the word and its recordings instead.")
@_JSON
def enroll(
    word: str, files: tuple[Path, ...], per_hour: float, forget: bool, as_json: bool
) -> None:  # fmt: skip
    """Learn WORD from 3 to 5 recordings of it alone; spot and live then listen for it, too."""
    from app import enrolment
    from app.sessions import SpotterModel

    if forget:
        enrolment.forget(word)
        return
    learnt = enrolment.learn(word, files, SpotterModel(), per_hour)
    for path, likeness in zip(files, learnt.agreement, strict=True):
        if likeness < enrolment.LEAST_LIKE:
            _warn([f"{path} sounds unlike the others (likeness {likeness:.2f}); record it again?"])
    folder = enrolment.save(learnt, files)
    if as_json:
        facts = {"word": word, "threshold": learnt.threshold, "agreement": learnt.agreement}
        click.echo(json.dumps({**facts, "folder": str(folder)}))
    else:
        out.print(
            f"{word}: fires at a likeness of {learnt.threshold:.2f}; kept in {folder}", markup=False
        )


@main.command()
@_JSON
def devices(as_json: bool) -> None:
    """List audio devices; use their names with ``live``."""
    from app.devices import list_devices

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
        default = " ".join(
            w for w, on in (("in", d.default_input), ("out", d.default_output)) if on
        )
        table.add_row(
            d.name, d.host_api, str(d.inputs), str(d.outputs), f"{d.samplerate:g}", default
        )
    out.print(table)


@main.command()
@_JSON
def info(as_json: bool) -> None:
    """Versions, models, libraries and devices: what a bug report needs."""
    from app.info import collect

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
            try:
                program = importlib.import_module(module)
            except ImportError as error:
                raise UserError(
                    f"resonance {name} needs {error.name}; "
                    "in the source folder: pip install '.[train]'"
                ) from error
            program.main(list(arguments), prog_name=f"resonance {name} {what}")


_programs(
    "train",
    {"denoiser": "models.train_denoiser", "keywords": "models.train_keywords"},
    "Train a model (needs torch).",
)
_programs(
    "export",
    {"denoiser": "export.denoiser", "keywords": "export.keywords"},
    "Export a trained model (needs torch).",
)


def _targets(files: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Where each input's output goes."""
    files = list(dict.fromkeys(files))
    if len(files) == 1 and output.suffix and not os.path.isdir(output):
        return {files[0]: output}
    if os.path.isfile(output) or output.suffix.lower() in FORMATS:
        raise click.UsageError(f"-o {output} must be a folder when there are several inputs")
    targets = {source: output / source.name for source in files}
    if len(set(targets.values())) < len(files):
        raise click.UsageError(f"several inputs have the same name and would meet in {output}")
    return targets


def _sensitivity(rates: Sequence[tuple[str, float]]) -> Sensitivity:
    """From the options' pairs; the last one given counts."""
    given = dict(rates)
    per_hour = given.pop("", Sensitivity.per_hour)
    return Sensitivity(per_hour, given)


def _pipeline_maker(
    preset: str, limit_db: float | None, spot: bool, sensitivity: Sensitivity
) -> tuple[Callable[[int, int], Any], Any]:
    from app.enrolment import load_all
    from app.pipeline import Pipeline
    from app.sessions import DenoiserModel, SpotterModel

    model = DenoiserModel.preset(preset)
    spotter = SpotterModel() if spot else None
    custom = load_all(spotter) if spotter else []

    def make(samplerate: int, channels: int) -> Pipeline:
        return Pipeline(
            samplerate,
            channels,
            denoiser=model,
            spotter=spotter,
            limit_db=limit_db,
            sensitivity=sensitivity,
            custom=custom,
        )

    return make, model


def _report(source: Path, target: Path, result: Any, as_json: bool, spotted: bool) -> None:
    _warn(result.warnings)
    if as_json:
        line = {
            "file": str(source), "output": str(target),
            "latency_samples": result.latency_samples, "seconds": round(result.seconds, 3),
            "samplerate": result.samplerate, "channels": result.channels,
            "real_time_factor": round(result.real_time_factor, 5), "warnings": result.warnings,
        }  # fmt: skip
        if spotted:
            line["keywords"] = [dataclasses.asdict(event) for event in result.events]
        click.echo(json.dumps(line))
        return
    out.print(
        f"{source} → {target}\n"
        f"  {result.seconds:.2f} s, {result.channels} × {result.samplerate} Hz, "
        f"real-time factor {result.real_time_factor:.3f}, {_latency(result)}",
        markup=False,
    )
    for event in result.events:
        out.print(f"  {event.time_s:8.2f} s  {event.keyword:<8} {event.score:.2f}", markup=False)


def _latency(result: Any) -> str:
    if not result.latency_samples:
        return "latency added: 0 samples"
    ahead_ms = 1000 * result.latency_samples / result.samplerate
    return f"heard {ahead_ms:g} ms ahead, output aligned"


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        err.print(f"warning: {warning}", style="yellow", markup=False)


def _each(
    files: Sequence[Path], work: Callable[[Path, Callable[[float], None]], None], verb: str
) -> None:
    """Do every file; report those that fail and go on, then fail as a whole."""
    failed = 0
    with _progress(verb, len(files)) as (tell, done):
        for source in files:
            try:
                work(source, partial(tell, source.name))
            except UserError as error:
                named = "" if str(source) in str(error) else f"{source}: "
                err.print(f"error: {named}{error}", style="red", markup=False)
                failed += 1
            done()
    if failed:
        if len(files) > 1:
            err.print(f"{failed} of {len(files)} files failed", style="red")
        raise SystemExit(EXIT_FAILED)


@contextmanager
def _progress(
    verb: str, total: int
) -> Iterator[tuple[Callable[[str, float], None], Callable[[], None]]]:
    """A calm progress line on terminals, nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(verb, total=total)
        yield (
            lambda name, seconds: progress.update(
                task, description=f"{verb} {name} {seconds:.0f} s"
            ),
            lambda: progress.advance(task),
        )


def _say_what_runs(stream: Any, mic: Any) -> None:
    delays = [1000 * s for s in stream.latency_s]
    err.print(
        f"listening at {stream.pipeline.samplerate:g} Hz; devices {delays[0]:.0f} + "
        f"{delays[1]:.0f} ms, pipeline {1000 * stream.pipeline.latency_s:g} ms. Ctrl-C stops."
    )
    if mic:
        err.print(f"other programs can choose the microphone {mic.label!r}")


def _actions(words: Sequence[str], token: str | None, **asked: Any) -> list[Any]:
    """Workers for the actions asked for; says where clients find the WebSocket."""
    from app.actions import WebSocket, makers, start_all

    if any(asked.values()) and not words:
        raise click.UsageError("--no-spot hears no keywords: leave it out, or the actions")
    token = token or secrets.token_urlsafe(16)
    workers = start_all(makers(words, token=token, **asked), lambda text: _warn([text]))
    for worker in workers:
        if isinstance(worker.action, WebSocket):
            err.print(f"{worker.action.name}/?token={token}", markup=False)
    return workers


def _watch(stream: Any, workers: Sequence[Any], seconds: float | None, as_json: bool) -> None:
    """Pass events on, show levels on a terminal, until time is up or the stream fails."""
    from rich.live import Live

    from app.terminal import LiveView

    view = None if as_json or not err.is_terminal else LiveView(stream)
    begin = time.monotonic()
    with Live(view, console=err, transient=True) if view else nullcontext():
        while seconds is None or time.monotonic() - begin < seconds:
            time.sleep(0.05)
            _pass_on(stream, workers, as_json)
            if stream.error:
                raise UserError(f"the pipeline failed: {stream.error!r}")
            if not stream.stream.active:
                raise UserError("the audio device went away; plug it in and start again")
    _pass_on(stream, workers, as_json)


def _pass_on(stream: Any, workers: Sequence[Any], as_json: bool) -> None:
    """Print what was heard and hand it to the actions."""
    while not stream.events.empty():
        event = stream.events.get()
        for worker in workers:
            worker.put(event)
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(event)))
            continue
        # Above the levels, if both go to the same terminal.
        page = err if out.is_terminal and err.is_terminal else out
        page.print(f"{event.time_s:8.2f} s  {event.keyword} ({event.score:.2f})")


if __name__ == "__main__":
    main()
