"""The thread that an action runs in."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from resonance.app.actions.action import CLOSE_S, WAITING, Action
from resonance.app.errors import UserError
from resonance.app.spotter import KeywordEvent


class Worker:
    """Runs one action for every event, in order, in a thread.

    Parameters
    ----------
    action
        What to do.
    report
        Called with a sentence when the action starts to fail, and when it works again.
    """

    def __init__(self, action: Action, report: Callable[[str], None]) -> None:
        self.action, self.report = action, report
        self.failed = self.dropped = 0
        self._works = True
        self._events: queue.Queue[KeywordEvent | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name=f"action {action.name}", daemon=True)
        self._thread.start()

    def put(self, event: KeywordEvent) -> None:
        """Hand over an event, if the action is for its word; never waits."""
        if getattr(self.action, "word", None) not in (None, event.keyword):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            if not self.dropped:
                self.report(f"{self.action.name} hangs: keywords are left out for it")
            self.dropped += 1

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            try:
                self.action(event)
            except Exception as error:  # whatever an action raises, the next event gets its chance
                self.failed += 1
                if self._works:
                    self.report(f"{self.action.name} failed: {error}")
                self._works = False
            else:
                if not self._works:
                    self.report(f"{self.action.name} works again")
                self._works = True
        self.action.close()

    def release(self) -> None:
        """Give back at once what only one action can have, such as a port."""
        if hasattr(self.action, "release"):
            self.action.release()

    def close(self) -> None:
        """Finish what was handed over, but wait no longer than CLOSE_S."""
        try:
            self._events.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)


def start_all(
    makers: Sequence[Callable[[], Action]], report: Callable[[str], None]
) -> list[Worker]:
    """A worker for each action; if one cannot be made, the others are closed again.

    Raises
    ------
    UserError
        If an action cannot be made, or the package it needs is not installed.
    """
    workers: list[Worker] = []
    try:
        for make in makers:
            workers.append(Worker(make(), report))
    except ImportError as error:
        _close(workers)
        raise UserError(
            f"this action needs {error.name}; in the source folder: pip install '.[actions]'"
        ) from error
    except UserError:
        _close(workers)
        raise
    return workers


def _close(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.close()
