"""``resonance service``."""

from __future__ import annotations

import json

import click

from resonance.app.options import JSON, examples, out
from resonance.app.service import AUTOSTART, KINDS


@click.group(
    epilog=examples(
        "resonance service install    a clean microphone in every session from now on",
        "resonance service status",
        "resonance service remove",
    )
)
def service() -> None:
    """Start the clean microphone with your session, without a window (Linux).

    Other programs find it as "Resonance microphone". Nothing is computed while none records.
    Settings are those of [live] in the file that resonance config shows.
    """


@service.command()
@click.option(
    "--with",
    "kind",
    type=click.Choice(KINDS),
    help="How to start it; default: systemd where it looks after the session.",
)
def install(kind: str | None) -> None:
    """Start it with every session, and with systemd at once."""
    from resonance.app import service as login

    path = login.install(kind)
    out.print(f"installed: {path}")
    if login.status().installed == (AUTOSTART,):
        out.print("it starts with your next session; until then: resonance live --virtual-mic")
    else:
        out.print('other programs can choose the microphone "Resonance microphone"')


@service.command()
@JSON
def status(as_json: bool) -> None:
    """Show whether it is installed, and runs."""
    from resonance.app import service as login

    found = login.status()
    if as_json:
        facts = {"installed": found.installed, "running": found.running}
        click.echo(json.dumps({**facts, "files": [str(path) for path in found.files]}))
        return
    if not found.installed:
        out.print("not installed; resonance service install does it")
    for kind, path in zip(found.installed, found.files, strict=True):
        out.print(f"{kind}: {path}")
    if found.running is not None:
        out.print("running" if found.running else "not running: journalctl --user -u resonance")


@service.command()
def remove() -> None:
    """Start it no more, and end it."""
    from resonance.app import service as login

    removed = login.remove()
    out.print("\n".join(f"removed: {path}" for path in removed) or "it was not installed")
