"""Where the outputs of files go: never onto an input, never onto one another."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from resonance.app.errors import UserError
from resonance.app.safe_write import identity
from resonance.app.soundfiles.writer import FORMATS, writable_name


def output_paths(files: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Each input's output: ``output`` itself for one input, else a file in that folder.

    Parameters
    ----------
    files
        The inputs.
    output
        A file, or a folder.

    Raises
    ------
    UserError
        If several outputs would meet, or one would replace an input.
    """
    files = list(dict.fromkeys(files))
    if len(files) == 1 and output.suffix and not os.path.isdir(output):
        targets = {files[0]: output}
    elif not os.path.isdir(output) and (os.path.isfile(output) or output.suffix.lower() in FORMATS):
        raise UserError(f"-o {output} must be a folder when there are several inputs")
    else:
        targets = {source: output / writable_name(source) for source in files}
    places = {source: identity(target) for source, target in targets.items()}
    if len(set(places.values())) < len(files):
        raise UserError(f"several inputs have the same name and would meet in {output}")
    check_no_input(targets.values(), files)
    return targets


def check_no_input(targets: Iterable[Path], files: Sequence[Path]) -> None:
    """Raise UserError if one of the targets is one of the inputs, by whatever name."""
    inputs = {identity(source): source for source in files}
    for target in targets:
        source = inputs.get(identity(target))
        if source is not None:
            raise UserError(f"{target} is the input {source}; choose another output")
