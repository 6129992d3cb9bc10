"""What happens when a keyword is detected, one file for each kind; ``registry.py`` lists them.

Every action runs in one thread of its own: one that fails or hangs disturbs neither the sound nor
the others; failures are reported and counted.
"""

from resonance.app.actions.action import Action, ActionKind, Known
from resonance.app.actions.addresses import address
from resonance.app.actions.json_lines import JsonLines
from resonance.app.actions.mqtt import Mqtt, broker
from resonance.app.actions.osc import Osc
from resonance.app.actions.program import Program
from resonance.app.actions.registry import ACTIONS, makers, with_token
from resonance.app.actions.websocket import WebSocket
from resonance.app.actions.worker import Worker, start_all

__all__ = [
    "ACTIONS",
    "Action",
    "ActionKind",
    "JsonLines",
    "Known",
    "Mqtt",
    "Osc",
    "Program",
    "WebSocket",
    "Worker",
    "address",
    "broker",
    "makers",
    "start_all",
    "with_token",
]
