"""Options that several measurements share."""

from __future__ import annotations

from pathlib import Path

import click

DATA = click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Folder of recordings.",
)
WORK = click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    help="Folder for decoded audio.",
)
