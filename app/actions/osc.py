"""Keywords by Open Sound Control."""

from __future__ import annotations

from functools import partial

from resonance.app.actions.action import ActionKind
from resonance.app.actions.addresses import address
from resonance.app.errors import UserError
from resonance.app.spotter import KeywordEvent


class Osc:
    """An Open Sound Control message, ``/resonance/keyword word score time_s``, over UDP."""

    ADDRESS = "/resonance/keyword"

    def __init__(self, host: str, port: int) -> None:
        from pythonosc.udp_client import SimpleUDPClient

        self.name = f"OSC {host}:{port}"
        try:
            self._client = SimpleUDPClient(host, port)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(f"cannot send OSC to {host}:{port}: {reason}") from error

    def __call__(self, event: KeywordEvent) -> None:
        """Send it."""
        self._client.send_message(self.ADDRESS, [event.keyword, event.score, event.time_s])

    def close(self) -> None:
        """Close the socket."""
        self._client.close()


#: Its row in the registry.
KIND = ActionKind(
    "osc",
    lambda text, _: partial(Osc, *address(text)),
    "Send keywords by Open Sound Control (UDP).",
    "[HOST:]PORT",
    title="OSC",
    hint="9000 or HOST:9000",
)
