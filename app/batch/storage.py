"""Files that lie elsewhere: addresses such as ``s3://bucket/talk.wav``, through fsspec.

Sound is read and written on this machine's disk; what lies elsewhere is fetched before and stored
after, whole. A storage of objects shows an object only once it is complete.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resonance.app import safe_write
from resonance.app.errors import AudioFileError, UserError


def is_remote(address: str) -> bool:
    """Whether this is an address rather than a path."""
    return "://" in address and not address.startswith("file://")


def local_path(address: str) -> Path:
    """The path of an address on this machine."""
    return Path(address.removeprefix("file://"))


def absolute(address: str) -> str:
    """An address as it is, a path from the root of its file system."""
    return address if is_remote(address) else os.path.abspath(local_path(address))


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
def stored(address: str, *, overwrite: bool = False) -> Iterator[Path]:
    """A place to write on this machine; what lies there in the end is stored at the address.

    Unless ``overwrite`` allows it, nothing that is there is replaced.

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
        if not overwrite and exists(address):
            raise AudioFileError(f"{address} exists; choose another name, or use --overwrite")
        try:
            with suppress(Exception):  # storages of objects have no folders to make
                system.makedirs(str(Path(path).parent), exist_ok=True)
            system.put_file(str(here), path)
        except Exception as error:
            raise AudioFileError(f"{address} cannot be written: {error}") from error


def exists(address: str) -> bool:
    """Whether there is something at an address.

    Raises
    ------
    UserError
        If a storage does not answer.
    """
    if not is_remote(address):
        return os.path.lexists(local_path(address))
    system, path = filesystem(address)
    try:
        return bool(system.exists(path))
    except Exception as error:  # each storage has errors of its own
        raise UserError(f"{address} cannot be looked up: {error}") from error


def existing(addresses: Iterable[str]) -> set[str]:
    """Those of the addresses where there is a file; a storage is asked once for each folder.

    Raises
    ------
    UserError
        If a storage does not answer.
    """
    there = set()
    folders = defaultdict[str, set[str]](set)
    for address in addresses:
        if is_remote(address):
            folders[address.rpartition("/")[0]].add(address)
        elif _is_there(local_path(address)):
            there.add(address)
    for folder, within in folders.items():
        names = _names_in(folder)
        there |= {address for address in within if address.rpartition("/")[2] in names}
    return there


def _is_there(path: Path) -> bool:
    """Whether there is a file, or a link that leads nowhere."""
    return os.path.lexists(path) and not os.path.isdir(path)


def beginning(address: str, size: int) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    with suppress(Exception):  # each storage has errors of its own
        if not is_remote(address):
            with local_path(address).open("rb") as file:
                return file.read(size)
        system, path = filesystem(address)
        return bytes(system.cat_file(path, start=0, end=size))
    return b""


def _names_in(folder: str) -> set[str]:
    system, path = filesystem(folder)
    try:
        return {name.rpartition("/")[2] for name in system.ls(path, detail=False)}
    except FileNotFoundError:
        return set()
    except Exception as error:  # each storage has errors of its own
        raise UserError(f"{folder} cannot be listed: {error}") from error


def write_text(address: str, text: str, *, overwrite: bool = False) -> None:
    """Write a small file whole or not at all.

    Parameters
    ----------
    address
        A path, or an address such as ``s3://…``.
    text
        Written as UTF-8.
    overwrite
        Whether a file there may be replaced.

    Raises
    ------
    AudioFileError
        If it cannot be written, or there is one that may not be replaced.
    """
    with stored(address, overwrite=overwrite) as path:
        try:
            safe_write.write_text(path, text, overwrite=overwrite)
        except FileExistsError as error:
            raise AudioFileError(
                f"{address} exists; choose another name, or use --overwrite"
            ) from error
        except OSError as error:
            raise AudioFileError(f"{address} cannot be written: {error.strerror}") from error
