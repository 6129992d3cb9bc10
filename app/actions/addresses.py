"""``HOST:PORT`` as people type it."""

from __future__ import annotations

import re

from resonance.app.errors import WrongUsage


def is_host(text: str) -> bool:
    """Whether this may be the name or the number of a machine."""
    return bool(re.fullmatch(r"[\w.:%-]{1,253}", text)) and ".." not in text


def address(text: str, default_host: str = "127.0.0.1") -> tuple[str, int]:
    """``[HOST:]PORT`` as a pair; WrongUsage if it is not one."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or default_host
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535 or not is_host(host):
        raise WrongUsage(f"{text!r} is no address; give PORT or HOST:PORT, such as 127.0.0.1:8765")
    return host, int(port)
