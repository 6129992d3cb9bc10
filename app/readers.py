"""Everything of ours that reads what others wrote: one row each, tried with damaged input.

Each function takes the path of a file and either makes sense of it or raises
:class:`~resonance.app.errors.UserError`; ``python -m bench.files.fuzz`` and the tests hold them to
it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import click

from resonance.app import config, enrolment
from resonance.app.actions import address, broker
from resonance.app.batch import plan, report
from resonance.app.batch.worker import Outcome
from resonance.app.errors import UserError
from resonance.app.model_facts import has_external_data, wrong_fact
from resonance.app.soundfiles.reader import open_sound


def sound_file(path: Path) -> None:
    """A sound file, to its end."""
    with open_sound(path) as reader:
        for _ in reader.blocks():
            pass
        reader.metadata()


def word(path: Path) -> None:
    """A custom word's file."""
    enrolment.read_word(path)


def settings(path: Path) -> None:
    """The file of settings."""
    from resonance.app.cli import main

    before = os.environ.get("RESONANCE_CONFIG")
    os.environ["RESONANCE_CONFIG"] = str(path)
    try:
        config.load(main)
        config.devices(main)
        config.window()
        config.text_without_secrets()
    finally:
        os.environ.pop("RESONANCE_CONFIG")
        if before is not None:
            os.environ["RESONANCE_CONFIG"] = before


def model_facts(path: Path) -> None:
    """The facts of a model."""
    content = path.read_bytes()
    has_external_data(content)
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON") from error
    for kind in ("denoiser", "keywords"):
        if not isinstance(facts, dict) or wrong_fact(facts, kind):
            raise UserError(f"{path} makes no sense")


def record(path: Path) -> None:
    """What a batch's record says of a file."""
    outcome = Outcome.from_json("a", "b", path.read_text(encoding="utf-8", errors="replace"))
    report.noise_cut_db({"levels": outcome.levels})
    json.dumps(outcome.keywords, allow_nan=False)


def file_list(path: Path) -> None:
    """A list of inputs, and its lines as name templates and addresses."""
    for line in plan.from_list(path.read_bytes())[:50]:
        for check in (plan.check_template, address, broker):
            try:
                check(line)
            except (UserError, click.UsageError):
                continue


#: What is read, by the ending of its input's name.
READERS: dict[str, Callable[[Path], None]] = {
    "wav": sound_file,
    "word.json": word,
    "toml": settings,
    "facts.json": model_facts,
    "record.json": record,
    "txt": file_list,
}
