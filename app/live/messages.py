"""What an engine reports: states, keywords, warnings and notes, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from queue import SimpleQueue
from typing import Any

from resonance.app.spotter import KeywordEvent


class State(StrEnum):
    """What an engine is doing."""

    LOADING = "loading"
    LISTENING = "listening"
    RECONNECTING = "reconnecting"
    NO_DEVICE = "no device"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Connection:
    """Devices that are open, and the delays between them."""

    input: str  #: device by name
    output: str
    samplerate: float  #: Hz
    blocksize: int = 0  #: samples
    device_latency_s: tuple[float, float] = (0.0, 0.0)  #: of input and output
    latency_samples: int = 0  #: that the model looks ahead
    bridge_s: float = 0.0  #: between two clocks
    virtual_mic: str = ""  #: as other programs list it; empty if there is none
    virtual_speaker: str = ""

    @property
    def delays_s(self) -> tuple[float, float]:
        """What the devices, and what Resonance takes from microphone to output."""
        own = self.bridge_s + self.latency_samples / self.samplerate
        return sum(self.device_latency_s), own

    @property
    def delay_s(self) -> float:
        """From the microphone to the output."""
        return sum(self.delays_s)


@dataclass(frozen=True)
class StateChange:
    """An engine that does something else from now on."""

    state: State
    text: str  #: why, in a sentence
    board: str = ""  #: path of the board; empty if it is not shared
    connection: Connection | None = None  #: of :attr:`State.LISTENING`
    died: bool = False  #: the engine's process ended unexpectedly and is started again
    failed: bool = False  #: it stopped because of an error


@dataclass(frozen=True)
class Keyword:
    """A keyword was spotted."""

    event: KeywordEvent


@dataclass(frozen=True)
class Warned:
    """Something that asks for attention, while the sound goes on."""

    about: str  #: such as "overloads", "howls", "ring_empty", "away", "settings", "pipeline"
    text: str


@dataclass(frozen=True)
class Note:
    """Something that asks for nothing."""

    text: str


Message = StateChange | Keyword | Warned | Note


def as_facts(message: Message) -> dict[str, Any]:
    """A message as ``resonance live --json`` prints it."""
    if isinstance(message, Keyword):
        return message.event.facts()
    if isinstance(message, Warned):
        return {"warning": message.text}
    if isinstance(message, Note):
        return {"note": message.text}
    facts: dict[str, Any] = {"state": message.state, "board": message.board}
    if message.connection:
        facts |= asdict(message.connection)
    facts |= {name: True for name in ("died", "failed") if getattr(message, name)}
    return {**facts, "text": message.text}


def waiting(messages: SimpleQueue[Message]) -> list[Message]:
    """All messages that wait in a queue, oldest first; they are taken out."""
    found = []
    while not messages.empty():
        found.append(messages.get())
    return found
