"""``resonance config``."""

from __future__ import annotations

import click

from resonance.app import config as settings
from resonance.app.options import out


@click.command("config")
@click.option("--init", is_flag=True, help="Write a file with every setting explained.")
def config(init: bool) -> None:
    """Show where lasting settings are kept, and what they say."""
    main = click.get_current_context().find_root().command
    assert isinstance(main, click.Group)
    file = settings.path()
    if init:
        settings.create(main)
    out.print(str(file))
    settings.load(main)
    settings.devices(main)
    if file.exists():
        out.print(settings.text_without_secrets())
    else:
        out.print("no settings yet; resonance config --init writes a file to fill in")
