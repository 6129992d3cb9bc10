"""Waveforms and levels: what comes in and what goes out, side by side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QPainter

from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme, lookup, with_alpha
from resonance.app.gui.views.scroll import Scroll
from resonance.app.gui.views.view import View, figure, run_alone
from resonance.app.live.health import REMOVED_S, removed_db
from resonance.app.live.rings import Rows
from resonance.dsp.meters import FLOOR_DB, to_db

#: Blocks that the waveforms show at most; rows of their pictures.
KEPT, ROWS = 1200, 97
#: Left and right end of the meters, dBFS, and what they name.
METER_DB = (-72.0, 0.0)
NAMED_DB = (-60, -48, -36, -24, -12, 0)
#: Right end of the meter of what is taken away, dB.
REMOVED_DB = 40.0
#: Levels are averaged over this time, as in IEC 60268-17; peaks stay, then fall.
LEVEL_S, PEAK_HOLD_S, PEAK_FALL_DB_PER_S = 0.3, 1.5, 20.0
#: How long clipping stays marked, s.
CLIP_S = 2.0


class Meter:
    """Level and peak of one side."""

    def __init__(self) -> None:
        self.power, self.peak_db = 0.0, FLOOR_DB
        self._peak_age_s, self._clip_age_s = 0.0, CLIP_S

    @property
    def db(self) -> float:
        """Level, dBFS."""
        return to_db(math.sqrt(self.power))

    @property
    def clipped(self) -> bool:
        """Whether it reached full scale a moment ago."""
        return self._clip_age_s < CLIP_S

    def add(self, power: float, peak: float, seconds: float) -> None:
        """Take in a block.

        Parameters
        ----------
        power
            Mean square of the block.
        peak
            Its largest sample, full scale 1.
        seconds
            Its length.
        """
        keep = math.exp(-seconds / LEVEL_S)
        self.power = keep * self.power + (1 - keep) * power
        self._clip_age_s = 0.0 if peak >= 0.999 else self._clip_age_s + seconds
        self._peak_age_s += seconds
        if self._peak_age_s > PEAK_HOLD_S:
            self.peak_db = max(FLOOR_DB, self.peak_db - PEAK_FALL_DB_PER_S * seconds)
        db = to_db(peak)
        if db >= self.peak_db:
            self.peak_db, self._peak_age_s = db, 0.0


class Levels(View):
    """Meters with peaks, what is removed, noise, voice; the last seconds of both waveforms."""

    title = "Levels"
    description = (
        "Level meters of input and output, how much is removed, "
        "level of the noise, whether somebody speaks, and both waveforms."
    )

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.input, self.output = Meter(), Meter()
        self.voice, self.noise_db, self.removed_db = 0.0, FLOOR_DB, 0.0
        self._recent: Rows | None = None
        self._ends = 0
        self._extent = np.zeros((2, 2, KEPT), np.float32)  # side, low or high
        self._waves = [Scroll(ROWS, KEPT) for _ in range(2)]
        self._block_s = 0.01
        self._write(np.arange(KEPT))

    def take(self, frame: Frame) -> None:
        """Meters and waveforms go on."""
        rows = frame.blocks
        if not len(rows):
            return
        samplerate = frame.board.facts["samplerate"]
        for row in rows:
            seconds = float(row["samples"]) / samplerate
            for meter, side in ((self.input, "input"), (self.output, "output")):
                peak = max(-float(row[f"{side}_low"]), float(row[f"{side}_high"]))
                meter.add(float(row[f"{side}_power"]), peak, seconds)
        self._block_s = float(rows[-1]["samples"]) / samplerate
        self.voice += 0.4 * (float(rows[-1]["voice"]) - self.voice)
        self.noise_db = float(rows[-1]["noise_dbfs"])
        recent = rows if self._recent is None else np.concatenate([self._recent, rows])
        self._recent = recent[recent["time_s"] > rows["time_s"][-1] - REMOVED_S]
        self.removed_db = removed_db(self._recent)
        self._add_waves(rows)

    def rest(self, seconds: float) -> None:
        """There is no input at the moment: meters fall, waveforms stop."""
        if self.input.peak_db <= FLOOR_DB and self.input.db <= FLOOR_DB:
            return
        for meter in (self.input, self.output):
            meter.add(0.0, 0.0, seconds)
        self.voice, self.noise_db, self.removed_db = 0.0, FLOOR_DB, 0.0
        self._recent = None
        self.repaint_soon()

    def _add_waves(self, rows: Rows) -> None:
        rows = rows[-KEPT:]
        places = (self._ends + np.arange(len(rows))) % KEPT
        for side, name in enumerate(("input", "output")):
            self._extent[side, 0, places] = rows[f"{name}_low"]
            self._extent[side, 1, places] = rows[f"{name}_high"]
        self._ends += len(rows)
        self._write(places)

    def _write(self, places: NDArray[np.intp]) -> None:
        """Columns of both waveforms; heights are square roots: quiet sound is seen, too."""
        middle = (ROWS - 1) / 2
        rows = (middle - np.arange(ROWS)[:, None]) / middle
        ground = lookup((self.theme.surface, self.theme.surface))[0]
        for side, colour in enumerate((self.theme.original, self.theme.cleaned)):
            low, high = self._extent[side][:, places]
            low, high = (np.sign(v) * np.sqrt(np.minimum(np.abs(v), 1.0)) for v in (low, high))
            inside = (rows >= low - 1 / middle) & (rows <= high + 1 / middle)
            ink = lookup((colour, colour))[0]
            self._waves[side].write(places, np.where(inside, ink, ground).astype(np.uint32))

    def set_theme(self, theme: Theme) -> None:
        """Other colours, also of what is past."""
        super().set_theme(theme)
        self._write(np.arange(KEPT))

    # Geometry.

    def _areas(self) -> tuple[QRectF, QRectF]:
        """Of the meters, and of the waveforms: beside each other where there is room."""
        line = self.fontMetrics().height()
        inner = QRectF(self.rect()).adjusted(14, 10, -14, -10)
        if inner.width() > 2.2 * inner.height():
            meters = QRectF(inner.left(), inner.top(), inner.width() * 0.42, inner.height())
            rest = inner.adjusted(meters.width() + 24, 0, 0, 0)
            return meters, rest
        height = min(11.0 * line, 0.62 * inner.height())
        return (
            QRectF(inner.left(), inner.top(), inner.width(), height),
            inner.adjusted(0, height + 8, 0, 0),
        )

    def _bars(self) -> list[QRectF]:
        """Of input, output and what was removed."""
        meters, _ = self._areas()
        line = self.fontMetrics().height()
        labels = max(self.fontMetrics().horizontalAdvance(text) for text in _LABELS) + 12
        reading = self.fontMetrics().horizontalAdvance("−100 dBFS") + 8
        pitch = min(2.2 * line, (meters.height() - 2.6 * line) / 3)
        thick = min(14.0, pitch - 6)
        left, width = meters.left() + labels, meters.width() - labels - reading
        tops = [meters.top() + pitch * (n + 0.5) - thick / 2 for n in range(3)]
        tops[2] += 0.9 * line  # the scale in dBFS is between
        return [QRectF(left, top, width, thick) for top in tops]

    def _wave_areas(self) -> list[QRectF]:
        _, area = self._areas()
        half, height = (area.width() - 12) / 2, area.height() - self.fontMetrics().height()
        return [
            QRectF(area.left() + side * (half + 12), area.top(), half, height) for side in range(2)
        ]

    # Drawing.

    def draw_backdrop(self, painter: QPainter) -> None:
        """Names and scales."""
        bars, line = self._bars(), self.fontMetrics().height()
        for bar, text in zip(bars, _LABELS, strict=True):
            painter.setPen(QColor(self.theme.text))
            box = QRectF(0, bar.center().y() - line, bar.left() - 10, 2 * line)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, flags, text)
            painter.fillRect(bar, QColor(self.theme.raised))
        small = painter.font()
        small.setPointSizeF(small.pointSizeF() * 0.8)
        painter.setFont(small)
        painter.setPen(QColor(self.theme.muted))
        needed = 1.3 * painter.fontMetrics().horizontalAdvance("−60")
        fits = bars[0].width() / -METER_DB[0] * 12 > needed
        for db in NAMED_DB if fits else NAMED_DB[1::2]:
            x = self._along(bars[0], db)
            painter.drawLine(QPointF(x, bars[1].bottom() + 1), QPointF(x, bars[1].bottom() + 4))
            box = QRectF(x - 20, bars[1].bottom() + 3, 40, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, figure(db))

    @staticmethod
    def _along(bar: QRectF, db: float) -> float:
        low, high = METER_DB
        return bar.left() + min(max((db - low) / (high - low), 0.0), 1.0) * bar.width()

    def draw(self, painter: QPainter) -> None:
        """Bars, numbers and waveforms."""
        bars = self._bars()
        for bar, meter, colour in (
            (bars[0], self.input, self.theme.original),
            (bars[1], self.output, self.theme.cleaned),
        ):
            self._draw_meter(painter, bar, meter, colour)
        share = min(1.0, self.removed_db / REMOVED_DB)
        painter.fillRect(
            QRectF(bars[2].left(), bars[2].top(), share * bars[2].width(), bars[2].height()),
            QColor(self.theme.accent),
        )
        self._number(painter, bars[2], f"{self.removed_db:.0f} dB")
        self._draw_noise(painter, bars[0])
        self._draw_voice(painter, bars)
        for area, wave, text in zip(self._wave_areas(), self._waves, _LABELS[:2], strict=True):
            span = min(float(KEPT), area.width())
            wave.draw(painter, area, self._ends, (-span, 0.0), (0, ROWS))
            painter.setPen(QColor(self.theme.muted))
            below = QRectF(area.left(), area.bottom(), area.width(), self.fontMetrics().height())
            painter.drawText(below, 0, f"{text}, {span * self._block_s:.1f} s")

    def _draw_noise(self, painter: QPainter, bar: QRectF) -> None:
        """A line at the level of the noise, and its name beside it."""
        if self.noise_db <= FLOOR_DB:
            return
        x = self._along(bar, self.noise_db)
        painter.setPen(QColor(self.theme.text))
        painter.drawLine(QPointF(x, bar.top() - 8), QPointF(x, bar.bottom() + 4))
        painter.save()
        small = painter.font()
        small.setPointSizeF(small.pointSizeF() * 0.8)
        painter.setFont(small)
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(QPointF(x + 4, bar.top() - 3), "noise")
        painter.restore()

    def _draw_meter(self, painter: QPainter, bar: QRectF, meter: Meter, colour: str) -> None:
        painter.fillRect(
            QRectF(bar.left(), bar.top(), self._along(bar, meter.db) - bar.left(), bar.height()),
            QColor(colour),
        )
        peak = self._along(bar, meter.peak_db)
        painter.fillRect(QRectF(peak - 1.5, bar.top(), 3, bar.height()), QColor(self.theme.text))
        if meter.clipped:
            painter.fillRect(
                QRectF(bar.right() - 8, bar.top(), 8, bar.height()), QColor(self.theme.error)
            )
        self._number(painter, bar, _in_words(meter))

    def _number(self, painter: QPainter, bar: QRectF, text: str) -> None:
        line = self.fontMetrics().height()
        painter.setPen(QColor(self.theme.text))
        box = QRectF(bar.right() + 6, bar.center().y() - line, self.width() - bar.right(), 2 * line)
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, text)

    def _draw_voice(self, painter: QPainter, bars: list[QRectF]) -> None:
        line = self.fontMetrics().height()
        centre_y = bars[2].bottom() + 1.1 * line
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(self.theme.muted))
        painter.setBrush(with_alpha(self.theme.accent, min(max(self.voice, 0.0), 1.0)))
        left = self._areas()[0].left()
        painter.drawEllipse(QPointF(left + 6, centre_y), 5.5, 5.5)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(QColor(self.theme.text))
        voice = "somebody speaks" if self.voice > 0.5 else "nobody speaks"
        noise = f"noise {figure(self.noise_db)} dBFS" if self.noise_db > FLOOR_DB else "no noise"
        box = QRectF(left + 20, centre_y - line, self.width() - left - 20, 2 * line)
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, f"{voice} · {noise}")


def _in_words(meter: Meter) -> str:
    if meter.clipped:
        return "clips"
    return f"{figure(meter.db)} dBFS" if meter.db > -100 else "silent"


_LABELS = ("original", "output", "removed")


if __name__ == "__main__":
    run_alone(Levels)
