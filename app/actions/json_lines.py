"""Keywords at the end of a file, one JSON object each."""

from __future__ import annotations

import errno
import json
import os
from functools import partial
from pathlib import Path

from resonance.app.actions.action import ActionKind
from resonance.app.errors import UserError
from resonance.app.safe_write import open_to_append
from resonance.app.spotter import KeywordEvent


class JsonLines:
    """One JSON object per event at the end of a file."""

    def __init__(self, path: Path) -> None:
        self.name = f"events file {path}"
        try:
            self._file = os.fdopen(open_to_append(path), "a", encoding="utf-8")
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UserError(f"{path} is a link; name the file that it leads to") from error
            raise UserError(f"cannot write events to {path}: {error.strerror}") from error

    def __call__(self, event: KeywordEvent) -> None:
        """Write and flush a line."""
        self._file.write(json.dumps(event.facts()) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


#: Its row in the registry.
KIND = ActionKind(
    "events",
    lambda path, _: partial(JsonLines, Path(path)),
    "Add each keyword to this file as a line of JSON.",
    title="Write to file",
    hint="words.jsonl",
    is_path=True,
)
