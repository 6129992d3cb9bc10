"""Every kind of action, one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resonance.app.actions import json_lines, mqtt, osc, program, websocket
from resonance.app.actions.action import Action, ActionKind, Known

#: In the order of help and window.
ACTIONS: list[ActionKind] = [
    json_lines.KIND,
    program.KIND,
    websocket.KIND,
    osc.KIND,
    mqtt.KIND,
]


def with_token(asked: Mapping[str, Any]) -> list[str]:
    """Names of the actions asked for whose clients must show a token."""
    return [kind.name for kind in ACTIONS if kind.needs_token and asked.get(kind.name)]


def makers(asked: Mapping[str, Any], known: Known) -> list[Callable[[], Action]]:
    """What makes the actions that are asked for.

    Parameters
    ----------
    asked
        A value, or for ``multiple`` ones a list, by name of the kind; empty ones are left out.
    known
        What their values may refer to.

    Returns
    -------
    list of callable
        One for each action; see :func:`start_all`.

    Raises
    ------
    WrongUsage
        If there is no such word, program or address.
    """
    made = []
    for kind in ACTIONS:
        value = asked.get(kind.name) or ()
        values = value if kind.multiple else [value] if value else []
        made += [kind.prepare(str(one), known) for one in values]
    return made
