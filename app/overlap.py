"""Reading ahead and writing behind in threads, while the sound between is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

Item = TypeVar("Item")

#: Blocks waiting on either side; more would only take memory.
DEPTH = 2


class _End:
    """Comes after the last item, with the error that ended them, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def read_ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """The same items, taken by a thread that is at most :data:`DEPTH` ahead.

    An error of theirs is raised where it comes in their order. The thread has ended when the
    context does.
    """
    waiting: queue.Queue[Item | _End] = queue.Queue(DEPTH)
    enough = threading.Event()
    thread = threading.Thread(target=_take, args=(items, waiting, enough), daemon=True)
    thread.start()

    def given() -> Iterator[Item]:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error:
            raise item.error

    try:
        yield given()
    finally:
        enough.set()
        thread.join()


def _take(
    items: Iterator[Item], waiting: queue.Queue[Item | _End], enough: threading.Event
) -> None:
    def put(item: Item | _End) -> None:
        while not enough.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=0.1)
                return

    try:
        for item in items:
            put(item)
            if enough.is_set():
                return
    except BaseException as error:  # raised again where the items are used
        put(_End(error))
    else:
        put(_End())


@contextmanager
def write_behind(write: Callable[[Item], None]) -> Iterator[Callable[[Item], None]]:
    """A function like ``write`` whose work a thread does; all is written when the context ends.

    An error of ``write`` is raised by the next call, or in the end.
    """
    waiting: queue.Queue[Item | None] = queue.Queue(DEPTH)
    errors: list[BaseException] = []

    def work() -> None:
        while (item := waiting.get()) is not None:
            if not errors:
                try:
                    write(item)
                except BaseException as error:  # raised again where the items come from
                    errors.append(error)

    def put(item: Item) -> None:
        if errors:
            raise errors[0]
        waiting.put(item)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield put
    finally:
        waiting.put(None)
        thread.join()
    if errors:
        raise errors[0]
