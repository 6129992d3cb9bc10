"""The HTTP interface: files, streams of sound, keywords; described in ``openapi.json``."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from resonance import __version__
from resonance.app.errors import AudioFileError, UserError, WrongUsage
from resonance.app.live.settings import LiveSettings
from resonance.app.presets import FILE_PRESET
from resonance.app.serve.files import Files
from resonance.app.serve.limits import BusyError, TooLargeError
from resonance.app.serve.page import html, openapi
from resonance.app.serve.pcm import Format
from resonance.app.serve.streams import Output, Stream, Streams
from resonance.app.setting import settings_of
from resonance.app.soundfiles.writer import FORMATS
from resonance.app.spotter import KeywordEvent

#: Paths that need no token.
OPEN_PATHS = ("/", "/health", "/openapi.json")
#: A listener to keywords gets a sign of life this often, s.
ALIVE_S = 15.0
#: Text message that ends the sound of a WebSocket.
END = "end"
#: Codes that close a WebSocket: a wrong request, no place.
WS_REFUSED, WS_BUSY = 1008, 1013
_STATUS = {BusyError: 503, TooLargeError: 413, AudioFileError: 422}
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


def application(streams: Streams, files: Files, token: str) -> ASGIApp:
    """The whole interface as an ASGI application.

    Clients send ``token`` as ``Authorization: Bearer TOKEN``, or, where a browser lets them set
    no headers, as ``?token=TOKEN``.

    Parameters
    ----------
    streams
        Pipelines of clients that stream.
    files
        Cleans clients' files.
    token
        What clients must know.

    Returns
    -------
    ASGIApp
        For an ASGI server.
    """
    api = _Api(streams, files)
    return Starlette(
        routes=[
            Route("/", api.page),
            Route("/openapi.json", api.openapi),
            Route("/health", api.health),
            Route("/words", api.words),
            Route("/events", _Direct(api.events), methods=["GET"]),
            Route("/clean", _Direct(api.clean), methods=["POST"]),
            Route("/spot", _Direct(api.spot), methods=["POST"]),
            Route("/stream", _Direct(api.stream), methods=["POST"]),
            Route("/listen", _Direct(api.listen), methods=["POST"]),
            WebSocketRoute("/stream", api.talk),
        ],
        middleware=[Middleware(_Token, token=token)],
        exception_handlers={UserError: _refuse, ClientDisconnect: _refuse, TimeoutError: _refuse},
    )


class _Token:
    """Lets in who knows the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._allowed(HTTPConnection(scope)):
            if scope["type"] == "websocket":  # answered with 403
                await send({"type": "websocket.close", "code": WS_REFUSED})
                return
            answer = JSONResponse(
                {"error": "the token is missing or wrong; send Authorization: Bearer TOKEN"},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _allowed(self, asked: HTTPConnection) -> bool:
        given = asked.headers.get("authorization", "").removeprefix("Bearer ")
        query = asked.query_params.get("token", "")
        right = any(hmac.compare_digest(t.encode(), self._token) for t in (given, query))
        return right or asked.url.path in OPEN_PATHS


class _Direct:
    """An endpoint that sends its answer itself, while what it needs is held."""

    def __init__(self, endpoint: Callable[[Request, Send], Awaitable[None]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(Request(scope, receive), send)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, (ClientDisconnect, TimeoutError)):
        return JSONResponse({"error": "the request did not come to its end"}, 408)
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"error": str(error)}, status)


class _Api:
    """What is behind each path."""

    def __init__(self, streams: Streams, files: Files) -> None:
        self._streams, self._files = streams, files
        self._limits = streams.limits

    # Facts.

    async def page(self, _: Request) -> Response:
        return HTMLResponse(html())

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(openapi())

    async def health(self, _: Request) -> Response:
        return JSONResponse(
            {
                "status": "ok",
                "version": __version__,
                "streams": self._streams.count,
                "most_streams": self._limits.streams,
                "files": self._files.count,
                "most_files": self._limits.files,
            }
        )

    async def words(self, _: Request) -> Response:
        return JSONResponse({"words": await self._streams.run(self._streams.models.words)})

    # Files.

    async def clean(self, request: Request, send: Send) -> None:
        wishes = {
            "preset": request.query_params.get("preset", FILE_PRESET),
            "limit_db": _limit_db(request),
        }
        with self._files.place() as folder:
            source = await self._received(request, folder)
            target = folder / f"clean{_ending(request, source)}"
            answer = await self._worked(request, source, target, wishes)
            await _answer_file(target, answer["warnings"], request, send)

    async def spot(self, request: Request, send: Send) -> None:
        wishes = {"sensitivity": asdict(self._streams.models.sensitivity)}
        with self._files.place() as folder:
            source = await self._received(request, folder)
            answer = await self._worked(request, source, None, wishes)
        answer.pop("error")
        await JSONResponse(answer)(request.scope, request.receive, send)

    async def _received(self, request: Request, folder: Path) -> Path:
        """The request's body as a file."""
        ending = _SUFFIX.fullmatch(Path(request.query_params.get("name", "")).suffix)
        path = folder / f"sound{ending[0] if ending else ''}"
        written = 0
        with path.open("wb") as file:
            async for part in self._body(request):
                written += len(part)
                if written > self._limits.file_bytes:
                    most = self._limits.file_bytes >> 20
                    raise TooLargeError(f"the file is larger than {most} MiB")
                file.write(part)
        return path

    async def _worked(
        self, request: Request, source: Path, target: Path | None, wishes: dict[str, Any]
    ) -> dict[str, Any]:
        """What :meth:`Files.work` answers, unless the client goes before."""
        work = asyncio.ensure_future(self._files.work(source, target, **wishes))
        gone = asyncio.ensure_future(_until_gone(request))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ClientDisconnect
            return work.result()
        except AudioFileError as error:
            name = request.query_params.get("name") or "the file"
            said = str(error).replace(str(source), name)
            raise AudioFileError(said.replace(str(target), f"{name} cleaned")) from error
        finally:
            work.cancel()
            gone.cancel()

    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The parts of a body, each in time."""
        parts = request.stream().__aiter__()
        while True:
            async with asyncio.timeout(self._limits.idle_s):
                try:
                    part = await anext(parts)
                except StopAsyncIteration:
                    return
            if part:
                yield part

    # Streams.

    async def stream(self, request: Request, send: Send) -> None:
        """Sound in, cleaned sound out, at the same time."""
        await self._answer_stream(
            request,
            send,
            "application/octet-stream",
            lambda output: output[0],
            denoise=True,
            spot=False,
        )

    async def listen(self, request: Request, send: Send) -> None:
        """Sound in, keywords out, at the same time."""
        await self._answer_stream(
            request,
            send,
            "text/event-stream",
            lambda output: b"".join(_sent_event(event.facts()) for event in output[1]),
            denoise=False,
            spot=True,
        )

    async def _answer_stream(
        self,
        request: Request,
        send: Send,
        media_type: str,
        content: Callable[[Output], bytes],
        **does: bool,
    ) -> None:
        with self._streams.place():
            stream = await self._opened(request, **does)
            headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                async for output in self._outputs(request, stream):
                    body = content(output)
                    if body:
                        await send({"type": "http.response.body", "body": body, "more_body": True})
            except (ClientDisconnect, TimeoutError):
                return  # unfinished, as the client sees
            await send({"type": "http.response.body", "body": b""})

    async def _opened(self, asked: HTTPConnection, **does: bool) -> Stream:
        query = asked.query_params
        form = Format(
            _number(asked, "samplerate", 16000),
            _number(asked, "channels", 1),
            query.get("encoding", "s16le"),
        )
        return await self._streams.open(
            form, preset=query.get("preset"), limit_db=_limit_db(asked), **does
        )

    async def _outputs(self, request: Request, stream: Stream) -> AsyncIterator[Output]:
        client = _client(request)
        async for part in self._body(request):
            async for output in stream.process(part):
                self._pass_on(output[1], client)
                yield output
        output = await stream.end()
        self._pass_on(output[1], client)
        yield output

    def _pass_on(self, events: list[KeywordEvent], client: str) -> None:
        for event in events:
            self._streams.report(event, client)

    async def talk(self, socket: WebSocket) -> None:
        """A WebSocket: sound and keywords in both directions."""
        try:
            with self._streams.place():
                stream = await self._opened(
                    socket, denoise=_flag(socket, "denoise"), spot=_flag(socket, "spot")
                )
                await socket.accept()
                await self._converse(socket, stream)
        except WebSocketDisconnect:
            return
        except TimeoutError:
            await _close(socket, WS_REFUSED, f"nothing came for {self._limits.idle_s:g} s")
        except UserError as error:
            code = WS_BUSY if isinstance(error, BusyError) else WS_REFUSED
            await _close(socket, code, str(error))

    async def _converse(self, socket: WebSocket, stream: Stream) -> None:
        client = _client(socket)

        async def answer(output: Output) -> None:
            self._pass_on(output[1], client)
            for event in output[1]:
                await socket.send_text(json.dumps(event.facts()))
            if output[0]:
                await socket.send_bytes(output[0])

        while True:
            async with asyncio.timeout(self._limits.idle_s):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes"):
                async for output in stream.process(message["bytes"]):
                    await answer(output)
            elif message.get("text") == END:
                await answer(await stream.end())
                await socket.close()
                return
            elif message.get("text"):
                raise WrongUsage(f"send sound as binary messages, or the text {END!r}")

    async def events(self, request: Request, send: Send) -> None:
        """All keywords in all streams from now on."""
        with self._streams.listening() as queue:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            gone = asyncio.ensure_future(_until_gone(request))
            body = b": listening\n\n"
            while not gone.done():
                await send({"type": "http.response.body", "body": body, "more_body": True})
                get = asyncio.ensure_future(queue.get())
                await asyncio.wait(
                    (get, gone), timeout=ALIVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                body = _sent_event(get.result()) if get.done() else b": listening\n\n"
                get.cancel()


async def _until_gone(request: Request) -> None:
    """Wait until the client hangs up; what is left of its request is of no matter."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _sent_event(facts: dict[str, Any]) -> bytes:
    """A keyword as a server-sent event."""
    return f"event: keyword\ndata: {json.dumps(facts)}\n\n".encode()


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    """Close it with a sentence, which has room for 123 bytes."""
    if socket.client_state is WebSocketState.CONNECTING:  # or the client would not see why
        await socket.accept()
    await socket.close(code, reason.encode()[:123].decode(errors="ignore"))


async def _answer_file(path: Path, warnings: list[str], request: Request, send: Send) -> None:
    headers = {"X-Warnings": json.dumps(warnings)} if warnings else None
    answer = FileResponse(path, headers=headers, filename=path.name)
    await answer(request.scope, request.receive, send)


def _ending(request: Request, path: Path) -> str:
    """Of the output's name: as asked for, as the input's, or what libsndfile finds in it."""
    asked = request.query_params.get("format")
    if asked is not None:
        if f".{asked.lower()}" not in FORMATS:
            known = ", ".join(ending.removeprefix(".") for ending in FORMATS)
            raise WrongUsage(f"format={asked} cannot be written; choose one of: {known}")
        return f".{asked.lower()}"
    if path.suffix.lower() in FORMATS:
        return path.suffix.lower()
    try:
        found = soundfile.info(str(path)).format
    except soundfile.LibsndfileError:
        return ".wav"
    return next((ending for ending, form in FORMATS.items() if form == found), ".wav")


def _client(asked: HTTPConnection) -> str:
    kind = asked.scope["type"]
    return f"{kind} {asked.client.host}:{asked.client.port}" if asked.client else kind


def _number(asked: HTTPConnection, name: str, default: int) -> int:
    given = asked.query_params.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", given):
        raise WrongUsage(f"{name}={given} must be a whole number, such as {default}")
    return int(given)


def _flag(asked: HTTPConnection, name: str) -> bool:
    given = asked.query_params.get(name, "true").lower()
    if given not in ("true", "false"):
        raise WrongUsage(f"{name}={given} must be true or false")
    return given == "true"


def _limit_db(asked: HTTPConnection) -> float | None:
    given = asked.query_params.get("limit_db")
    if given is None:
        return None
    row = settings_of(LiveSettings)["limit_db"]
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not row.fits(value):
        raise WrongUsage(f"limit_db={given} must be {row.allowed}")
    return value
