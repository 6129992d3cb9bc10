"""Keywords for an MQTT broker."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from resonance.app.actions.action import CLOSE_S, ActionKind
from resonance.app.actions.addresses import is_host
from resonance.app.errors import WrongUsage
from resonance.app.spotter import KeywordEvent


class Mqtt:
    """A message of JSON to a broker, under ``TOPIC/WORD``; reconnects on its own.

    Parameters
    ----------
    url
        ``mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC]``.
    """

    def __init__(self, url: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        host, port, secure, user, password, topic = broker(url)
        self.name, self._topic = f"MQTT {host}:{port}", topic
        self._refused = ""  # why the broker does not let us in
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        if secure:
            self._client.tls_set()
        if user:
            self._client.username_pw_set(user, password)
        self._client.connect_async(host, port)
        self._client.loop_start()

    def __call__(self, event: KeywordEvent) -> None:
        """Publish it, once the broker is there."""
        deadline = time.monotonic() + CLOSE_S
        while not self._client.is_connected() and time.monotonic() < deadline:
            if self._refused:
                raise RuntimeError(f"the broker refuses: {self._refused}")
            time.sleep(0.02)
        if not self._client.is_connected():
            raise RuntimeError("the broker does not answer; is the address right?")
        topic = f"{self._topic or 'resonance'}/{event.keyword}"
        self._client.publish(topic, json.dumps(event.facts()), qos=1)

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        self._refused = str(reason) if reason.is_failure else ""

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()


def broker(url: str) -> tuple[str, int, bool, str, str, str]:
    """Host, port, whether encrypted, user, password and topic of a broker.

    Raises
    ------
    WrongUsage
        If the address makes no sense. The message does not hold it: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "mqtts"
        port = parts.port or (8883 if secure else 1883)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError as error:
        raise WrongUsage("--mqtt is no address; give mqtt://HOST[:PORT][/TOPIC]") from error
    topic = unquote(parts.path.strip("/"))
    if parts.scheme not in ("mqtt", "mqtts") or not is_host(parts.hostname or ""):
        raise WrongUsage("--mqtt is no address of a broker; give mqtt://HOST[:PORT][/TOPIC]")
    if set(topic) & set("+#\0") or len(topic.encode("utf-8", "replace")) > 1000:
        raise WrongUsage("--mqtt: a topic to publish to holds neither + nor #")
    return parts.hostname or "", port, secure, user, password, topic


#: Its row in the registry.
KIND = ActionKind(
    "mqtt",
    lambda url, _: partial(Mqtt, url),
    "Publish keywords: mqtt[s]://[USER:PASSWORD@]HOST[:PORT][/TOPIC].",
    "URL",
    title="MQTT",
    hint="mqtt://broker/home",
)
