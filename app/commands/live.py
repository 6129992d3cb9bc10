"""``resonance live``: its options, and what they make; a run is in ``app/live/run.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from resonance.app import config
from resonance.app.actions import ACTIONS, Known, makers, with_token
from resonance.app.live.settings import EngineSettings, LiveSettings, check
from resonance.app.options import (
    FILES,
    JSON,
    SENSITIVITY,
    Number,
    err,
    options,
    sensitivity,
)
from resonance.app.setting import settings_of

if TYPE_CHECKING:
    from resonance.app.actions import Action
    from resonance.app.live.session import LiveSession


def _action_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each kind of action."""
    for kind in reversed(ACTIONS):
        command = click.option(
            f"--{kind.name}",
            type=FILES if kind.is_path else str,
            multiple=kind.multiple,
            metavar=kind.metavar,
            help=kind.help,
        )(command)
    return command


@click.command()
@options(LiveSettings)
@click.option("--seconds", type=Number(0), help="Stop after this long; default: Ctrl-C.")
@SENSITIVITY
@click.option("--record", type=FILES, help="Record the cleaned sound to this new file.")
@click.option("--record-raw", type=FILES, help="Record the sound as it came to this new file.")
@click.option("--record-both", type=FILES, help="Record both, as it came left, cleaned right.")
@click.option(
    "--folder", type=FILES, default=Path(), help="Where recordings made by a key and clips go."
)
@click.option(
    "--clips/--no-clips", default=False, help="Save 3 s of cleaned sound around each keyword."
)
@_action_options
@click.option(
    "--token",
    envvar="RESONANCE_TOKEN",
    help="What clients of --websocket must know; default: one that is kept in a file.",
)
@JSON
@click.pass_context
def live(
    ctx: click.Context,
    /,
    seconds: float | None,
    rates: tuple[tuple[str, float], ...],
    record: Path | None,
    record_raw: Path | None,
    record_both: Path | None,
    folder: Path,
    clips: bool,
    token: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Clean the microphone into the loudspeaker, and report keywords.

    Terminals show levels and take single keys: b, s, r, q. SIGUSR1 saves the last 30 s, too.
    """
    from resonance.app.enrolment import load_all
    from resonance.app.live.recorder import check_new
    from resonance.app.live.run import LiveRun
    from resonance.app.live.session import LiveSession
    from resonance.app.onnx_models import SpotterModel

    chosen = {name: given.pop(name) for name in settings_of(LiveSettings)}
    spotter = SpotterModel() if chosen["spot"] else None
    custom = load_all(spotter) if spotter else []
    wanted = sensitivity(rates)
    if spotter:
        wanted.thresholds(spotter, custom)
    words = [*spotter.words, *(word.word for word in custom)] if spotter else []
    settings = EngineSettings(
        **chosen,
        monitor=chosen["virtual_mic"] and chosen["output_name"] is not None,
        sensitivity=wanted,
        custom=tuple(custom),
        idle_when_unused=True,
    )
    check(settings)
    for recording in filter(None, (record, record_raw, record_both)):
        check_new(recording)
    actions = _actions(given, words, token)
    session = LiveSession(folder, clips=clips)
    run = LiveRun(session, _device_presets(ctx), as_json=as_json)
    try:
        session.start_actions(actions)
        _say_where_clients_go(session)
        run.begin(settings)
        with suppress(KeyboardInterrupt):
            for what, path in (("clean", record), ("raw", record_raw), ("both", record_both)):
                if path:
                    session.record(what, path)
            run.watch(seconds)
    finally:
        totals = session.totals()
        session.close()
    run.summarise(totals)


def _device_presets(ctx: click.Context) -> dict[str, dict[str, Any]]:
    """Engine settings by device from the file of settings; the command line goes before them."""
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    given = {
        name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return {
        device: {name: value for name, value in content.items() if name not in given}
        for device, content in config.devices(root).items()
    }


def _actions(
    asked: Mapping[str, Any], words: Sequence[str], token: str | None
) -> list[Callable[[], Action]]:
    """What makes the actions asked for."""
    from resonance.app.tokens import kept_token

    if any(asked.values()) and not words:
        raise click.UsageError("--no-spot finds no keywords: leave it out, or the actions")
    if (served := with_token(asked)) and not token:
        path, token = kept_token()
        err.print(f"clients of --{' and --'.join(served)} need the token in {path}")
    return makers(asked, Known(words, token or ""))


def _say_where_clients_go(session: LiveSession) -> None:
    from resonance.app.actions import WebSocket

    for worker in session.workers:
        if isinstance(worker.action, WebSocket):
            err.print(worker.action.name)
