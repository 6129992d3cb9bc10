"""Colours of the resonogram: of levels, of what was removed, and of phases."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtGui import QColor

from resonance.app.gui import theme as themes
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.level_history import FLOOR_DB, TOP_DB, Bytes, kept_level

#: What the colours of a difference span, dB.
SHOWN_DIFFERENCE_DB = 40.0

Levels = NDArray[np.float32]
Colours = NDArray[np.uint32]


def colour_map(theme: Theme) -> pg.ColorMap:
    """The amplitude map as pyqtgraph wants it."""
    colours = (theme.quiet, *theme.amplitude)
    return pg.ColorMap(np.linspace(0, 1, len(colours)), [QColor(c) for c in colours])


def coloured(levels: Levels, theme: Theme, shown_db: tuple[float, float]) -> Colours:
    """Colours of levels.

    Parameters
    ----------
    levels
        Kept numbers [rows, hops].
    theme
        Gives the colours.
    shown_db
        What they span, dBFS.

    Returns
    -------
    ndarray
        ARGB [rows, hops].
    """
    low, high = (kept_level(db) for db in shown_db)
    at = np.clip((levels - low) * (255.0 / (high - low)), 0, 255)
    return np.asarray(themes.amplitude_map(theme)[at.astype(np.uint8)])


def removed(before: Levels, after: Levels, theme: Theme, quietest_db: float) -> Colours:
    """Colours of what was removed.

    Parameters
    ----------
    before, after
        Kept numbers [rows, hops].
    theme
        Gives the colours.
    quietest_db
        Below this level before, dBFS, there was nothing to be removed.

    Returns
    -------
    ndarray
        ARGB [rows, hops].
    """
    taken = np.maximum(before - after, 0.0)
    taken[before < kept_level(quietest_db)] = 0.0
    scale = (TOP_DB - FLOOR_DB) / SHOWN_DIFFERENCE_DB
    return np.asarray(themes.difference_map(theme)[np.clip(taken * scale, 0, 255).astype(np.uint8)])


def of_phases(
    phases: Bytes, levels: Levels, theme: Theme, shown_db: tuple[float, float]
) -> Colours:
    """Colours of phases, from the quiet colour up as the oscillators get louder.

    Parameters
    ----------
    phases, levels
        Kept numbers [rows, hops].
    theme
        Gives the quiet colour.
    shown_db
        What the colours of levels span, dBFS.

    Returns
    -------
    ndarray
        ARGB [rows, hops].
    """
    low, high = kept_level(shown_db[0] + 10), kept_level(shown_db[1] - 14)
    share = np.clip((levels - low) / (high - low), 0, 1)[..., None]
    quiet = np.array(QColor(theme.quiet).getRgb()[:3], np.float32)
    shifts = np.array([16, 8, 0], np.uint32)
    full = (themes.phase_map()[phases][..., None] >> shifts & 255).astype(np.float32)
    mixed = (quiet + share * (full - quiet)).astype(np.uint32)
    return np.asarray(0xFF000000 | (mixed << shifts).sum(axis=-1, dtype=np.uint32))
