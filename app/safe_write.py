"""One way to create files, and one to finish them: nothing that others made is replaced.

A file is written beside its place under an unpredictable name that only its user can open, and
gets its own name when it is whole and on the disk. Names are taken, never shared: a file that is
there already stays, unless its replacement was asked for; links are not followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resonance.app.processes import alive

#: Mode of files that hold sound, words, tokens or settings: for their user alone.
PRIVATE = 0o600
#: A part of a dead process is removed once it was not written to for this long, s: other machines
#: may be at work in the same folder.
LEFT_S = 60.0
#: Hidden parts: whose (a hash of the name), of which process.
_HIDDEN = re.compile(r"\.([0-9a-f]{16})\.(\d+)\.[0-9a-f]{8}\.part")
#: Parts of recordings, which people can find after a crash.
_VISIBLE = re.compile(r"(.+)\.(\d+)-[0-9a-f]{8}\.part")
_CREATE = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
#: What disks say that have no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EXDEV)


class Part:
    """A file being written; exactly one of :meth:`finish` and :meth:`discard` ends it.

    Parameters
    ----------
    target
        The name it will get; its folder is made if it is missing.
    overwrite
        Whether a file of that name may be replaced. Its mode is kept.
    visible
        Name the part so that people find it, should the process die.

    Raises
    ------
    OSError
        If the file cannot be created, or the target is a pipe or a device.
    """

    def __init__(self, target: Path, *, overwrite: bool = False, visible: bool = False) -> None:
        self.target, self.overwrite = target, overwrite
        if overwrite and target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "it is a folder, pipe or device; only files are replaced")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # there is a file in the folder's place
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        random = secrets.token_hex(4)
        if visible:
            name = f"{target.name}.{os.getpid()}-{random}.part"
        else:
            _remove_left(target)
            name = f".{_mark(target)}.{os.getpid()}.{random}.part"
        self.path = target.with_name(name)
        #: For reading and writing; closed in the end.
        self.descriptor = create(self.path)

    def finish(self, mode: int | None = None, modified_ns: int | None = None) -> Path:
        """Put it on the disk and give it its name; returns that.

        Parameters
        ----------
        mode
            Permission bits; None: those of the file that is replaced, else :data:`PRIVATE`.
        modified_ns
            Time stamp to give it; None: now.

        Raises
        ------
        FileExistsError
            If there is a file of that name which may not be replaced. The part stays.
        OSError
            If the disk refuses. The part stays.
        """
        if hasattr(os, "fchmod"):
            replaced = _mode(self.target) if self.overwrite else None
            os.fchmod(self.descriptor, next(m for m in (mode, replaced, PRIVATE) if m is not None))
        os.fsync(self.descriptor)
        if modified_ns is not None:
            os.utime(self.path, ns=(modified_ns, modified_ns))
        if os.name == "nt":
            self._close()  # an open file cannot be renamed there
        give_name(self.path, self.target, overwrite=self.overwrite)
        self._close()
        _flush_folder(self.target.parent)
        return self.target

    def finish_as_free_name(self) -> Path:
        """As :meth:`finish`, under the next free name where the wished one is taken."""
        wished = self.target
        for name in free_names(wished):
            self.target = name
            with suppress(FileExistsError):
                return self.finish()
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(wished))

    def discard(self) -> None:
        """Take it away."""
        self._close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self.descriptor >= 0:
            with suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = -1


@contextmanager
def written_whole(target: Path, *, overwrite: bool = False) -> Iterator[Part]:
    """A :class:`Part` that is finished when the block ends, and discarded if it raises."""
    part = Part(target, overwrite=overwrite)
    try:
        yield part
        if part.descriptor >= 0:
            part.finish()
    except BaseException:
        part.discard()
        raise


def write_bytes(target: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    target
        The file.
    content
        All of it.
    overwrite
        Whether a file at ``target`` may be replaced.

    Raises
    ------
    OSError
        If it cannot be written; FileExistsError if there is one that may not be replaced.
    """
    with (
        written_whole(target, overwrite=overwrite) as part,
        os.fdopen(os.dup(part.descriptor), "wb") as file,
    ):
        file.write(content)


def write_text(target: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a text file, UTF-8, whole or not at all; errors as in :func:`write_bytes`.

    Parameters
    ----------
    target
        The file.
    text
        All of it.
    overwrite
        Whether a file at ``target`` may be replaced.
    """
    write_bytes(target, text.encode("utf-8", "surrogateescape"), overwrite=overwrite)


def create(path: Path) -> int:
    """A new file for this user alone, open for reading and writing; its descriptor.

    Raises
    ------
    OSError
        If there is anything of that name already, a link too, or it cannot be made.
    """
    return os.open(path, os.O_RDWR | _CREATE, PRIVATE)


def open_to_append(path: Path) -> int:
    """A file that is added to, for this user alone if it is new; its descriptor.

    Raises
    ------
    OSError
        If it is a link (ELOOP), or cannot be opened.
    """
    follow = getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | follow, PRIVATE)


def give_name(part: Path, target: Path, *, overwrite: bool = False) -> None:
    """Rename; FileExistsError, at the very last moment, if the name is taken.

    Parameters
    ----------
    part
        The file as it is written.
    target
        Its name from now on.
    overwrite
        Whether a file at ``target`` may be replaced.
    """
    if overwrite:
        os.replace(part, target)
        return
    try:
        os.link(part, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
        os.close(create(target))  # takes the name
        os.replace(part, target)
    else:
        part.unlink()


def free_names(wished: Path) -> Iterator[Path]:
    """The wished name, then ``NAME (2).ENDING``, and so on."""
    yield wished
    for number in range(2, 1000):
        yield wished.with_name(f"{wished.stem} ({number}){wished.suffix}")


def remove_parts(targets: Iterable[Path]) -> None:
    """Remove all parts of these files, whoever wrote them; each folder is read once."""
    marks = defaultdict[Path, set[str]](set)
    for target in targets:
        marks[target.parent].add(_mark(target))
    for folder, ours in marks.items():
        for path, mark, _ in _hidden_parts(folder):
            if mark in ours:
                with suppress(OSError):
                    path.unlink()


def rescue(folder: Path, report: Callable[[Path], None]) -> None:
    """Give names to the visible parts that dead processes left in a folder; reports each."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            part = _VISIBLE.fullmatch(path.name)
            if part and not alive(int(part[2])) and _is_file(path):
                wished = folder / part[1]
                names = (
                    wished.with_name(f"{wished.stem}.rescued{n}{wished.suffix}")
                    for n in range(1, 1000)
                )
                for name in names:
                    with suppress(FileExistsError):
                        give_name(path, name)
                        report(name)
                        break


def identity(path: Path) -> tuple[int, int] | str:
    """The same for all names of a file: links, other spellings, a disk that is there twice."""
    try:
        status = os.stat(path)
    except OSError:  # nothing there yet
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _mark(target: Path) -> str:
    """Distinguishes files of a folder, however long their names are."""
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]


def _hidden_parts(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """Path, mark and process of the parts in a folder."""
    with suppress(OSError):
        for path in folder.iterdir():
            part = _HIDDEN.fullmatch(path.name)
            if part:
                yield path, part[1], int(part[2])


def _remove_left(target: Path) -> None:
    """Remove what processes that died left of this file."""
    mark = _mark(target)
    for path, whose, process in _hidden_parts(target.parent):
        with suppress(OSError):
            old = time.time() - path.lstat().st_mtime > LEFT_S
            if whose == mark and old and not alive(process):
                path.unlink()


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _flush_folder(folder: Path) -> None:
    """Put the new name on the disk, too, where folders can be opened."""
    if os.name == "nt":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
