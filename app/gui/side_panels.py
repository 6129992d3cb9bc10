"""The panels beside the resonogram: settings, files and views in tabs, or all views at once."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QGridLayout, QStackedWidget, QWidget

from resonance.app.gui.controls import Tabs
from resonance.app.gui.files import FilesPanel
from resonance.app.gui.shortcuts import FILES_PANEL, SOUND_PANEL
from resonance.app.gui.sound import SoundPanel
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.side_views import SIDE_VIEWS
from resonance.app.gui.views.view import View
from resonance.app.gui.widgets import card
from resonance.app.gui.window_session import WindowSession


class SidePanels(QStackedWidget):
    """Tabs, of which one is shown; or a grid of all views.

    Parameters
    ----------
    session
        Remembers the tab.
    theme
        Of the views.
    sound, files
        The panels that are no views.
    """

    all_views_changed = pyqtSignal(bool)  #: whether all views are shown at once

    def __init__(
        self, session: WindowSession, theme: Theme, sound: SoundPanel, files: FilesPanel
    ) -> None:
        super().__init__()
        self._rows = [(entry, entry.view(theme)) for entry in SIDE_VIEWS]
        self.views: tuple[View, ...] = tuple(view for _, view in self._rows)
        self._cards = {view: card(view) for view in self.views}
        #: Tab and panel by key.
        self.panels: dict[str, tuple[str, QWidget]] = {
            SOUND_PANEL: ("Sound", sound),
            FILES_PANEL: ("Files", files),
            **{entry.key: (entry.tab, self._cards[view]) for entry, view in self._rows},
        }
        self.tabs = Tabs("Side panel")
        for key, (name, panel) in sorted(self.panels.items()):
            self.tabs.setTabToolTip(self.tabs.addTab(panel, name), f"Key {key}")
        self.tabs.setCurrentIndex(min(session.kept.tab, self.tabs.count() - 1))
        self.tabs.setMinimumWidth(340)
        self.tabs.currentChanged.connect(lambda number: session.keep(tab=number))
        self.addWidget(self.tabs)
        self._grid = QWidget()
        self._grid_layout = QGridLayout(self._grid)
        self._grid_layout.setContentsMargins(0, 0, 0, 0)
        self._grid_layout.setSpacing(10)
        self.addWidget(self._grid)

    def show_tab(self, number: int) -> None:
        """One of the panels."""
        self.set_all_views(False)
        self.show()
        self.tabs.setCurrentIndex(number)

    def show_panel(self, panel: QWidget) -> None:
        """The panel that is, or holds, this one."""
        holder = self._cards[panel] if isinstance(panel, View) else panel
        self.show_tab(self.tabs.indexOf(holder))

    @property
    def has_all_views(self) -> bool:
        """Whether all views are shown at once."""
        return self.currentWidget() is self._grid

    def set_all_views(self, together: bool) -> None:
        """All views at once, or one panel."""
        if together == self.has_all_views:
            return
        if together:
            self._fill_grid()
        else:
            self._empty_grid()
        self.setCurrentWidget(self._grid if together else self.tabs)
        self.all_views_changed.emit(together)

    def _fill_grid(self) -> None:
        for entry, view in self._rows:
            if entry.place:
                self._grid_layout.addWidget(card(view), *entry.place)

    def _empty_grid(self) -> None:
        """Every view goes back to its tab."""
        for view in (view for entry, view in self._rows if entry.place):
            layout = self._cards[view].layout()
            assert layout is not None  # an empty layout is false
            layout.addWidget(view)
        while self._grid_layout.count():
            item = self._grid_layout.takeAt(0)
            widget = item.widget() if item else None
            if widget:
                widget.deleteLater()
