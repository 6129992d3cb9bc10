"""Files that lie elsewhere: addresses such as ``s3://bucket/talk.wav``, through fsspec.

Sound is read and written on this machine's disk; what lies elsewhere is fetched before and stored
after, whole. A storage of objects shows an object only once it is complete.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.errors import AudioFileError, UserError


def is_remote(address: str) -> bool:
    """Whether this is an address rather than a path."""
    return "://" in address and not address.startswith("file://")


def local_path(address: str) -> Path:
    """The path of an address on this machine."""
    return Path(address.removeprefix("file://"))


def filesystem(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.

    Raises
    ------
    UserError
        If fsspec or the part of it for this storage is not installed.
    """
    try:
        fsspec = importlib.import_module("fsspec")
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UserError(
            f"{address} needs {error.name or 'fsspec'}: {error}; pip install '.[cloud]'"
        ) from error
    except ValueError as error:
        raise UserError(f"{address}: {error}") from error
    return system, str(path)


def listed(address: str) -> list[tuple[str, int]]:
    """Every file below an address (or it alone), with its size in bytes."""
    system, path = filesystem(address)
    try:
        found = system.find(path, detail=True)
    except Exception as error:  # each storage has errors of its own
        raise UserError(f"{address} cannot be listed: {error}") from error
    if not found:
        raise UserError(f"{address} does not exist, or there is nothing in it")
    return [(str(system.unstrip_protocol(name)), int(i["size"] or 0)) for name, i in found.items()]


@contextmanager
def fetched(address: str) -> Iterator[Path]:
    """The file at an address as a file on this machine, for a while.

    Raises
    ------
    AudioFileError
        If it cannot be fetched.
    """
    if not is_remote(address):
        yield local_path(address)
        return
    system, path = filesystem(address)
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        here = Path(folder) / Path(path).name
        try:
            system.get_file(path, str(here))
        except Exception as error:  # each storage has errors of its own
            raise AudioFileError(f"{address} cannot be fetched: {error}") from error
        yield here


@contextmanager
def stored(address: str) -> Iterator[Path]:
    """A place to write on this machine; what lies there in the end is stored at the address.

    Raises
    ------
    AudioFileError
        If it cannot be stored.
    """
    if not is_remote(address):
        yield local_path(address)
        return
    system, path = filesystem(address)
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        here = Path(folder) / Path(path).name
        yield here
        try:
            with suppress(Exception):  # storages of objects have no folders to make
                system.makedirs(str(Path(path).parent), exist_ok=True)
            system.put_file(str(here), path)
        except Exception as error:
            raise AudioFileError(f"{address} cannot be written: {error}") from error


def exists(address: str) -> bool:
    """Whether there is something at an address."""
    if not is_remote(address):
        return local_path(address).exists()
    system, path = filesystem(address)
    return bool(system.exists(path))


def write_text(address: str, text: str) -> None:
    """Write a small file whole or not at all."""
    with stored(address) as path:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
        try:
            aside.write_text(text, encoding="utf-8")
            os.replace(aside, path)
        except OSError as error:
            raise AudioFileError(f"{address} cannot be written: {error.strerror}") from error
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
