"""Attention as synchronisation: oscillators travel round the circle to where anchors pull them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QLineF, QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPen

from resonance.app.gui import theme as themes
from resonance.app.gui.frames import Frame
from resonance.app.gui.theme import Theme
from resonance.app.gui.views.dots import Dots
from resonance.app.gui.views.view import View, run_alone

#: The travelling is shown this much slower than an oscillator with a pull of 1 / step would go.
SLOWER = 6.0
#: Lines of attention drawn in each circle at most; only those above this share of all.
LINES, LEAST_SHARE = 20, 0.04
#: How long a detected word stays marked, s.
MARKED_S = 1.5
#: What the signs mean.
LEGEND = (
    "Dots: moments of the last second. Squares: anchors that pull them. "
    "Arrow: how much the pulls agree (order). Tick on a bar: the score at which a word is detected."
)


def travelled(
    angle: NDArray[np.float64], goal: NDArray[np.float64], pull_time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where oscillators at ``angle`` are after a while on their way to ``goal``, all in rad.

    ``φ̇ = -‖h‖ sin φ`` for φ = angle - goal, so ``tan(φ/2)`` shrinks by ``e^(-‖h‖t)``, exactly;
    ``pull_time`` is ‖h‖t.

    Parameters
    ----------
    angle
        Where they start, rad [oscillators].
    goal
        Where they are pulled, rad [oscillators].
    pull_time
        ‖h‖t, strength of the pull times the time.

    Returns
    -------
    NDArray[np.float64]
        Angles, rad [oscillators].
    """
    apart = np.angle(np.exp(1j * (angle - goal)))
    return np.asarray(goal + 2.0 * np.arctan(np.tan(0.5 * apart) * np.exp(-pull_time)))


class Synchronisation(View):
    """A circle for each head, and the scores of all words."""

    title = "Words"
    description = (
        "How the keyword spotter decides: oscillators settle between anchors on circles; below, "
        "the score of every word and the threshold at which it is detected."
    )

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.words: list[str] = []
        self._heads = self._tokens = 0
        self._begun = False
        self._angle = self._goal = self._pull = np.zeros((0, 0))
        self._scores = self._thresholds = np.zeros(0)
        self._dots: Dots | None = None
        self._marked: dict[str, int] = {}  # frames left

    def take(self, frame: Frame) -> None:
        """Go on travelling; to other places, if the spotter has moved on."""
        if frame.fresh:
            self._begin(frame)
        if len(frame.steps):
            last = frame.steps[-1]
            self._scores = np.array(last["scores"], float)
            self._thresholds = np.array(last["thresholds"], float)
            if self._heads:
                settled = last["settled"].astype(float)
                self._goal = np.arctan2(settled[..., 1], settled[..., 0])
                self._pull = last["pull"].astype(float)
                self._order = last["order"].mean(axis=1)
                self._choose_lines(last["attention"])
        for row in frame.events:
            self._marked[str(row["keyword"])] = round(MARKED_S * 60)
        self._marked = {word: left - 1 for word, left in self._marked.items() if left > 0}
        if self._heads:
            typical = max(float(np.median(self._pull)), 1e-6)
            self._angle = travelled(self._angle, self._goal, self._pull / typical / SLOWER)

    def _begin(self, frame: Frame) -> None:
        facts, self._begun = frame.board.facts, True
        self.words = list(facts["words"])
        self._scores, self._thresholds = np.zeros((2, len(self.words)))
        drawable = facts["d_osc"] >= 2
        self._heads, self._tokens = (int(facts[n]) if drawable else 0 for n in ("heads", "tokens"))
        if self._heads:
            anchors = np.array(facts["anchors"])
            self._anchors = np.arctan2(anchors[..., 1], anchors[..., 0])
            shape = (self._heads, self._tokens)
            self._angle = np.random.default_rng(0).uniform(-np.pi, np.pi, shape)
            self._goal, self._pull = self._angle.copy(), np.zeros(shape)
            self._order = np.zeros(self._heads)
            self._lines: list[NDArray[np.intp]] = [np.zeros((0, 2), int)] * self._heads
        self._dots = None
        self.renew_backdrop()

    def _choose_lines(self, attention: NDArray[np.float32]) -> None:
        """The strongest pairs of oscillator and anchor in each head, as numbers of tokens."""
        self._lines = []
        for weights in attention:
            flat = np.argpartition(weights.ravel(), -LINES)[-LINES:]
            flat = flat[weights.ravel()[flat] > LEAST_SHARE]
            self._lines.append(np.column_stack(np.unravel_index(flat, weights.shape)))

    # Geometry.

    def _line(self) -> float:
        return float(self.fontMetrics().height())

    def _columns(self) -> int:
        return 2 if self.width() > 26 * self._line() * 0.62 else 1

    def _scores_height(self) -> float:
        rows = -(-max(len(self.words), 1) // self._columns())
        return rows * 1.45 * self._line() + 14

    def _circles(self) -> list[tuple[QPointF, float]]:
        """Centre and radius for each head."""
        if not self._heads:
            return []
        width = self.width() - 16.0
        height = self.legend_box(LEGEND).top() - self._scores_height() - 10
        caption = 1.3 * self._line()
        best, columns = 0.0, 1
        for count in range(1, self._heads + 1):
            rows = -(-self._heads // count)
            size = min(width / count, height / rows - caption)
            if size > best:
                best, columns = size, count
        rows = -(-self._heads // columns)
        cell_w, cell_h = width / columns, height / rows
        radius = max(12.0, best / 2 - 8)
        return [
            (
                QPointF(
                    8 + (n % columns + 0.5) * cell_w,
                    4 + (n // columns + 0.5) * cell_h - caption / 2,
                ),
                radius,
            )
            for n in range(self._heads)
        ]

    def _score_bars(self) -> list[QRectF]:
        columns, line = self._columns(), self._line()
        rows = -(-max(len(self.words), 1) // columns)
        label = max((self.fontMetrics().horizontalAdvance(w) for w in self.words), default=0) + 10
        cell = (self.width() - 28.0) / columns
        top = self.legend_box(LEGEND).top() - self._scores_height() + 4
        return [
            QRectF(
                14 + (n // rows) * cell + label,
                top + (n % rows) * 1.45 * line + 0.3 * line,
                cell - label - 16,
                0.7 * line,
            )
            for n in range(len(self.words))
        ]

    # Drawing.

    def draw_backdrop(self, painter: QPainter) -> None:
        """Circles with their anchors; names of the words."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for head, (centre, radius) in enumerate(self._circles()):
            painter.setPen(QPen(QColor(self.theme.line), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, radius, radius)
            painter.setPen(Qt.PenStyle.NoPen)
            for number, angle in enumerate(self._anchors[head]):
                painter.setBrush(self._colour(number))
                at = _on_circle(centre, radius, float(angle))
                painter.drawRect(QRectF(at.x() - 2, at.y() - 2, 4, 4))
        painter.setFont(self.font())
        for bar, word, threshold in (
            zip(self._score_bars(), self.words, self._thresholds, strict=True) if self.words else ()
        ):
            painter.setPen(QColor(self.theme.text))
            box = QRectF(bar.left() - 300, bar.top() - 10, 292, bar.height() + 20)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, flags, word)
            painter.fillRect(bar, QColor(self.theme.raised))
            x = bar.left() + float(np.clip(threshold, 0, 1)) * bar.width()
            painter.setPen(QPen(QColor(self.theme.muted), 1.5))
            painter.drawLine(QPointF(x, bar.top() - 2), QPointF(x, bar.bottom() + 2))
        if self.words:
            self.draw_legend(painter, LEGEND)
        else:
            painter.setPen(QColor(self.theme.muted))
            text = "There is no input yet."
            if self._begun:
                text = "Keywords are not listened for. Switch them on under Sound."
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(QRectF(self.rect()).adjusted(20, 20, -20, -20), flags, text)

    def _colour(self, token: int) -> QColor:
        """Dim for what is long ago, bright for now."""
        table = themes.amplitude_map(self.theme)
        return QColor.fromRgb(int(table[80 + round(175 * token / max(1, self._tokens - 1))]))

    def draw(self, painter: QPainter) -> None:
        """Oscillators, attention, order and scores."""
        for head, (centre, radius) in enumerate(self._circles()):
            self._draw_head(painter, head, centre, radius)
        for number, (bar, word) in enumerate(zip(self._score_bars(), self.words, strict=True)):
            score = float(np.clip(self._scores[number], 0.0, 1.0))
            detected = word in self._marked
            colour = self.theme.cleaned if detected else self.theme.accent
            filled = QRectF(bar.left(), bar.top(), score * bar.width(), bar.height())
            painter.fillRect(filled, QColor(colour))
            if detected:
                painter.setPen(QPen(QColor(self.theme.cleaned), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRect(bar.adjusted(-3, -3, 3, 3))

    def _draw_head(self, painter: QPainter, head: int, centre: QPointF, radius: float) -> None:
        inner = 0.8 * radius
        angles, anchors, pairs = self._angle[head], self._anchors[head], self._lines[head]
        x, y = centre.x() + inner * np.cos(angles), centre.y() - inner * np.sin(angles)
        if len(pairs):
            begin, end = pairs.T
            to_x = centre.x() + radius * np.cos(anchors[end])
            to_y = centre.y() - radius * np.sin(anchors[end])
            ends = zip(
                x[begin].tolist(), y[begin].tolist(), to_x.tolist(), to_y.tolist(), strict=True
            )
            painter.setPen(themes.with_alpha(self.theme.muted, 0.6))
            painter.drawLines(*(QLineF(*points) for points in ends))
        if self._dots is None or self._dots.ratio != self.devicePixelRatioF():
            tokens = [self._colour(number) for number in range(self._tokens)]
            self._dots = Dots(tokens, (3.4,), self.devicePixelRatioF())
        self._dots.draw(painter, x, y, np.arange(self._tokens))
        # The order parameter is how long the mean arrow of the drives is.
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(self.theme.cleaned), 2.0))
        mean = np.exp(1j * angles).mean()
        length = float(self._order[head]) * inner
        painter.drawLine(centre, _on_circle(centre, length, float(np.angle(mean))))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(QColor(self.theme.muted))
        box = QRectF(centre.x() - 80, centre.y() + radius + 3, 160, 1.3 * self._line())
        painter.drawText(
            box, Qt.AlignmentFlag.AlignHCenter, f"order {float(self._order[head]):.2f}"
        )

    def explain(self, at: QPointF) -> str:
        """What the signs mean, where they are."""
        if any(
            bar.adjusted(-80, -4, 4, 4).contains(at)
            for bar in self._score_bars()[: len(self.words)]
        ):
            return "Score of a word, 0 to 1. At the tick it is detected."
        for head, (centre, radius) in enumerate(self._circles()):
            away = math.hypot(at.x() - centre.x(), at.y() - centre.y())
            below = at.y() - centre.y() - radius
            if 0 < below < 1.6 * self._line() and abs(at.x() - centre.x()) < radius:
                return (
                    f"Order {float(self._order[head]):.2f}: how much the drives agree, "
                    "from 0 (all ways) to 1 (one way)."
                )
            if 0.92 * radius < away < radius + 8:
                return "Anchors: fixed points that pull the oscillators. Each moment has one."
            if away <= 0.92 * radius:
                return (
                    "Oscillators, one for each moment of the last second, dim to bright. "
                    "Lines lead to the anchors that pull them most."
                )
        return ""

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        super().set_theme(theme)
        self._dots = None


def _on_circle(centre: QPointF, radius: float, angle: float) -> QPointF:
    return QPointF(centre.x() + radius * math.cos(angle), centre.y() - radius * math.sin(angle))


if __name__ == "__main__":
    run_alone(Synchronisation)
