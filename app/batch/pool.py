"""Processes of this machine that clean files: warm, one thread each, replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any

from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import Outcome, clean_file, retry, warm_up

#: A file at which this many workers died is given up.
TRIES = 2
#: How long workers get to clear up before they are killed, s.
PATIENCE_S = 5.0

#: Called with the file and the seconds of its sound that are done.
Progress = Callable[[BatchJob, float], None]


class _Gone(BaseException):
    """Nobody waits for this worker's answers any more; not an error of the file at hand."""


def _work(connection: Connection, settings: BatchSettings) -> None:
    """A worker's life: files come, outcomes go, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if hasattr(signal, "SIGXFSZ"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the file, not the end

    def send(answer: object) -> None:
        try:
            connection.send(answer)
        except OSError:
            raise _Gone from None

    try:
        warm_up(settings)
        while True:
            job = connection.recv()
            send(clean_file(job, settings, send))
    except (EOFError, OSError, _Gone):
        return


class _Worker:
    """A process and the file that it has."""

    def __init__(self, context: Any, settings: BatchSettings) -> None:
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, settings), daemon=True)
        self.process.start()
        other.close()
        self.job: BatchJob | None = None

    def give(self, job: BatchJob) -> None:
        self.job = job
        with suppress(OSError):  # it has died; its end of the connection will show that
            self.connection.send(job)

    def stop(self) -> None:
        """Leave it no more to do."""
        self.connection.close()


def clean_all(
    jobs: Iterable[BatchJob], settings: BatchSettings, processes: int, progress: Progress
) -> Iterator[Outcome]:
    """The outcomes of all files as they come; a worker that dies costs its file one more try.

    A job is taken when a worker is free for it.

    Parameters
    ----------
    jobs
        Files to clean.
    settings
        The same for all.
    processes
        How many work at once.
    progress
        Called with a job and the seconds of its sound that are done.

    Yields
    ------
    Outcome
        One for each job, in the order in which they end.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("spawn")
    waiting, again, tries = iter(jobs), list[BatchJob](), dict[BatchJob, int]()
    workers: list[_Worker] = []
    try:
        for job in islice(waiting, processes):
            workers.append(_Worker(context, settings))
            workers[-1].give(job)
        while workers:
            ready = wait([w.connection for w in workers])
            for worker in [w for w in workers if w.connection in ready]:
                answer = _answer(worker)
                if isinstance(answer, float):
                    if worker.job:
                        progress(worker.job, answer)
                    continue
                if answer is None:
                    answer = _died(worker, settings, again, tries)
                    workers[workers.index(worker)] = worker = _Worker(context, settings)
                worker.job = None
                if answer is not None:
                    yield answer
                todo = again.pop() if again else next(waiting, None)
                if todo:
                    worker.give(todo)
                else:
                    worker.stop()
                    workers.remove(worker)
    finally:
        _end(workers)


def _answer(worker: _Worker) -> Outcome | float | None:
    """What a worker says; None: it died."""
    try:
        answer: Outcome | float = worker.connection.recv()
    except (EOFError, OSError):
        return None
    return answer


def _died(
    worker: _Worker, settings: BatchSettings, again: list[BatchJob], tries: dict[BatchJob, int]
) -> Outcome | None:
    """Put the file of a dead worker back, or give it up."""
    worker.process.join(PATIENCE_S)
    job, code = worker.job, worker.process.exitcode
    worker.stop()
    if job is None:
        return None
    tries[job] = tries.get(job, 0) + 1
    if tries[job] < TRIES:
        again.append(retry(job, settings))
        return None
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return Outcome(
        job.source,
        job.target,
        size=job.size,
        error=f"{job.source}: {TRIES} workers died at this file ({how}); is memory short?",
    )


def _end(workers: list[_Worker]) -> None:
    """Let every worker clear up and go."""
    for worker in workers:
        worker.stop()
        if worker.job:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
