"""An oscillator language model behind OpenAI's protocol: ``resonance lab serve CHECKPOINT``.

``/v1/models``, ``/v1/completions`` and ``/v1/chat/completions``, whole or as server-sent events,
and ``/health``. Listens on this computer alone by default.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import click
import torch
import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tokenizers import Tokenizer
from torch import Tensor, nn

from resonance.lab import oscillator_language, wave_memory
from resonance.lab.oscillator_language import OscillatorLanguageModel
from resonance.lab.wave_memory import KerrCharacters, WaveMemory, attached, empty_memory
from resonance.models.training import load_checkpoint

#: Largest request, bytes, and most tokens that one may ask for.
LARGEST, MOST_TOKENS = 256 * 1024, 4096
USUAL_TOKENS = 64


@dataclass(frozen=True)
class Wish:
    """What a request asks for."""

    prompt: str
    most: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    stream: bool

    @classmethod
    def of(cls, body: dict[str, Any], prompt: str) -> Wish:
        """From a request's body; what is out of range is refused with a sentence."""
        stop = body.get("stop") or []
        named = (body.get(name) for name in ("max_tokens", "max_completion_tokens"))
        most = next((value for value in named if value is not None), USUAL_TOKENS)
        wish = cls(
            prompt,
            _number(most, "max_tokens", 1, MOST_TOKENS, int),
            _number(body.get("temperature", 1.0), "temperature", 0.0, 2.0, float),
            _number(body.get("top_p", 1.0), "top_p", 0.0, 1.0, float),
            body.get("seed"),
            tuple([stop] if isinstance(stop, str) else stop),
            bool(body.get("stream", False)),
        )
        if not all(isinstance(s, str) and s for s in wish.stop):
            raise HTTPException(400, "stop must be a text or a list of texts, none empty")
        return wish


def _number(value: Any, name: str, low: float, high: float, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise HTTPException(400, f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
    return kind(value)


class Speaker:
    """Draws text from a model, token by token, one request at a time.

    Parameters
    ----------
    model, tokenizer
        From :func:`load`.
    memory
        File with the wave memory: read now, written after every answer; begun if missing.

    Raises
    ------
    click.ClickException
        If the memory cannot be read, or is not one of this model's.
    """

    def __init__(
        self,
        model: OscillatorLanguageModel | KerrCharacters,
        tokenizer: Tokenizer,
        memory: Path | None = None,
    ) -> None:
        self.model, self.tokenizer, self.file = model, tokenizer, memory
        self.memory = _remembered(model, memory) if memory else None
        self.turn = asyncio.Lock()

    def draw(self, wish: Wish) -> Generator[tuple[str, str | None], None, None]:
        """Pieces of text as they become certain, and why it ended with the last one.

        An answer that is broken off is not remembered.
        """
        if self.memory is None or self.file is None:
            yield from self._draw(wish)
            return
        with attached(self.model, self.memory) as seen:
            yield from self._draw(wish)
        self.memory.learn(seen.mean())
        self.memory.save(self.file)

    def _draw(self, wish: Wish) -> Generator[tuple[str, str | None], None, None]:
        chance = torch.Generator()
        chance.manual_seed(wish.seed) if wish.seed is not None else chance.seed()
        tokens: list[int] = []
        said, held = "", max((len(s) for s in wish.stop), default=1) - 1
        for token in self._tokens(wish, chance):
            tokens.append(token)
            text = self.tokenizer.decode(tokens)
            if text.endswith("\ufffd"):  # half a character
                continue
            ends = [at for s in wish.stop if (at := text.find(s)) >= 0]
            if ends:
                yield text[len(said) : min(ends)], "stop"
                return
            sure = text[len(said) : len(text) - held] if held else text[len(said) :]
            said += sure
            if sure:
                yield sure, None
        yield self.tokenizer.decode(tokens)[len(said) :], "length"

    @torch.no_grad()
    def _tokens(self, wish: Wish, chance: torch.Generator) -> Iterator[int]:
        state: Any = self.model.rest()
        for token in self.tokenizer.encode(wish.prompt).ids or [0]:
            scores, state = self.model.step(torch.tensor([token]), state)
        for _ in range(wish.most):
            token = _pick(scores[0], wish, chance)
            yield token
            scores, state = self.model.step(torch.tensor([token]), state)


def _remembered(model: nn.Module, file: Path) -> WaveMemory:
    memory = empty_memory(model)
    if not file.exists():
        return memory
    found = WaveMemory.load(file)
    if found.state.shape != memory.state.shape:
        (layers, bands), (wanted, each) = found.state.shape, memory.state.shape
        raise click.ClickException(
            f"{file} remembers {layers} layers of {bands} bands, the model has {wanted} of {each}; "
            "name another file"
        )
    return found


def _pick(scores: Tensor, wish: Wish, chance: torch.Generator) -> int:
    if wish.temperature == 0:
        return int(scores.argmax())
    shares, order = (scores.float() / wish.temperature).softmax(-1).sort(descending=True)
    shares[shares.cumsum(-1) - shares > wish.top_p] = 0.0
    return int(order[torch.multinomial(shares, 1, generator=chance)])


class Service:
    """The routes."""

    def __init__(self, speaker: Speaker, name: str, token: str | None) -> None:
        self.speaker, self.name, self.token = speaker, name, token
        self.app = Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/v1/completions", partial(self.complete, chat=False), methods=["POST"]),
                Route("/v1/chat/completions", partial(self.complete, chat=True), methods=["POST"]),
            ],
            exception_handlers={HTTPException: _refusal},
        )

    async def health(self, request: Request) -> Response:
        """Alive; needs no token."""
        return JSONResponse({"status": "ok", "model": self.name})

    async def models(self, request: Request) -> Response:
        """The one model."""
        self._admit(request)
        entry = {"id": self.name, "object": "model", "created": 0, "owned_by": "resonance"}
        return JSONResponse({"object": "list", "data": [entry]})

    async def complete(self, request: Request, *, chat: bool) -> Response:
        """Continue a prompt or a conversation."""
        self._admit(request)
        body = await _body(request)
        wish = Wish.of(body, _conversation(body) if chat else _prompt(body))
        answer = Answer(self.name, chat)
        if wish.stream:
            return EventSourceResponse(self._events(wish, answer), sep="\n")
        pieces = [piece async for piece in self._pieces(wish)]
        text = "".join(piece for piece, _ in pieces)
        asked, count = (len(self.speaker.tokenizer.encode(t).ids) for t in (wish.prompt, text))
        return JSONResponse(answer.whole(text, pieces[-1][1], asked, count))

    async def _events(self, wish: Wish, answer: Answer) -> AsyncIterator[dict[str, str]]:
        async for piece, reason in self._pieces(wish):
            yield {"data": json.dumps(answer.part(piece, reason), ensure_ascii=False)}
        yield {"data": "[DONE]"}

    async def _pieces(self, wish: Wish) -> AsyncIterator[tuple[str, str | None]]:
        """In a thread, so that others are answered meanwhile; a client that leaves ends it."""
        end = ("", "end")
        async with self.speaker.turn:
            with closing(self.speaker.draw(wish)) as pieces:
                while (item := await anyio.to_thread.run_sync(next, pieces, end)) is not end:
                    yield item

    def _admit(self, request: Request) -> None:
        if self.token is None:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            raise HTTPException(401, "wrong or missing token; send Authorization: Bearer TOKEN")


@dataclass(frozen=True)
class Answer:
    """The shape of what is sent back."""

    model: str
    chat: bool

    def _frame(self, kind: str, choice: dict[str, Any]) -> dict[str, Any]:
        object_name = f"chat.completion{kind}" if self.chat else "text_completion"
        return {
            "id": "cmpl-local",
            "object": object_name,
            "created": int(time.time()),
            "model": self.model,
            "choices": [{"index": 0, "logprobs": None, **choice}],
        }

    def part(self, piece: str, reason: str | None) -> dict[str, Any]:
        """One event."""
        content = (
            {"delta": {"role": "assistant", "content": piece}} if self.chat else {"text": piece}
        )
        return self._frame(".chunk", {**content, "finish_reason": reason})

    def whole(self, text: str, reason: str | None, asked: int, count: int) -> dict[str, Any]:
        """Everything at once.

        Parameters
        ----------
        text
            That was spoken.
        reason
            Why it ended.
        asked
            Number of tokens of the prompt.
        count
            Number of tokens of the answer.

        Returns
        -------
        dict
            As OpenAI's protocol wants it.
        """
        content = (
            {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        )
        usage = {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count}
        return {**self._frame("", {**content, "finish_reason": reason}), "usage": usage}


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST:
            raise HTTPException(413, f"a request may have {LARGEST:,} bytes, this one has more")
    try:
        body = json.loads(content)
    except ValueError as error:
        raise HTTPException(400, f"the request is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise HTTPException(400, "the request must be a JSON object")
    return body


def _prompt(body: dict[str, Any]) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise HTTPException(400, "prompt must be a text")
    return prompt


def _conversation(body: dict[str, Any]) -> str:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise HTTPException(400, "messages must be a list of messages, at least one")
    try:
        said = [f"{m['role']}: {m['content']}" for m in messages]
    except (KeyError, TypeError) as error:
        raise HTTPException(400, "every message needs a role and a content") from error
    return "\n".join([*said, "assistant:"])


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {"message": error.detail, "type": "invalid_request_error", "code": error.status_code}
    return JSONResponse({"error": detail}, error.status_code)


def load(path: Path) -> tuple[OscillatorLanguageModel | KerrCharacters, Tokenizer]:
    """What `resonance lab language` or `memory` trained, ready to speak, and its tokenizer."""
    saved = load_checkpoint(path)
    config = saved["config"]
    model: OscillatorLanguageModel | KerrCharacters
    if "maestro" in config:
        model = KerrCharacters(wave_memory.Config(**config))
    else:
        model = OscillatorLanguageModel(oscillator_language.Config(**config))
    model.load_state_dict(saved["weights"])
    return model.eval(), Tokenizer.from_str(saved["tokenizer"])


def serve(
    checkpoint: Path, host: str, port: int, token: str | None, memory: Path | None = None
) -> None:
    """Until stopped.

    Parameters
    ----------
    checkpoint
        Of a language model.
    host, port
        Where to listen.
    token
        That clients must show; None: none.
    memory
        File of a wave memory.
    """
    service = Service(Speaker(*load(checkpoint), memory), checkpoint.stem, token)
    uvicorn.run(service.app, host=host, port=port, log_level="info", access_log=False)


class Running:
    """A service on a free port of this computer, in a thread, as a context."""

    def __init__(self, speaker: Speaker, token: str | None = None) -> None:
        config = uvicorn.Config(
            Service(speaker, "resonance", token).app, log_level="error", lifespan="off"
        )
        self.server = uvicorn.Server(config)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)

    def __enter__(self) -> Running:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()
