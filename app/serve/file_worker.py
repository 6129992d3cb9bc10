"""A process that cleans one file after the other: JSON lines in, JSON lines out.

Files come from strangers: what makes a decoder crash, hang or eat the disk ends this process, not
the server.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import clean_file, custom_words, factory
from resonance.app.errors import AudioFileError, UserError
from resonance.app.files import spot_file
from resonance.app.spotter import Sensitivity

#: How much the process gives way to others (nice).
GIVES_WAY = 10


def main() -> None:
    """Work until stdin ends; its first line holds the bounds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    if hasattr(os, "nice"):
        os.nice(GIVES_WAY)
    asked = map(json.loads, sys.stdin)
    bounds = next(asked)
    _limit_files(bounds["written_bytes"])
    for ask in asked:
        print(json.dumps(_answer(ask, bounds["file_s"])), file=answers, flush=True)


def _limit_files(most_bytes: int) -> None:
    """No file may become larger, whatever a decoder makes of its input."""
    with suppress(ImportError):  # there is no such limit on Windows
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the file, not the end
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def _answer(ask: dict[str, Any], most_s: float) -> dict[str, Any]:
    source = Path(ask["source"])

    def report(seconds: float, total_s: float | None = None) -> None:
        if max(seconds, total_s or 0.0) > most_s:
            raise AudioFileError(f"{source} is longer than {most_s / 60:g} minutes")

    if ask["target"] is None:
        return _spotted(source, report, Sensitivity(**ask["sensitivity"]))
    settings = BatchSettings(preset=ask["preset"], limit_db=ask["limit_db"], pictures=False)
    outcome = clean_file(BatchJob(str(source), ask["target"]), settings, report)
    return {"error": outcome.error, "warnings": outcome.warnings}


def _spotted(
    source: Path, report: Callable[[float], None], sensitivity: Sensitivity
) -> dict[str, Any]:
    make = partial(factory.make_spotting, sensitivity=sensitivity, custom=custom_words())
    try:
        result = spot_file(source, make, progress=report)
    except UserError as error:
        return {"error": str(error), "warnings": []}
    return {
        "error": None,
        "warnings": result.warnings,
        "seconds": round(result.seconds, 3),
        "keywords": [event.facts() for event in result.events],
    }


if __name__ == "__main__":
    main()
