"""The same task on a Ray cluster: retried when a machine is lost, never more than it can hold."""

from __future__ import annotations

import functools
import importlib
import logging
import socket
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import Outcome, clean_file, retry
from resonance.app.errors import UserError

#: Files under way for each processor: one at work, one that waits for it.
AHEAD = 2
#: A file that was lost so often, with its worker or its machine, is given up.
TRIES = 4


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UserError("--ray needs Ray; in the source folder: pip install '.[ray]'") from None


def connect(address: str) -> None:
    """Join the cluster at ``address``; ``local`` starts one on this machine.

    Raises
    ------
    UserError
        If Ray is missing or there is no cluster.
    """
    ray = _ray()
    if ray.is_initialized():
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        _check_there(address)
        options["address"] = address
    else:
        options["include_dashboard"] = False
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(f"no Ray cluster at {address!r}: {error}") from error


def _check_there(address: str) -> None:
    """Ray would wait for minutes for a head that is not there."""
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError as error:
        raise UserError(f"no Ray cluster at {address!r}: {error}") from error


@functools.cache
def _key_here(settings: BatchSettings) -> str:
    return settings.key()


def clean_file_alike(job: BatchJob, settings: BatchSettings, key: str) -> Outcome:
    """Clean one file, if models and custom words here are those that ``key`` was made of.

    Parameters
    ----------
    job
        The file.
    settings
        How to clean it.
    key
        Of :meth:`~resonance.app.batch.settings.BatchSettings.key` where the batch began.

    Returns
    -------
    Outcome
        How it went.
    """
    try:
        if _key_here(settings) == key:
            return clean_file(job, settings)
        error = "it has other models or custom words than the machine that started the batch"
    except UserError as wrong:
        error = str(wrong)
    return Outcome(
        job.source,
        job.target,
        size=job.size,
        error=f"{job.source} cannot be cleaned on {socket.gethostname()}: {error}; "
        "install the same version there, with the same words",
    )


def clean_all(jobs: Iterable[BatchJob], settings: BatchSettings) -> Iterator[Outcome]:
    """The outcomes of all files as they come.

    Every machine must see the sources and outputs under the same names: a shared folder, or
    addresses of a storage. Models and custom words are those found there;
    a machine whose own are not the same as here fails its files.
    """
    ray = _ray()
    # Each task is one processor's; its process stays and keeps the models for the next one.
    # Ray itself retries nothing: it would not know that the retry may replace what was written.
    task = ray.remote(num_cpus=1, max_retries=0)(clean_file_alike)
    shared, key = ray.put(settings), settings.key()
    waiting = iter(jobs)
    running: dict[Any, BatchJob] = {}
    tries: dict[BatchJob, int] = {}
    while True:
        room = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))) - len(running)
        for job in islice(waiting, max(0, room)):
            running[task.remote(job, shared, key)] = job
        if not running:
            return
        # Many at once on a large cluster: each wait looks at all that run.
        count = max(1, len(running) // 8)
        ready, _ = ray.wait(list(running), num_returns=count, timeout=1.0)
        for reference in ready:
            job = running.pop(reference)
            try:
                yield ray.get(reference)
            except ray.exceptions.RayError as error:
                tries[job] = tries.get(job, 0) + 1
                if tries[job] < TRIES:
                    job = retry(job, settings)
                    running[task.remote(job, shared, key)] = job
                    continue
                reason = str(error).strip().splitlines()[0]
                yield Outcome(
                    job.source,
                    job.target,
                    size=job.size,
                    error=f"{job.source}: given up after {TRIES} workers were lost: {reason}",
                )
