"""``resonance serve``."""

from __future__ import annotations

import json

import click

from resonance.app.actions import address
from resonance.app.errors import UserError
from resonance.app.options import (
    JSON,
    LIMIT,
    PRESET,
    SENSITIVITY,
    Number,
    err,
    examples,
    out,
    sensitivity,
    warn,
)

#: Hosts that only programs of this machine reach.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command(
    epilog=examples(
        "resonance serve                          for programs of this machine",
        "resonance serve --wyoming 0.0.0.0:10400  wake words for Home Assistant elsewhere",
        "curl http://127.0.0.1:8710/health        its pages: http://127.0.0.1:8710/",
    )
)
@click.option(
    "--http",
    default="127.0.0.1:8710",
    metavar="[HOST:]PORT",
    help="Where HTTP and WebSocket clients connect; on this machine only, unless HOST says "
    "otherwise.",
)
@click.option(
    "--wyoming",
    default="127.0.0.1:10400",
    metavar="[HOST:]PORT",
    help="Where Home Assistant connects for wake words. The Wyoming protocol has no passwords.",
)
@click.option(
    "--token",
    envvar="RESONANCE_TOKEN",
    help="What clients of HTTP must know; default: one that is kept in a file of yours.",
)
@click.option("--most-streams", type=click.IntRange(1), default=100, help="Streams at once.")
@click.option("--most-files", type=click.IntRange(1), default=8, help="Files at once.")
@click.option("--file-mb", type=click.IntRange(1), default=200, help="Largest file taken, MiB.")
@click.option("--file-minutes", type=Number(0.1), default=240.0, help="Longest file taken.")
@click.option(
    "--idle-s", type=Number(0.1), default=60.0, help="Clients silent for so long are disconnected."
)
@PRESET
@LIMIT
@SENSITIVITY
@JSON
def serve(
    http: str,
    wyoming: str,
    token: str | None,
    most_streams: int,
    most_files: int,
    file_mb: int,
    file_minutes: float,
    idle_s: float,
    preset: str,
    limit_db: float | None,
    rates: tuple[tuple[str, float], ...],
    as_json: bool,
) -> None:
    """Clean sound and spot keywords for other programs, over HTTP, WebSocket and Wyoming."""
    try:
        from resonance.app.serve.limits import Limits
        from resonance.app.serve.models import Models
        from resonance.app.serve.server import Address, run
        from resonance.app.tokens import kept_token
    except ImportError as error:
        raise UserError(
            f"resonance serve needs {error.name}; in the source folder: pip install '.[serve]'"
        ) from error
    addresses = address(http), address(wyoming)
    limits = Limits(
        streams=most_streams,
        files=most_files,
        file_bytes=file_mb << 20,
        file_s=60 * file_minutes,
        idle_s=idle_s,
    )
    kept = None
    if not token:
        kept, token = kept_token()
    with err.status("loading models"):
        models = Models(preset, limit_db, sensitivity(rates))

    def report(http_at: Address, wyoming_at: Address) -> None:
        page, wake = f"http://{_text(http_at)}/", f"tcp://{_text(wyoming_at)}"
        if as_json:
            click.echo(
                json.dumps(
                    {"http": page, "wyoming": wake, "token_file": str(kept) if kept else None}
                )
            )
            return
        out.print(f"HTTP and WebSocket  {page}\nWyoming             {wake}")
        if kept:
            out.print(f"clients of HTTP need the token in {kept}")
        if wyoming_at[0] not in LOOPBACK:
            warn("whoever reaches the Wyoming port can use it: the protocol has no passwords")

    run(models, limits, *addresses, token, report)


def _text(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
