"""Keywords beside a cleaned file: JSON lines, subtitles (SRT) and Audacity labels."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence

from resonance.app.batch.storage import write_text
from resonance.app.spotter import KeywordEvent

#: A keyword's label reaches from this long before its time to the time itself, s.
SHOWN_S = 0.6


def paths_beside(target: str) -> list[str]:
    """Where the keywords of an output go."""
    return [f"{target}.{ending}" for ending in ("keywords.jsonl", "srt", "labels.txt")]


def write_beside(
    target: str, events: Sequence[KeywordEvent], replaces: Container[str] = ()
) -> None:
    """Write ``target.keywords.jsonl``, ``target.srt`` and ``target.labels.txt``.

    Those in ``replaces`` may be there already.

    Parameters
    ----------
    target
        The cleaned file; names are made from its name.
    events
        What was found in it, in order.
    replaces
        Files that may be replaced.
    """
    lines = [json.dumps(event.facts()) for event in events]
    contents = "".join(f"{line}\n" for line in lines), subtitles(events), labels(events)
    for path, content in zip(paths_beside(target), contents, strict=True):
        write_text(path, content, overwrite=path in replaces)


def subtitles(events: Sequence[KeywordEvent]) -> str:
    """Keywords as SubRip text."""
    return "".join(
        f"{number}\n{_clock(_start_s(event))} --> {_clock(event.time_s)}\n{event.keyword}\n\n"
        for number, event in enumerate(events, 1)
    )


def labels(events: Sequence[KeywordEvent]) -> str:
    """Keywords as a label track that Audacity imports."""
    return "".join(f"{_start_s(e):.3f}\t{e.time_s:.3f}\t{e.keyword}\n" for e in events)


def _start_s(event: KeywordEvent) -> float:
    return max(0.0, event.time_s - SHOWN_S)


def _clock(time_s: float) -> str:
    ms = round(1000 * time_s)
    return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"
