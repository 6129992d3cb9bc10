"""Commands of ``resonance``, one file each: ``NAME.py`` holds the click command ``NAME``."""

from __future__ import annotations

import importlib
import pkgutil

import click


def all_commands() -> list[click.Command]:
    """The command of every file in this folder, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [getattr(importlib.import_module(f"{__name__}.{name}"), name) for name in names]
