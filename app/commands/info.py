"""``resonance info``."""

from __future__ import annotations

import json

import click

from resonance.app.options import JSON, out


@click.command()
@JSON
def info(as_json: bool) -> None:
    """Versions, models, libraries and devices: what a bug report needs."""
    from resonance.app.info import collect

    facts = collect()
    if as_json:
        click.echo(json.dumps(facts))
    else:
        out.print_json(data=facts)
