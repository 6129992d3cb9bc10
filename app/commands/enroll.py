"""``resonance enroll``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from resonance.app.checks import RATES_PER_HOUR
from resonance.app.options import FILES, JSON, Number, err, examples, out, warn


@click.command(
    epilog=examples(
        "resonance enroll marvin --record",
        "resonance enroll marvin take1.wav take2.wav take3.wav",
        "resonance enroll marvin --record --text marvin",
        "resonance enroll --list",
        "resonance enroll marvin --forget",
    )
)
@click.argument("word", required=False)
@click.argument("files", nargs=-1, type=FILES, metavar="[IN...]")
@click.option("--record", is_flag=True, help="Record WORD here, from the microphone, and learn it.")
@click.option("--takes", type=click.IntRange(3, 20), default=3, help="How often, with --record.")
@click.option("--input", "input_name", help="Microphone for --record; default: the system's.")
@click.option("--text", default="", help="Also learn from espeak-ng, reading this aloud.")
@click.option(
    "--false-accepts",
    "per_hour",
    type=Number(*RATES_PER_HOUR),
    default=1.0,
    metavar="RATE",
    help="Allowed per hour of running speech.",
)
@click.option("--list", "listed", is_flag=True, help="Show the words that were learnt.")
@click.option("--forget", is_flag=True, help="Delete WORD and its recordings instead.")
@JSON
def enroll(
    word: str | None,
    files: tuple[Path, ...],
    record: bool,
    takes: int,
    input_name: str | None,
    text: str,
    per_hour: float,
    listed: bool,
    forget: bool,
    as_json: bool,
) -> None:
    """Learn WORD from 3 to 5 recordings of it alone; spot and live then listen for it, too."""
    from resonance.app import enrolment, synthetic_readings

    if listed:
        _show_words(as_json)
        return
    if not word:
        raise click.UsageError("name the word, or ask for those there are: --list")
    if forget:
        done = enrolment.forget(word)
        click.echo(json.dumps({"word": word, "forgotten": True})) if as_json else out.print(done)
        return
    if record and files:
        raise click.UsageError("give recordings, or --record, not both")
    if text:
        synthetic_readings.espeak_ng()  # before anything is recorded
    with tempfile.TemporaryDirectory() as folder:
        paths = _recorded(word, takes, input_name, Path(folder)) if record else files
        _learn(word, paths, text, per_hour, as_json)


def _show_words(as_json: bool) -> None:
    from resonance.app import enrolment

    known = enrolment.kept()
    for learnt, folder in known:
        if as_json:
            facts = {"word": learnt.word, "threshold": learnt.threshold}
            more = {"per_hour": learnt.per_hour, "agreement": learnt.agreement}
            click.echo(json.dumps({**facts, **more, "folder": str(folder)}))
        else:
            line = f"{len(learnt.agreement)} recordings, {learnt.per_hour:g} false accepts an hour"
            out.print(f"{learnt.word:<16} {line}, in {folder}")
    if not known and not as_json:
        out.print("no words of your own yet; resonance enroll WORD --record teaches one")


def _recorded(word: str, takes: int, input_name: str | None, folder: Path) -> tuple[Path, ...]:
    """Files of the word alone, said into the microphone."""
    from resonance.app import enrolment
    from resonance.app.microphone import Microphone
    from resonance.app.onnx_models import SpotterModel

    enrolment.check_name(word, SpotterModel())
    paths = list[Path]()
    with Microphone(input_name) as microphone:
        err.print(f"listening to {microphone.name}; Ctrl-C ends")
        while len(paths) < takes:
            path = folder / f"take {len(paths) + 1}.wav"
            if microphone.record_word(path, f"take {len(paths) + 1} of {takes}: say {word!r}", err):
                paths.append(path)
    return tuple(paths)


def _learn(word: str, files: tuple[Path, ...], text: str, per_hour: float, as_json: bool) -> None:
    from resonance.app import enrolment
    from resonance.app.onnx_models import SpotterModel

    with err.status("learning"):
        learnt = enrolment.learn(word, files, SpotterModel(), per_hour, text=text)
    for path, likeness in zip(files, learnt.agreement, strict=True):
        if likeness < enrolment.LEAST_LIKE:
            warn(f"{path} sounds unlike the others (likeness {likeness:.2f}); record it again?")
    warn(*enrolment.doubts(learnt, enrolment.other_words(learnt)))
    folder = enrolment.save(learnt, files)
    facts: dict[str, Any] = {"word": word, "threshold": learnt.threshold}
    if as_json:
        click.echo(json.dumps({**facts, "agreement": learnt.agreement, "folder": str(folder)}))
        return
    out.print(
        f"{word}: fires at a likeness of {learnt.threshold:.2f}; kept in {folder}\n"
        f"try it: resonance live --virtual-mic, then say {word!r}",
    )
