"""Colours, type and shapes of the window; dark and light follow the system."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PyQt6.QtWidgets import QApplication

#: Tried in this order; the last ones are everywhere.
FAMILIES = ("Inter", "Segoe UI", "SF Pro Text", "Cantarell", "Noto Sans", "DejaVu Sans")


@dataclass(frozen=True)
class Theme:
    """Colours by what they are for; all as #rrggbb.

    Sound as it came and cleaned sound differ in hue and in lightness (Okabe and Ito's blue and
    orange), so that everybody can distinguish them.
    """

    name: str
    ground: str  #: behind everything
    surface: str  #: of cards and fields
    raised: str  #: of buttons
    line: str
    text: str
    muted: str
    accent: str
    on_accent: str  #: text on it
    original: str  #: the sound as it came
    cleaned: str
    good: str
    warning: str
    error: str
    quiet: str  #: where the amplitude map begins
    amplitude: tuple[str, ...]  #: goes on from there
    frequency: tuple[str, ...]  #: low to high


DARK = Theme(
    "dark",
    "#12151b",
    "#191d25",
    "#252b36",
    "#323a47",
    "#e8ebf0",
    "#a2abba",
    "#4fc3b5",
    "#06231f",
    "#62b6ee",
    "#f0a53a",
    "#4fc3b5",
    "#f0a53a",
    "#ff8f6b",
    "#0d1016",
    ("#23204a", "#3f3f88", "#31688e", "#21918c", "#35b779", "#a5db36", "#fde725"),
    ("#7f8cff", "#4fb4e6", "#45cfa3", "#b6d94c", "#ffd24a", "#ff9e5e"),
)
LIGHT = Theme(
    "light",
    "#f3f4f6",
    "#ffffff",
    "#e9ecf0",
    "#cfd5dd",
    "#1a1e25",
    "#59626f",
    "#0b766b",
    "#ffffff",
    "#0069a8",
    "#b45f00",
    "#0b766b",
    "#a35200",
    "#b3261e",
    "#ffffff",
    ("#e3f0c8", "#a5d6a0", "#5cb8a0", "#2b8c8f", "#31608f", "#3b2f7a", "#240a4e"),
    ("#4a3fb5", "#0072b2", "#00856a", "#6f7d00", "#a86b00", "#b84300"),
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}

#: Phase −π … π; its ends meet, and colour-blind eyes see it go round, too (after Crameri's romaO).
PHASE = (
    "#7a3a55",
    "#9c5b3a",
    "#c79f4a",
    "#d6dba5",
    "#94d0c8",
    "#4f9bc0",
    "#4a62a0",
    "#7a3a55",
)


def system_theme() -> Theme:
    """The one that the system is set to; dark if it does not say."""
    hints = QGuiApplication.styleHints()
    light = hints is not None and hints.colorScheme() == Qt.ColorScheme.Light
    return LIGHT if light else DARK


@lru_cache(maxsize=16)
def lookup(colours: tuple[str, ...], count: int = 256) -> NDArray[np.uint32]:
    """A map from 0 … count-1 to pixels 0xffRRGGBB, straight between ``colours``."""
    points = np.array([QColor(c).getRgb()[:3] for c in colours], dtype=np.float64)
    at = np.linspace(0, len(points) - 1, count)
    red, green, blue = (
        np.interp(at, np.arange(len(points)), points[:, channel]).round().astype(np.uint32)
        for channel in range(3)
    )
    return np.asarray(0xFF000000 | red << 16 | green << 8 | blue, dtype=np.uint32)


def amplitude_map(theme: Theme) -> NDArray[np.uint32]:
    """From silence to full [256]."""
    return lookup((theme.quiet, *theme.amplitude))


def difference_map(theme: Theme) -> NDArray[np.uint32]:
    """From nothing taken away to much [256], in the cleaned sound's colour."""
    return lookup((theme.quiet, theme.cleaned, theme.text))


def phase_map() -> NDArray[np.uint32]:
    """From −π to π [256]."""
    return lookup(PHASE)


def colours(theme: Theme, places: NDArray[np.floating]) -> list[QColor]:
    """Of frequencies, given as places from 0 (lowest) to 1."""
    table = lookup(theme.frequency)
    return [QColor.fromRgb(int(table[round(255 * float(place))])) for place in places]


def with_alpha(colour: str, alpha: float) -> QColor:
    """The colour, 0 … 1 opaque."""
    mixed = QColor(colour)
    mixed.setAlphaF(alpha)
    return mixed


def apply(application: QApplication, theme: Theme) -> None:
    """Dress the whole application."""
    application.setStyle("Fusion")
    font = QFont(list(FAMILIES))
    font.setPointSizeF(10)
    application.setFont(font)
    application.setPalette(_palette(theme))
    application.setStyleSheet(_style(theme))


def _palette(theme: Theme) -> QPalette:
    palette, role = QPalette(), QPalette.ColorRole
    for what, colour in (
        (role.Window, theme.ground),
        (role.WindowText, theme.text),
        (role.Base, theme.surface),
        (role.AlternateBase, theme.raised),
        (role.Text, theme.text),
        (role.Button, theme.raised),
        (role.ButtonText, theme.text),
        (role.Highlight, theme.accent),
        (role.HighlightedText, theme.on_accent),
        (role.ToolTipBase, theme.raised),
        (role.ToolTipText, theme.text),
        (role.PlaceholderText, theme.muted),
        (role.Link, theme.accent),
        (role.Mid, theme.line),
        (role.Accent, theme.accent),
    ):
        palette.setColor(what, QColor(colour))
    for what in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, what, with_alpha(theme.muted, 0.6))
    return palette


def _style(theme: Theme) -> str:
    t, signs = theme, (Path(__file__).parent / "signs").as_posix()
    return f"""
    QMainWindow, QDialog {{ background: {t.ground}; }}
    QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line};
        padding: 4px; }}
    QFrame[card="true"] {{ background: {t.surface}; border: 1px solid {t.line};
        border-radius: 10px; }}
    QLabel[role="heading"] {{ font-size: 12pt; font-weight: 600; }}
    QLabel[role="title"] {{ font-size: 17pt; font-weight: 600; }}
    QLabel[role="muted"] {{ color: {t.muted}; }}
    QLabel[role="state"] {{ font-size: 12pt; font-weight: 600; }}
    QPushButton, QToolButton {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line};
        border-radius: 7px; padding: 6px 12px; }}
    QToolButton {{ padding: 6px 9px; }}
    QPushButton:hover, QToolButton:hover {{ border-color: {t.accent}; }}
    QPushButton:focus, QToolButton:focus, QTabBar:focus, QListWidget:focus {{
        border-color: {t.accent}; outline: none; }}
    QPushButton:checked, QToolButton:checked {{ background: {t.accent}; color: {t.on_accent};
        border-color: {t.accent}; }}
    QPushButton:disabled, QToolButton:disabled {{ color: {t.muted}; background: {t.surface}; }}
    QPushButton[role="primary"] {{ background: {t.accent}; color: {t.on_accent};
        border-color: {t.accent}; font-weight: 600; padding: 8px 18px; }}
    QPushButton[role="primary"]:focus {{ border: 2px solid {t.text}; padding: 7px 17px; }}
    QPushButton[role="primary"]:disabled {{ background: {t.raised}; color: {t.muted};
        border-color: {t.line}; }}
    QPushButton[role="record"]:checked {{ background: {t.error}; border-color: {t.error};
        color: {t.ground}; }}
    QPushButton[segment="left"] {{ border-top-right-radius: 0; border-bottom-right-radius: 0; }}
    QPushButton[segment="middle"] {{ border-radius: 0; border-left: 0; }}
    QPushButton[segment="right"] {{ border-top-left-radius: 0; border-bottom-left-radius: 0;
        border-left: 0; }}
    QFrame[banner="true"] {{ background: {t.raised}; border: 1px solid {t.warning};
        border-radius: 8px; }}
    QComboBox, QLineEdit, QSpinBox, QDoubleSpinBox {{ background: {t.surface}; color: {t.text};
        border: 1px solid {t.line}; border-radius: 6px; padding: 5px 8px; }}
    QComboBox:focus, QLineEdit:focus, QDoubleSpinBox:focus {{ border-color: {t.accent}; }}
    QComboBox::drop-down {{ border: 0; width: 26px; }}
    QComboBox::down-arrow {{ image: url({signs}/arrow-{t.name}.svg); width: 14px; height: 14px; }}
    QComboBox:disabled {{ color: {t.muted}; }}
    QComboBox QAbstractItemView {{ background: {t.surface}; color: {t.text};
        selection-background-color: {t.accent}; selection-color: {t.on_accent}; }}
    QTabWidget::pane {{ border: 0; }}
    QTabBar {{ qproperty-drawBase: 0; }}
    QTabBar::tab {{ background: transparent; color: {t.muted}; padding: 7px 10px;
        border-bottom: 2px solid transparent; }}
    QTabBar::tab:selected {{ color: {t.text}; border-bottom: 2px solid {t.accent}; }}
    QTabBar::tab:hover {{ color: {t.text}; }}
    QScrollArea, QScrollArea > QWidget > QWidget[scrolled="true"] {{ background: transparent;
        border: 0; }}
    QListWidget {{ background: {t.surface}; border: 1px solid {t.line}; border-radius: 8px; }}
    QProgressBar {{ background: {t.raised}; border: 0; border-radius: 3px; max-height: 6px;
        min-height: 6px; color: transparent; }}
    QProgressBar::chunk {{ background: {t.accent}; border-radius: 3px; }}
    QSlider {{ min-height: 18px; }}
    QSlider::groove:horizontal {{ height: 4px; background: {t.line}; border-radius: 2px; }}
    QSlider::sub-page:horizontal {{ background: {t.accent}; border-radius: 2px; }}
    QSlider::handle:horizontal {{ width: 16px; margin: -6px 0; border-radius: 8px;
        background: {t.text}; }}
    QSlider::handle:horizontal:focus {{ background: {t.accent}; }}
    QSlider::sub-page:horizontal:disabled {{ background: {t.line}; }}
    QSlider::handle:horizontal:disabled {{ background: {t.muted}; }}
    QCheckBox {{ spacing: 8px; }}
    QCheckBox::indicator {{ width: 16px; height: 16px; border: 1px solid {t.muted};
        border-radius: 4px; background: {t.surface}; }}
    QCheckBox::indicator:checked {{ background: {t.accent}; border-color: {t.accent};
        image: url({signs}/tick-{t.name}.svg); }}
    QCheckBox:focus {{ color: {t.accent}; }}
    QScrollBar:vertical {{ background: transparent; width: 10px; }}
    QScrollBar::handle:vertical {{ background: {t.line}; border-radius: 5px; min-height: 30px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
    QMenu {{ background: {t.surface}; color: {t.text}; border: 1px solid {t.line}; padding: 4px; }}
    QMenu::item {{ padding: 6px 24px 6px 14px; border-radius: 5px; }}
    QMenu::item:selected {{ background: {t.accent}; color: {t.on_accent}; }}
    """
