"""The frequency axis of the resonogram: which oscillators it shows, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray

from resonance.app.gui.views.level_history import FLOOR_DB, TOP_DB, Bytes
from resonance.dsp.bank import OscillatorBank, erb_to_hz, hz_to_erb

#: Rows of a picture: the levels between oscillators are interpolated.
ROWS = 256
#: Frequencies that axes name, Hz.
NAMED_HZ = (50, 100, 200, 300, 500, 700, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000, 7000)
#: Room for the names of frequencies, pixels.
AXIS = 60
#: Scales.
SHARP, EAR, LINEAR = "sharp", "ear", "linear"


class Scale:
    """Which oscillators a picture shows, and where a frequency lies in it.

    Sharp: the narrow oscillators, and the broad ones above them. A broad one passes more of a
    noise than a narrow one, so there it is shown as much lower as its band is wider.
    """

    def __init__(self, bank: OscillatorBank, carriers: NDArray[np.bool_], name: str) -> None:
        wanted = carriers
        if name != EAR and not carriers.all():
            wanted = ~carriers
            if name == SHARP:
                wanted = wanted | (bank.f0_hz > bank.f0_hz[wanted].max())
        order = np.argsort(bank.f0_hz[wanted])
        self.oscillators = np.flatnonzero(wanted)[order]
        self.f0_hz = bank.f0_hz[self.oscillators]
        self._linear = name == LINEAR
        heights = self._height(self.f0_hz)
        self._ends = heights[0], heights[-1]
        rows = np.linspace(1.0, 0.0, ROWS)  # the highest on top
        at = np.interp(rows, self._share(heights), np.arange(len(heights)))
        self._below = np.minimum(at.astype(int), len(heights) - 2)
        self._between = (at - self._below).astype(np.float32)[:, None]
        self._nearest = np.round(at).astype(int)
        self._lower = np.zeros(len(heights), np.float32)
        if name == SHARP and not carriers.all():
            broad = carriers[self.oscillators]
            width_hz = bank.decay_hz[self.oscillators]
            wider_db = 10 * np.log10(width_hz[broad] / np.median(width_hz[~broad]))
            self._lower[broad] = wider_db * 255.0 / (TOP_DB - FLOOR_DB)

    def _height(self, hz: Any) -> NDArray[np.float64]:
        return np.asarray(hz, dtype=np.float64) if self._linear else hz_to_erb(hz)

    def _share(self, height: Any) -> NDArray[np.float64]:
        low, high = self._ends
        return np.asarray((height - low) / (high - low))

    def spread(self, values: Bytes) -> NDArray[np.float32]:
        """Rows [ROWS, hops] of levels [hops, oscillators]."""
        mine = values[:, self.oscillators].T.astype(np.float32) - self._lower[:, None]
        low = mine[self._below]
        return np.asarray(low + self._between * (mine[self._below + 1] - low))

    def nearest(self, values: Bytes) -> Bytes:
        """Rows [ROWS, hops], nothing between two oscillators: for phases."""
        return np.asarray(values[:, self.oscillators].T[self._nearest])

    def place(self, hz: float) -> float:
        """Height of a frequency in the picture, 0 … 1."""
        return float(np.clip(self._share(self._height(hz)), 0.0, 1.0))

    def hz(self, place: float) -> float:
        """Frequency at a height of 0 … 1, Hz."""
        low, high = self._ends
        height = low + place * (high - low)
        return float(height if self._linear else erb_to_hz(height))

    def oscillator(self, place: float) -> int:
        """Number of the oscillator at a height of 0 … 1."""
        away = np.abs(self._share(self._height(self.f0_hz)) - place)
        return int(self.oscillators[int(away.argmin())])


class FrequencyAxis(pg.AxisItem):  # type: ignore[misc]
    """Names frequencies where the scale has them."""

    def __init__(self) -> None:
        super().__init__("left")
        self.scale_of_view: Scale | None = None
        self.setWidth(AXIS)

    def tickValues(self, minimum: float, maximum: float, size: float) -> list[Any]:  # noqa: N802
        """Those that fit, the coarsest first.

        Parameters
        ----------
        minimum, maximum
            Ends of the axis.
        size
            Its length, pixels.

        Returns
        -------
        list[Any]
            Pairs of a spacing and its values, as pyqtgraph takes them.
        """
        if self.scale_of_view is None:
            return []
        found: list[float] = []
        gap = 20.0 / max(size, 1.0) * (maximum - minimum)
        for hz in (1000, 200, 4000, 500, 2000, 100, *NAMED_HZ):
            place = self.scale_of_view.place(hz)
            low, high = self.scale_of_view.f0_hz[[0, -1]]
            apart = all(abs(place - other) >= gap for other in found)
            if low <= hz <= high and minimum <= place <= maximum and apart:
                found.append(place)
        return [(1.0, sorted(found))]

    def tickStrings(self, values: list[float], *_: Any) -> list[str]:  # noqa: N802 (pyqtgraph's)
        """The highest one says that all are in Hz."""
        assert self.scale_of_view
        found = [
            f"{round(hz / 10) * 10:d}" if hz >= 95 else f"{hz:.0f}"
            for hz in map(self.scale_of_view.hz, values)
        ]
        return [*found[:-1], f"{found[-1]} Hz"] if found else []
