"""The views beside the resonogram: each row gives one a tab, a key and a place."""

from __future__ import annotations

from dataclasses import dataclass

from resonance.app.gui.views.bank import Bank
from resonance.app.gui.views.phase_wheel import PhaseWheel
from resonance.app.gui.views.play_with_one import PlayWithOne
from resonance.app.gui.views.synchronisation import Synchronisation
from resonance.app.gui.views.view import View


@dataclass(frozen=True)
class SideView:
    """A view with a tab of its own."""

    view: type[View]
    tab: str  #: name of the tab
    key: str  #: shows it; tabs are in the order of their keys
    #: Among all views at once: row, column, rows and columns covered; None: not among them.
    place: tuple[int, int, int, int] | None = None


SIDE_VIEWS = [
    SideView(PhaseWheel, "Wheel", "1", (0, 0, 1, 1)),
    SideView(Bank, "Bank", "2", (0, 1, 1, 1)),
    SideView(Synchronisation, "Words", "3", (1, 0, 1, 2)),
    SideView(PlayWithOne, "Play", "4"),
]
