"""Clients' files, each cleaned by a process that ends with its client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from resonance.app.errors import AudioFileError
from resonance.app.serve.limits import BusyError, Limits

#: A file is given up after this long, s, and that many times the length allowed.
PATIENCE_S, PATIENCE = 120.0, 0.5


@dataclass
class Files:
    """Processes that clean files, at most one for each processor; started when needed."""

    limits: Limits
    count: int = 0  #: files at hand
    _idle: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(os.cpu_count() or 1)

    @contextmanager
    def place(self) -> Iterator[Path]:
        """An empty folder for one file; BusyError if all places are taken."""
        if self.count >= self.limits.files:
            raise BusyError(f"{self.limits.files} files are at work already; try again later")
        self.count += 1
        try:
            with TemporaryDirectory(prefix="resonance-") as folder:
                yield Path(folder)
        finally:
            self.count -= 1

    async def work(self, source: Path, target: Path | None, **wishes: Any) -> dict[str, Any]:
        """Clean ``source`` into ``target``, or find its keywords if that is None.

        If the caller is cancelled, the process ends.

        Raises
        ------
        AudioFileError
            If the file cannot be read to its end, or takes too long.
        """
        ask = {"source": str(source), "target": str(target) if target else None, **wishes}
        async with self._turns, self._process() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(ConnectionError):
                process.stdin.write(json.dumps(ask).encode() + b"\n")
                await process.stdin.drain()
            try:
                async with asyncio.timeout(PATIENCE_S + PATIENCE * self.limits.file_s):
                    line = await process.stdout.readline()
            except TimeoutError:
                process.kill()
                raise AudioFileError("the file takes too long") from None
        if not line:
            raise AudioFileError("the file made the decoder crash; it is damaged")
        answer: dict[str, Any] = json.loads(line)
        if answer["error"]:
            raise AudioFileError(answer["error"])
        return answer

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        """A process; it is used again only if all went well."""
        process = self._idle.pop() if self._idle else await self._start()
        try:
            yield process
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            raise
        if process.returncode is None:
            self._idle.append(process)

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "resonance.app.serve.file_worker",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
        assert process.stdin is not None
        bounds = {"file_s": self.limits.file_s, "written_bytes": 64 * self.limits.file_bytes}
        process.stdin.write(json.dumps(bounds).encode() + b"\n")
        return process

    def close(self) -> None:
        """End the processes that have nothing to do; the others end with their files."""
        for process in self._idle:
            with suppress(ProcessLookupError):
                process.kill()
