"""What an engine reports: its state, and what went wrong, each once."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping

from resonance.app.live.board import Board
from resonance.app.live.messages import (
    Connection,
    Keyword,
    Message,
    State,
    StateChange,
    Warned,
    waiting,
)
from resonance.app.live.processor import Processor

#: Shortest time between two warnings of the same kind, s.
WARN_EACH_S = 10.0
#: What is said when a counter of the processor has grown.
_WARNINGS = {
    "overloads": "too much to do for this computer: the sound passes uncleaned for a moment; "
    "longer blocks or fewer programs help",
    "howls": "feedback between loudspeaker and microphone: the output was turned down; "
    "headphones or the virtual microphone help",
    "ring_empty": "the devices' clocks or timing differ much: a moment of sound is missing",
}


class EngineReports:
    """Sends messages, and keeps the state that was reported last.

    Parameters
    ----------
    send
        Called with every message; None: keep them for :meth:`messages`.
    counters
        Of an engine that died: what grew before is not reported.
    """

    def __init__(
        self, send: Callable[[Message], None] | None, counters: Mapping[str, int] | None
    ) -> None:
        self.state, self.text = State.LOADING, ""
        self.counters = dict(counters or {})  #: when last looked at
        self._board_path = ""
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._send = send or self._messages.put
        self._warned: dict[str, float] = {}

    def messages(self) -> list[Message]:
        """Messages since the last call."""
        return waiting(self._messages)

    def say(
        self,
        state: State,
        text: str,
        board: Board | None,
        *,
        connection: Connection | None = None,
        failed: bool = False,
    ) -> None:
        """Report a state, unless it was the last one.

        Parameters
        ----------
        state, text
            The state, and a sentence.
        board
            The engine's, if it has one by now.
        connection
            The devices that are open.
        failed
            It ends with an error.
        """
        path = str(board.path or "") if board else ""
        before = (self.state, self.text, self._board_path)
        self.state, self.text, self._board_path = state, text, path
        if state == State.LISTENING or before != (state, text, path):
            self._send(StateChange(state, text, path, connection, failed=failed))

    def warn(self, kind: str, text: str) -> None:
        """A warning, unless the same was reported a moment ago."""
        now = time.monotonic()
        if now - self._warned.get(kind, -WARN_EACH_S) >= WARN_EACH_S:
            self._warned[kind] = now
            self._send(Warned(kind, text))

    def pass_on(self, processor: Processor) -> None:
        """Keywords, and what went wrong since the last time."""
        while processor.events:
            self._send(Keyword(processor.events.popleft()))
        error, processor.error = processor.error, None
        if error:
            self.warn("pipeline", f"the pipeline failed and starts anew: {error!r}")
        before, self.counters = self.counters, dict(processor.counters)
        grown = {name for name, total in self.counters.items() if total > before.get(name, 0)}
        for name, text in _WARNINGS.items():
            if name in grown and not (name == "overloads" and error):
                self.warn(name, text)
