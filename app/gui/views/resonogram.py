"""The resonogram: how loud every oscillator rings over time, input above, output below."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QEvent, QPointF, Qt, pyqtSignal
from PyQt6.QtGui import (
    QKeyEvent,
    QPaintEvent,
    QResizeEvent,
)
from PyQt6.QtWidgets import QLabel, QVBoxLayout

from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.colouring import colour_map, coloured, of_phases, removed
from resonance.app.gui.views.frequency_scale import AXIS, SHARP, FrequencyAxis, Scale
from resonance.app.gui.views.level_history import FLOOR_DB, KEPT, TOP_DB, History, level_db
from resonance.app.gui.views.scrolling_picture import Picture
from resonance.app.gui.views.view import View, figure, run_alone
from resonance.app.gui.widgets import button
from resonance.dsp.bank import OscillatorBank

#: What the colours span, dBFS.
SHOWN_DB = (-78.0, -18.0)
#: Room for the bar of colours, and below each picture, pixels.
COLOURS = 52
_BELOW = (6, 34)
#: What the lower picture shows.
CLEANED, DIFFERENCE, PHASE = "cleaned", "difference", "phase"


class Resonogram(View):
    """Both pictures, with freeze, zoom, pan and a read-out under the pointer."""

    title = "Resonogram"
    description = (
        "Loudness of every oscillator over the last seconds: the sound as it came above, "
        "the cleaned sound below. Keys: F freezes, D shows what was removed, L changes the "
        "frequency scale, plus and minus zoom, arrows move, Home returns to now."
    )
    #: The read-out under the pointer changed.
    pointed = pyqtSignal(str)
    #: Other ends of the colours, dBFS.
    range_changed = pyqtSignal(float, float)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.frozen = False
        self.scale_name, self.below = SHARP, CLEANED
        self.shown_db = SHOWN_DB  #: what the colours span, dBFS
        self._pointer: tuple[float, float] | None = None  # columns before the end, height
        self._history: History | None = None
        self._shown: History | None = None  # the history, or a copy of it while frozen
        self._scale: Scale | None = None
        self._facts: dict[str, Any] = {}
        self._follows = True  # the time axis shows one column per pixel up to now
        self._marks: list[tuple[float, str]] = []
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent, False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        self.set_theme(theme)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self._graphics = pg.GraphicsLayoutWidget()
        self._graphics.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._graphics.ci.setContentsMargins(0, 8, 0, 0)  # half a name above the picture
        self._graphics.ci.setSpacing(6)
        layout.addWidget(self._graphics, 1)
        self._pictures, self._plots = [], []
        for row in range(2):
            axis = FrequencyAxis()
            plot = self._graphics.addPlot(row=row, col=0, axisItems={"left": axis})
            plot.hideButtons()
            plot.setMenuEnabled(False)
            picture = Picture()
            plot.addItem(picture)
            plot.vb.setLimits(
                xMin=-picture.kept_s, xMax=0.0, yMin=0.0, yMax=1.0, minXRange=0.2, minYRange=0.05
            )
            plot.vb.disableAutoRange()
            plot.setYRange(0.0, 1.0, padding=0)
            plot.getAxis("bottom").setHeight(_BELOW[row])
            plot.getAxis("bottom").setStyle(showValues=row == 1, tickLength=-4)
            plot.vb.sigRangeChangedManually.connect(self._on_moved)
            self._pictures.append(picture)
            self._plots.append(plot)
        self._plots[1].setXLink(self._plots[0])
        self._plots[1].setYLink(self._plots[0])
        self._add_colours()
        self.back = button("Back to now", self.back_to_now, "Home")
        self.back.setParent(self)
        self.back.hide()
        self._mark = [pg.InfiniteLine(angle=0) for _ in self._plots]
        for plot, line in zip(self._plots, self._mark, strict=True):
            line.hide()
            plot.addItem(line, ignoreBounds=True)
        self._cross = [(pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=0)) for _ in self._plots]
        for plot, lines in zip(self._plots, self._cross, strict=True):
            for line in lines:
                line.hide()
                plot.addItem(line, ignoreBounds=True)
        self._readout = QLabel()
        self._readout.setProperty("role", "muted")
        self._readout.setWordWrap(True)
        self._readout.setMinimumHeight(self._readout.fontMetrics().height() + 4)
        layout.addWidget(self._readout)
        scene = self._graphics.scene()
        scene.sigMouseMoved.connect(self._on_pointed)
        scene.sigMouseClicked.connect(self._on_clicked)
        self._say_pointed("")

    def _add_colours(self) -> None:
        """The bar beside the pictures: what the colours mean; its ends can be moved."""
        self.colours = pg.ColorBarItem(
            values=SHOWN_DB,
            width=12,
            colorMap=colour_map(self.theme),
            limits=(FLOOR_DB, TOP_DB),
            rounding=1,
            colorMapMenu=False,
            pen=self.theme.line,
            hoverPen=self.theme.accent,
            hoverBrush=themes.with_alpha(self.theme.accent, 0.3),
        )
        self.colours.setToolTip("Loudness in dBFS. Drag the bar or its ends to change the colours.")
        self.colours.sigLevelsChanged.connect(self._on_colours)
        self._graphics.addItem(self.colours, row=0, col=1, rowspan=2)

    def _on_colours(self, _: Any) -> None:
        low, high = self.colours.levels()
        self.shown_db = float(low), float(high)
        self.range_changed.emit(*self.shown_db)
        self._rewrite()

    def set_range(self, low_db: float, high_db: float) -> None:
        """What the colours span, dBFS."""
        if (low_db, high_db) != self.shown_db:
            self.colours.setLevels((low_db, high_db))

    # Frames.

    def take(self, frame: Frame) -> None:
        """Add the new columns."""
        if self._history is None or self._history.input.shape[1] != len(frame.bank):
            self._history = self._shown = History(len(frame.bank))
        if frame.fresh:
            self._take_board(frame)
        changed = self._history.add(frame)
        self._marks += [
            (frame.column(float(row["time_s"])), str(row["keyword"])) for row in frame.events
        ]
        oldest = frame.last_column - KEPT
        self._marks = [mark for mark in self._marks if mark[0] > oldest]
        if not self.frozen:
            self._write(changed)
            for picture in self._pictures:
                picture.end = self._history.end
            self._pictures[0].marks = self._marks
            self._read_out()

    def _take_board(self, frame: Frame) -> None:
        carriers = np.array(frame.board.facts["carriers"], dtype=bool)
        self._facts = {"bank": frame.bank, "carriers": carriers}
        for picture, plot in zip(self._pictures, self._plots, strict=True):
            picture.hop_s = frame.hop_s
            plot.vb.setLimits(xMin=-picture.kept_s)
        self._rescale()

    def _rescale(self) -> None:
        if not self._facts:
            return
        self._scale = Scale(self._facts["bank"], self._facts["carriers"], self.scale_name)
        for plot in self._plots:
            axis = plot.getAxis("left")
            axis.scale_of_view = self._scale
            axis.picture = None
            axis.update()
        self._rewrite()
        self.on_followed()
        self._read_out()

    def _rewrite(self) -> None:
        """All columns anew: another scale, other colours."""
        self._write(np.arange(KEPT))
        self._say_what_is_shown()
        self.repaint_soon()

    def _write(self, places: NDArray[np.intp]) -> None:
        if self._scale is None or self._shown is None or not len(places):
            return
        before, after = self._shown.input[places], self._shown.output[places]
        upper = self._scale.spread(before)
        if self.below == PHASE:
            phases = self._scale.nearest(self._shown.phase[places])
            below = of_phases(phases, upper, self.theme, self.shown_db)
        elif self.below == DIFFERENCE:
            below = removed(upper, self._scale.spread(after), self.theme, self.shown_db[0])
        else:
            below = coloured(self._scale.spread(after), self.theme, self.shown_db)
        above = coloured(upper, self.theme, self.shown_db)
        self._pictures[0].scroll.write(places, above)
        self._pictures[1].scroll.write(places, below)

    def repaint_soon(self) -> None:
        """Only the pictures: axes stay."""
        for picture in self._pictures:
            picture.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Nothing of its own: the pictures paint, and count."""

    @property
    def paints(self) -> int:
        """How often the upper picture was painted."""
        return int(self._pictures[0].paints)

    @paints.setter
    def paints(self, _: int) -> None:
        """Counted by the picture itself."""

    # What people do.

    def set_frozen(self, frozen: bool) -> None:
        """Stand still; the sound goes on, and so does the history."""
        if frozen == self.frozen or self._history is None:
            return
        self.frozen = frozen
        self._shown = self._history.copy() if frozen else self._history
        for picture in self._pictures:
            picture.end = self._shown.end
        self._pictures[0].marks = list(self._marks) if frozen else self._marks
        self._rewrite()

    def clear(self) -> None:
        """Forget all input."""
        self._history = self._shown = None
        self.frozen = False
        self._marks = []
        for picture in self._pictures:
            picture.marks = []
            picture.scroll.fill(int(themes.amplitude_map(self.theme)[0]))
        self._facts = {}
        self._forget_pointer()
        self._say_what_is_shown()

    def set_scale(self, name: str) -> None:
        """Sharp: narrow oscillators, and broad ones above 4 kHz. Ear: broad. Linear: narrow."""
        self.scale_name = name
        self._rescale()

    def set_lower(self, what: str) -> None:
        """What the lower picture shows: cleaned, difference or phase."""
        self.below = what
        self._rewrite()

    def back_to_now(self) -> None:
        """Undo zooming and panning."""
        self._follows = True
        self._plots[0].setYRange(0.0, 1.0, padding=0)
        self._fit()
        self._leave_now(away=False)

    def _leave_now(self, *, away: bool = True) -> None:
        """Show something else than all of the last seconds, and the way back."""
        self._follows = not away
        self.back.setVisible(away)
        self._place_button()

    def _place_button(self) -> None:
        self.back.adjustSize()
        right = self._graphics.width() - self.colours.boundingRect().width() - 12
        self.back.move(round(right) - self.back.width(), 14)

    def zoom(self, factor: float) -> None:
        """Show ``factor`` times as much time."""
        low, high = self._plots[0].viewRange()[0]
        self._leave_now()
        first = -self._pictures[0].kept_s
        self._plots[0].setXRange(max(high - (high - low) * factor, first), high, padding=0)

    def pan(self, share: float) -> None:
        """Move by a share of what is seen, to the right if above 0."""
        low, high = self._plots[0].viewRange()[0]
        step = min(share * (high - low), -high)
        step = max(step, -self._pictures[0].kept_s - low)
        self._leave_now()
        self._plots[0].setXRange(low + step, high + step, padding=0)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Zoom and move."""
        assert event
        keys = {
            Qt.Key.Key_Plus: lambda: self.zoom(0.7),
            Qt.Key.Key_Equal: lambda: self.zoom(0.7),
            Qt.Key.Key_Minus: lambda: self.zoom(1 / 0.7),
            Qt.Key.Key_Left: lambda: self.pan(-0.2),
            Qt.Key.Key_Right: lambda: self.pan(0.2),
            Qt.Key.Key_Home: self.back_to_now,
        }
        action = keys.get(Qt.Key(event.key()))
        if action:
            action()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Keep a column per pixel."""
        super().resizeEvent(event)
        rows = self._graphics.ci.layout
        room = self._graphics.height() - sum(_BELOW) - rows.rowSpacing(0) - 10
        for number, below in enumerate(_BELOW):
            rows.setRowFixedHeight(number, max(20.0, room / 2) + below)
        self._fit()
        self._place_button()

    def _fit(self) -> None:
        if self._follows:
            width = max(60.0, self._graphics.width() - AXIS - COLOURS)
            self._plots[0].setXRange(-min(width, KEPT) * self._pictures[0].hop_s, 0.0, padding=0)

    def _on_moved(self, *_: Any) -> None:
        self._leave_now()

    def _on_clicked(self, click: Any) -> None:
        """Follow the oscillator that was meant; the same one again: no longer."""
        if click.double():
            self.back_to_now()
            return
        for plot in self._plots:
            at = click.scenePos()
            if self._scale and plot.vb.sceneBoundingRect().contains(at):
                number = self._scale.oscillator(plot.vb.mapSceneToView(at).y())
                self.follow(None if number == self.followed else number)

    def on_followed(self) -> None:
        """A line at its frequency."""
        bank = self._facts.get("bank")
        for line in self._mark:
            line.setVisible(bool(self._scale and bank and self.followed is not None))
            if self._scale and bank and self.followed is not None:
                line.setPos(self._scale.place(float(bank.f0_hz[self.followed])))

    def _on_pointed(self, at: QPointF) -> None:
        for plot in self._plots:
            if plot.vb.sceneBoundingRect().contains(at) and self._shown and self._scale:
                seen = plot.vb.mapSceneToView(at)
                self._pointer = seen.x(), seen.y()
                self._read_out()
                return
        self._forget_pointer()

    def leaveEvent(self, event: QEvent | None) -> None:  # noqa: N802 (Qt's name)
        """Nothing is pointed at any longer."""
        super().leaveEvent(event)
        self._forget_pointer()

    def _forget_pointer(self) -> None:
        self._pointer = None
        for lines in self._cross:
            for line in lines:
                line.hide()
        self._say_pointed("")

    def _read_out(self) -> None:
        """What is under the pointer now: the picture moves on below it."""
        if self._pointer is None or not self._shown or not self._scale:
            return
        x, y = self._pointer
        for across, along in self._cross:
            across.setPos(x)
            along.setPos(y)
            across.show()
            along.show()
        number = self._scale.oscillator(y)
        place = self._pictures[0].column(x) % KEPT
        bank: OscillatorBank = self._facts["bank"]
        before, after = (
            level_db(int(levels[place, number]))
            for levels in (self._shown.input, self._shown.output)
        )
        phase = (self._shown.phase[place, number] / 255.0 - 0.5) * 360.0
        self._say_pointed(
            f"{-x:.2f} s ago · {bank.f0_hz[number]:.0f} Hz · original {figure(before)} dBFS, "
            f"output {figure(after)} dBFS · phase {figure(phase, plus=True)}° against its f0 · ζ "
            f"{bank.damping_ratio[number]:.3f}"
        )

    def _say_pointed(self, text: str) -> None:
        hint = "Point at the picture to read it, click to follow; drag to move, wheel to zoom."
        self._readout.setText(text or hint)
        self.pointed.emit(text)

    def _say_what_is_shown(self) -> None:
        below = {
            CLEANED: "output",
            DIFFERENCE: "removed",
            PHASE: "phase against the own f0",
        }[self.below]
        still = " (frozen)" if self.frozen else ""
        self._pictures[0].caption, self._pictures[1].caption = f"original{still}", below

    def set_theme(self, theme: Theme) -> None:
        """Other colours, also of what is past."""
        self.theme = theme
        self._graphics.setBackground(theme.ground)
        for plot, lines in zip(self._plots, self._cross, strict=True):
            for name in ("left", "bottom"):
                axis = plot.getAxis(name)
                axis.setPen(theme.line)
                axis.setTextPen(theme.muted)
            for line in lines:
                line.setPen(pg.mkPen(themes.with_alpha(theme.text, 0.5)))
        for line in self._mark:
            line.setPen(pg.mkPen(theme.accent, width=2, style=Qt.PenStyle.DashLine))
        self.colours.setColorMap(colour_map(theme))
        self.colours.axis.setPen(theme.line)
        self.colours.axis.setTextPen(theme.muted)
        self._plots[1].setLabel("bottom", "seconds before now", color=theme.muted)
        for picture in self._pictures:
            picture.theme = theme
            picture.scroll.fill(int(themes.amplitude_map(theme)[0]))
        self._rewrite()


if __name__ == "__main__":
    run_alone(Resonogram)
