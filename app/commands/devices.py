"""``resonance devices``."""

from __future__ import annotations

import dataclasses
import json

import click
from rich.table import Table
from rich.text import Text

from resonance.app.options import JSON, out
from resonance.app.text import shown


@click.command()
@JSON
def devices(as_json: bool) -> None:
    """List audio devices; use their names with ``live``."""
    from resonance.app.devices import list_devices

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
        marks = (("in", d.default_input), ("out", d.default_output), ("loopback", d.loopback))
        default = " ".join(mark for mark, on in marks if on)
        table.add_row(
            Text(shown(d.name)),
            d.host_api,
            str(d.inputs),
            str(d.outputs),
            f"{d.samplerate:g}",
            default,
        )
    out.print(table)
