"""Options that commands on recordings share: trainings, exports, measurements."""

from __future__ import annotations

from pathlib import Path

import click

DATA = click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Folder of recordings.",
)
#: More than one.
FOLDERS = click.option(
    "--data",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Folder of recordings; may be given several times.",
)
WORK = click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    help="Folder for decoded audio.",
)
#: Of a training, which goes on from there.
RUN = click.option(
    "--work",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for checkpoints, results and prepared recordings.",
)
