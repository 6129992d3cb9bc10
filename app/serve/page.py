"""The description of the HTTP interface, for programs and for people."""

from __future__ import annotations

import functools
import json
from html import escape
from pathlib import Path
from typing import Any

from resonance import __version__

_HERE = Path(__file__).parent


@functools.cache
def openapi() -> dict[str, Any]:
    """The interface as OpenAPI 3.1."""
    content: dict[str, Any] = json.loads((_HERE / "openapi.json").read_text(encoding="utf-8"))
    content["info"]["version"] = __version__
    return content


@functools.cache
def html() -> str:
    """The same as a page that needs nothing else."""
    sections = [
        _section(method, path, facts)
        for path, methods in openapi()["paths"].items()
        for method, facts in methods.items()
    ]
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    return template.replace("{{version}}", __version__).replace("{{paths}}", "\n".join(sections))


def _section(method: str, path: str, facts: dict[str, Any]) -> str:
    rows = "".join(_row(parameter) for parameter in facts.get("parameters", []))
    return (
        f"<section><h2><b>{escape(method.upper())}</b> {escape(path)}</h2>"
        f"<p>{escape(facts['summary'])}. {escape(facts.get('description', ''))}</p>"
        + (f"<table>{rows}</table>" if rows else "")
        + f"<pre>{escape(facts['x-example'])}</pre></section>"
    )


def _row(parameter: dict[str, Any]) -> str:
    if "$ref" in parameter:
        parameter = openapi()["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]]
    default = parameter["schema"].get("default")
    usual = "" if default is None else f" Default: {default}."
    return (
        f"<tr><th>{escape(parameter['name'])}</th>"
        f"<td>{escape(parameter['description'])}{escape(usual)}</td></tr>"
    )
