"""Which files a batch takes, and where each output goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from app.audiofile import FORMATS
from app.batch import ffmpeg, storage
from app.batch.settings import Job
from app.batch.worker import readable_endings
from app.errors import UserError

#: What a name template may hold.
FIELDS = ("stem", "suffix", "name", "preset")


def plan(
    inputs: Sequence[str], output: str, *, template: str = "{stem}{suffix}", preset: str = ""
) -> list[Job]:
    """Every file to clean and where it goes, in the order of their names.

    Parameters
    ----------
    inputs
        Files, folders (taken with all below them), patterns, and addresses such as ``s3://…``.
    output
        Folder, or address of one. Folders below an input folder are kept.
    template
        Name of each output: ``{stem}``, ``{suffix}`` with its dot, ``{name}`` (both together),
        ``{preset}``, and folders if wanted.

    Raises
    ------
    UserError
        If an input is missing, the template makes no sense, outputs would meet, or an output
        would replace an input.
    """
    jobs: dict[str, Job] = {}
    for source, below, size in _found(inputs, output):
        target = _target(source, below, output, template, preset)
        jobs.setdefault(source, Job(source, target, size))
    ordered = sorted(jobs.values(), key=lambda job: job.source)
    _check(ordered)
    return ordered


def from_list(lines: Iterable[str]) -> list[str]:
    """The inputs named in a list, one a line."""
    return [line.rstrip("\r\n") for line in lines if line.strip()]


def _found(inputs: Sequence[str], output: str) -> Iterator[tuple[str, PurePosixPath, int]]:
    """Each source, its folders below the input that it came from, and its size in bytes."""
    endings = readable_endings()
    for named in inputs:
        if storage.is_remote(named):
            yield from _remote(named, endings)
            continue
        path = storage.local_path(named)
        if not _exists(path) and glob.has_magic(named):
            matches = sorted(glob.glob(named, recursive=True))
            if not matches:
                raise UserError(f"no file fits the pattern {named!r}")
            root = _fixed_part(named)
            for match in map(Path, matches):
                if match.is_file():
                    yield str(match), _below(match, root), match.stat().st_size
        elif path.is_dir():
            yield from _folder(path, output, endings)
        else:
            yield str(path), PurePosixPath(), path.stat().st_size if _exists(path) else 0


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


def _remote(address: str, endings: frozenset[str]) -> Iterator[tuple[str, PurePosixPath, int]]:
    found = storage.listed(address)
    root = address.rstrip("/") + "/"
    for source, size in found:
        if len(found) == 1 and source == address:
            yield source, PurePosixPath(), size
        elif PurePosixPath(source).suffix.lower() in endings:
            yield source, PurePosixPath(source.removeprefix(root)).parent, size


def _folder(
    folder: Path, output: str, endings: frozenset[str]
) -> Iterator[tuple[str, PurePosixPath, int]]:
    """All sound below a folder, hidden files and the outputs' own folder left out."""
    own = None if storage.is_remote(output) else os.path.realpath(storage.local_path(output))
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(
            f for f in folders
            if not f.startswith(".") and os.path.realpath(os.path.join(here, f)) != own
        )  # fmt: skip
        for name in sorted(files):
            path = Path(here, name)
            if path.suffix.lower() in endings and not name.startswith("."):
                yield str(path), _below(path, folder), path.stat(follow_symlinks=False).st_size
        for name in folders:  # called like sound, but with nothing in it: told as a failure
            path = Path(here, name)
            if path.suffix.lower() in endings and not any(path.iterdir()):
                yield str(path), _below(path, folder), 0


def _below(path: Path, root: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(root).parent.as_posix())


def _fixed_part(pattern: str) -> Path:
    """The folders of a pattern before its first wildcard."""
    parts = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def _target(source: str, below: PurePosixPath, output: str, template: str, preset: str) -> str:
    name = PurePosixPath(source) if storage.is_remote(source) else Path(source)
    suffix = name.suffix
    stem = name.stem
    if suffix.lower() in ffmpeg.ENDINGS:
        stem, suffix = name.name, ".wav"
    try:
        named = template.format(stem=stem, suffix=suffix, name=stem + suffix, preset=preset)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        fields = " ".join(f"{{{field}}}" for field in FIELDS)
        raise UserError(
            f"the name {template!r} cannot be filled in; it may hold {fields}"
        ) from error
    place = PurePosixPath(below, named)
    if place.is_absolute() or ".." in place.parts or not place.name:
        raise UserError(f"the name {template!r} leads out of the folder {output}")
    if storage.is_remote(output):
        return f"{output.rstrip('/')}/{place}"
    return str(storage.local_path(output) / place)


def _check(jobs: Sequence[Job]) -> None:
    sources = {_real(job.source): job.source for job in jobs}
    taken: dict[str, str] = {}
    for job in jobs:
        target = _real(job.target)
        if target in sources:
            raise UserError(
                f"{job.source}: its output {job.target} would replace an input; "
                "choose another folder, or a --name such as '{stem}-clean{suffix}'"
            )
        if target in taken:
            raise UserError(
                f"{taken[target]} and {job.source} would both become {job.target}; "
                "choose a --name such as '{name}.wav' that keeps them apart"
            )
        taken[target] = job.source


def _real(address: str) -> str:
    if storage.is_remote(address):
        return address
    return os.path.realpath(storage.local_path(address))


def check_template(template: str) -> None:
    """Raise :class:`UserError` if outputs named so could not be written."""
    suffix = Path(template).suffix.lower()
    if suffix and "{" not in suffix and suffix not in FORMATS:
        raise UserError(f"cannot write {suffix!r}; use one of {' '.join(FORMATS)}")
