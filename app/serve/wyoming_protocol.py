"""The Wyoming protocol: wake words for Home Assistant and its satellites.

https://github.com/OHF-Voice/wyoming describes it. It knows no passwords: whoever reaches the port
may send sound and learns which keywords are in it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import ExitStack, suppress
from typing import Any, cast

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Attribution, Describe, Info, WakeModel, WakeProgram
from wyoming.ping import Ping, Pong
from wyoming.server import AsyncEventHandler
from wyoming.wake import Detect, Detection, NotDetected

from resonance import __version__
from resonance.app.errors import UserError
from resonance.app.serve.limits import BusyError
from resonance.app.serve.pcm import Format
from resonance.app.serve.streams import Stream, Streams
from resonance.app.spotter import KeywordEvent

#: Largest header and largest piece of sound, bytes.
HEADER_BYTES, PAYLOAD_BYTES = 1 << 16, 1 << 20
#: Encodings by the bytes of a sample.
_ENCODINGS = {1: "u8", 2: "s16le", 4: "s32le"}
#: How long a refused client may take to read why, s; what it still sends is thrown away.
_FAREWELL_S = 2.0
_log = logging.getLogger(__name__)


async def listen(streams: Streams, listener: socket.socket) -> asyncio.Server:
    """Serve clients of a listening socket from now on."""
    clients = set[asyncio.Task[Any]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        clients.add(task)
        try:
            client = Client(streams, reader, writer, len(clients) > streams.limits.connections)
            await client.run()
        finally:
            clients.discard(task)

    return await asyncio.start_server(serve, sock=listener, limit=HEADER_BYTES)


class Client(AsyncEventHandler):
    """One connection."""

    def __init__(
        self,
        streams: Streams,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        refused: bool,
    ) -> None:
        bounded = _BoundedReader(reader, streams.limits.idle_s)
        super().__init__(cast(asyncio.StreamReader, bounded), writer)
        self._streams, self._refused = streams, refused
        peer = writer.get_extra_info("peername")
        self._client = f"wyoming {peer[0]}:{peer[1]}" if peer else "wyoming"
        self._names: frozenset[str] | None = None  # None: all words
        self._held = ExitStack()
        self._stream: Stream | None = None
        self._format: Format | None = None
        self._detected = False

    async def run(self) -> None:
        """Answer until the client goes, or sends what cannot be understood."""
        try:
            if self._refused:
                await self._complain(BusyError("too many clients; try again later"))
                self.writer.close()
                return
            await super().run()
        except Exception as error:  # whatever a client sends costs it no more than its connection
            _log.info("%s left: %r", self._client, error)

    async def _see_out(self) -> None:
        """Let a client that is still sending read the error: closing now would reset it."""
        with suppress(OSError, TimeoutError):
            self.writer.write_eof()
            async with asyncio.timeout(_FAREWELL_S):
                while await self.reader.read(HEADER_BYTES):
                    pass

    async def disconnect(self) -> None:
        """Free what the client had."""
        self._held.close()

    async def handle_event(self, event: Event) -> bool:
        """Answer one message; False ends the connection."""
        try:
            await self._answer(event)
        except UserError as error:
            await self.disconnect()
            await self._complain(error)
            return False
        return True

    async def _complain(self, error: UserError) -> None:
        code = "busy" if isinstance(error, BusyError) else "refused"
        await self.write_event(Error(str(error), code).event())
        await self._see_out()

    async def _answer(self, event: Event) -> None:
        if Describe.is_type(event.type):
            words = await self._streams.run(self._streams.models.words)
            await self.write_event(_info(words, self._streams.models.spotter.words).event())
        elif Ping.is_type(event.type):
            await self.write_event(Pong(Ping.from_event(event).text).event())
        elif Detect.is_type(event.type):
            await self._choose(Detect.from_event(event).names)
        elif AudioStart.is_type(event.type):
            self._close_stream()
            await self._open(_format(AudioStart.from_event(event)))
        elif AudioChunk.is_type(event.type):
            await self._on_sound(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type):
            await self._end(AudioStop.from_event(event))

    async def _choose(self, names: list[str] | None) -> None:
        self._names = frozenset(names) if names else None
        known = await self._streams.run(self._streams.models.words)
        unknown = sorted((self._names or frozenset()) - set(known))
        if unknown:
            raise UserError(f"no keyword {unknown[0]!r}; there are: {', '.join(known)}")

    async def _open(self, form: Format) -> Stream:
        self._held.enter_context(self._streams.place())
        self._format, self._detected = form, False
        self._stream = await self._streams.open(form, denoise=False, spot=True)
        return self._stream

    def _close_stream(self) -> None:
        self._held.close()
        self._stream = None

    async def _on_sound(self, chunk: AudioChunk) -> None:
        """Satellites send sound without a start, too."""
        form = _format(chunk)
        if form != self._format:
            self._close_stream()
        stream = self._stream or await self._open(form)
        async for _, events in stream.process(chunk.audio):
            await self._report(events, chunk.timestamp)

    async def _report(self, events: list[KeywordEvent], timestamp: int | None) -> None:
        for event in events:
            self._streams.report(event, self._client)
            if self._names is None or event.keyword in self._names:
                self._detected = True
                await self.write_event(Detection(event.keyword, timestamp).event())

    async def _end(self, stop: AudioStop) -> None:
        if self._stream:
            await self._report((await self._stream.end())[1], stop.timestamp)
        self._close_stream()
        if not self._detected:
            await self.write_event(NotDetected().event())
        self._detected = False


class _BoundedReader:
    """A client's bytes, as long as they come in time and in pieces of a sensible size."""

    def __init__(self, reader: asyncio.StreamReader, idle_s: float) -> None:
        self._reader, self._idle_s = reader, idle_s

    async def readline(self) -> bytes:
        async with asyncio.timeout(self._idle_s):
            return await self._reader.readline()

    async def read(self, most: int) -> bytes:
        async with asyncio.timeout(self._idle_s):
            return await self._reader.read(most)

    async def readexactly(self, count: int) -> bytes:
        if count > PAYLOAD_BYTES:
            raise ValueError(f"a piece of {count} bytes; send at most {PAYLOAD_BYTES}")
        async with asyncio.timeout(self._idle_s):
            return await self._reader.readexactly(count)


def _format(event: AudioStart | AudioChunk) -> Format:
    if event.width not in _ENCODINGS:
        raise UserError(f"samples of {event.width} bytes; send 1, 2 or 4")
    return Format(int(event.rate), int(event.channels), _ENCODINGS[event.width])


def _info(words: list[str], trained: list[str]) -> Info:
    ours = Attribution("Resonance", "")
    models = [
        WakeModel(
            name=word,
            attribution=ours,
            installed=True,
            version=__version__,
            phrase=word,
            description=f"{word} (your own word)" if word not in trained else word,
            languages=["en"],
        )
        for word in words
    ]
    program = WakeProgram(
        name="resonance",
        attribution=ours,
        installed=True,
        version=__version__,
        description="Keywords by coupled oscillators",
        models=models,
    )
    return Info(wake=[program])
