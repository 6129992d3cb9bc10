"""What experiments report: rows with verdicts, statistics, and the page ``docs/science.md``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

if TYPE_CHECKING:
    from resonance.lab.command import Experiment

HERE = Path(__file__).parent
#: What the runs found that the page shows; ``--write`` puts it there.
FOUND = HERE / "found.json"
DOCS = HERE.parent / "docs"
PAGE, FIGURES = DOCS / "science.md", DOCS / "science"
INTRODUCTION = HERE / "science.md"


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "not decidable here"


@dataclass(frozen=True)
class Row:
    """One claim."""

    claim: str
    source: str
    published: str
    ours: str
    verdict: Verdict


@dataclass
class Report:
    """What one experiment found."""

    found: str  #: one line
    rows: list[Row]
    notes: str  #: what was done, and what it can and cannot show (Markdown)
    caption: str
    figure: Figure = field(repr=False)


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def interval(values: Sequence[float]) -> Interval:
    """Student's t over independent values, such as one for each seed; at least two."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    reach = error * float(stats.t.ppf(0.975, len(values) - 1))
    return Interval(mean, mean - reach, mean + reach)


def paired(a: Sequence[float], b: Sequence[float]) -> Interval:
    """Of the differences ``a - b``, both measured with the same seeds."""
    return interval([x - y for x, y in zip(a, b, strict=True)])


def spread(values: Sequence[float], spec: str = ".3f") -> str:
    """Mean ± standard deviation."""
    return f"{np.mean(values):{spec}} ± {np.std(values, ddof=1):{spec}}"


def judge(effect: Interval, claimed: float) -> Verdict:
    """Whether an effect is there.

    It is if the interval lies on the claimed side of 0; it is not if all of it stays below half
    of what is claimed; in between, the runs are too few to say.
    """
    sign = math.copysign(1.0, claimed)
    low, high = sorted((sign * effect.low, sign * effect.high))
    if low > 0:
        return Verdict.HOLDS
    return Verdict.FAILS if high < abs(claimed) / 2 else Verdict.OPEN


def at_most(effect: Interval, bound: float) -> Verdict:
    """Whether an effect stays below ``bound``."""
    if effect.high <= bound:
        return Verdict.HOLDS
    return Verdict.FAILS if effect.low > bound else Verdict.OPEN


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def tally(rows: Sequence[Row]) -> str:
    """How many claims hold, fail, and stay open."""
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in Verdict}
    many = {Verdict.HOLDS: "hold", Verdict.FAILS: "do not hold"}
    return ", ".join(
        f"{count} {verdict if count == 1 else many.get(verdict, verdict)}"
        for verdict, count in counts.items()
        if count
    )


def load() -> dict[str, Any]:
    """What was found before, by experiment."""
    found: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    return found


def write(
    name: str, report: Report, command: str, minutes: float, experiments: Mapping[str, Experiment]
) -> None:
    """Put a report and its figure into ``docs/science.md``; ``experiments`` orders the page.

    Parameters
    ----------
    name
        Of the experiment.
    report
        What it found.
    command
        That ran it.
    minutes
        Of processor time it took.
    experiments
        All there are, in the order of the page.
    """
    FIGURES.mkdir(parents=True, exist_ok=True)
    save_figure(report.figure, FIGURES / f"{name}.png")
    found = load()
    found[name] = {
        "found": report.found,
        "rows": [asdict(row) for row in report.rows],
        "notes": report.notes,
        "caption": report.caption,
        "command": command,
        "cpu_minutes": round(minutes, 1),
    }
    FOUND.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(found, experiments), encoding="utf-8")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")


def page(found: Mapping[str, Any], experiments: Mapping[str, Experiment]) -> str:
    """The whole of ``docs/science.md``."""
    present = [name for name in experiments if name in found]
    summary = [
        (
            row["claim"],
            row["source"],
            row["published"],
            row["ours"],
            f"**{row['verdict']}**",
            f"[`resonance lab {name}`](#{name})",
        )
        for name in present
        for row in found[name]["rows"]
    ]
    header = ("claim", "source", "published", "ours", "verdict", "command")
    parts = [INTRODUCTION.read_text(encoding="utf-8").strip(), table(header, summary)]
    for name in present:
        parts.append(_section(name, experiments[name], found[name]))
    return "\n\n".join(parts) + "\n"


def _section(name: str, experiment: Experiment, entry: Mapping[str, Any]) -> str:
    rows = [
        (row["claim"], row["published"], row["ours"], f"**{row['verdict']}**")
        for row in entry["rows"]
    ]
    return "\n\n".join(
        [
            f'<a id="{name}"></a>\n\n## {experiment.title}',
            f"{entry['found']} (`{entry['command']}`; minutes of one core: "
            f"{entry['cpu_minutes']:g}; `--budget full`, estimated: {experiment.full})",
            table(("claim", "published", "ours", "verdict"), rows),
            f"![{entry['caption']}](science/{name}.png)\n\n*{entry['caption']}*",
            entry["notes"].strip(),
        ]
    )
