"""Which files a batch takes, and where each output goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Hashable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from string import Formatter

from resonance.app.batch import storage
from resonance.app.batch.settings import BatchJob
from resonance.app.batch.worker import readable_endings
from resonance.app.errors import UserError, WrongUsage
from resonance.app.safe_write import identity
from resonance.app.soundfiles.writer import FORMATS, writable_name

#: What a name template may hold.
FIELDS = ("stem", "suffix", "name", "folder", "preset")

#: A source, its folders below the input that it came from, and its size in bytes.
Found = tuple[str, PurePosixPath, int]


def plan(
    inputs: Sequence[str],
    output: str,
    *,
    template: str = "{stem}{suffix}",
    preset: str = "",
    made: Collection[str] = (),
) -> list[BatchJob]:
    """Every file to clean and where it goes, in the order of their names.

    Parameters
    ----------
    inputs
        Files, folders (taken with all below them), patterns, and addresses such as ``s3://…``.
    output
        Folder, or address of one. Folders below an input folder are kept.
    template
        Name of each output: ``{stem}``, ``{suffix}`` with its dot, ``{name}`` (both together),
        ``{preset}``, and folders if wanted. ``{folder}`` is all folders of the source, in place
        of those below the input.
    made
        What earlier runs made; below ``output`` it is no input.

    Returns
    -------
    list[BatchJob]
        In the order of their names.

    Raises
    ------
    UserError
        If an input is missing, the template makes no sense, outputs would meet, or an output
        would replace an input.
    """
    output = storage.absolute(output)
    jobs: dict[str, BatchJob] = {}
    for source, below, size in _found(inputs, output):
        if source in made and _lies_in(source, output):
            continue
        target = _target(source, below, output, template, preset)
        jobs.setdefault(source, BatchJob(source, target, size))
    ordered = sorted(jobs.values(), key=lambda job: job.source)
    _check(ordered)
    return ordered


def from_list(content: bytes) -> list[str]:
    """The inputs named in a list, one a line or, as ``find -print0`` writes them, after each NUL.

    Raises
    ------
    UserError
        If it is neither UTF-8 nor UTF-16.
    """
    wide = content[1::2].count(0) > len(content) // 4 or content[::2].count(0) > len(content) // 4
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = content.decode("utf-16")
        elif wide and len(content) > 2:
            text = content.decode("utf-16-le" if content[1] == 0 else "utf-16-be")
        else:
            text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    except UnicodeDecodeError as error:
        raise UserError(f"the list of inputs is damaged UTF-16 ({error.reason})") from error
    lines = text.split("\0") if "\0" in text else text.split("\n")
    return [line.rstrip("\r\n") for line in lines if line.strip()]


def _found(inputs: Sequence[str], output: str) -> Iterator[Found]:
    endings = readable_endings()
    for named in inputs:
        path = Path(storage.absolute(named))
        if storage.is_remote(named):
            yield from _remote(named, output, endings)
        elif os.path.isdir(path):
            yield from _folder(path, output, endings)
        elif glob.has_magic(named) and not os.path.exists(path):
            yield from _matches(str(storage.local_path(named)), output)
        else:
            yield str(path), PurePosixPath(), _size(path)


def _remote(address: str, output: str, endings: frozenset[str]) -> Iterator[Found]:
    found = storage.listed(address)
    root = address.rstrip("/")
    inner = _lies_in(output, root)
    for source, size in found:
        if len(found) == 1 and source == address:
            yield source, PurePosixPath(), size
        elif inner and _lies_in(source, output):
            continue
        elif PurePosixPath(source).suffix.lower() in endings:
            yield source, PurePosixPath(source.removeprefix(f"{root}/")).parent, size


def _matches(pattern: str, output: str) -> Iterator[Found]:
    """The files that fit a pattern, without those in an outputs' folder that it reaches into."""
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise UserError(f"no file fits the pattern {pattern!r}")
    root = Path(os.path.abspath(_fixed_part(pattern)))
    inner = _lies_in(output, str(root))
    for match in map(Path, map(os.path.abspath, matches)):
        if not os.path.isdir(match) and not (inner and _lies_in(str(match), output)):
            yield str(match), _below(match, root), _size(match)


def _folder(root: Path, output: str, endings: frozenset[str]) -> Iterator[Found]:
    for path in _walk(root, _identity(output), endings):
        yield str(path), _below(path, root), _size(path)


def _walk(
    folder: Path, output: Hashable, endings: frozenset[str], above: tuple[Hashable, ...] = ()
) -> Iterator[Path]:
    """All sound below a folder; hidden files and the outputs' own folder are left out.

    Links to folders are followed, but never round in a circle. A folder that cannot be listed,
    or is called like sound with nothing in it, is listed itself: it will be reported as a failure.
    """
    here = _identity(str(folder))
    if here in above or (above and here == output):
        return
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        yield folder
        return
    if not names and folder.suffix.lower() in endings:
        yield folder
    for name in names:
        path = folder / name
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _walk(path, output, endings, (*above, here))
        elif path.suffix.lower() in endings:
            yield path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # what cannot be read is reported when its turn comes
        return 0


def _lies_in(address: str, folder: str) -> bool:
    """Whether it is below a folder, both from the root or addresses."""
    if storage.is_remote(address) or storage.is_remote(folder):
        return address.startswith(folder.rstrip("/") + "/")
    return address != folder and Path(address).is_relative_to(folder)


def _identity(address: str) -> Hashable:
    """The same for all spellings of a file: a link, a disk's other letters, a place twice there."""
    if storage.is_remote(address):
        return address
    return identity(Path(address))


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
    is_folder = not storage.is_remote(source) and os.path.isdir(source)
    written = PurePosixPath(name.name if is_folder else writable_name(Path(name)))
    stem, suffix = written.stem, written.suffix
    _check_fields(template)
    named = template.format(
        stem=stem, suffix=suffix, name=stem + suffix, folder=_folders(source), preset=preset
    )
    place = PurePosixPath(named) if "{folder}" in template else PurePosixPath(below, named)
    if place.is_absolute() or ".." in place.parts or not place.name:
        raise WrongUsage(f"the name {template!r} leads out of the folder {output}")
    if storage.is_remote(output):
        return f"{output.rstrip('/')}/{place}"
    return str(Path(output) / place)


def _folders(source: str) -> str:
    """All folders of a source, from the root of its disk or storage."""
    if storage.is_remote(source):
        return str(PurePosixPath(source.partition("://")[2]).parent)
    folder = Path(source).parent
    return folder.relative_to(folder.anchor).as_posix()


def _check(jobs: Sequence[BatchJob]) -> None:
    sources = {_identity(job.source) for job in jobs}
    taken: dict[str, str] = {}
    for job in jobs:
        if _identity(job.target) in sources:
            raise UserError(
                f"{job.source}: its output {job.target} would replace an input; "
                "choose another folder, or a --name such as '{stem}-clean{suffix}'"
            )
        place = job.target if storage.is_remote(job.target) else os.path.realpath(job.target)
        if place in taken:
            raise UserError(
                f"{taken[place]} and {job.source} would both become {job.target}; "
                "--name '{folder}/{name}' keeps them apart"
            )
        taken[place] = job.source


def check_template(template: str) -> None:
    """Raise :class:`WrongUsage` if outputs named so could not be written."""
    _check_fields(template)
    suffix = Path(template).suffix.lower()
    if suffix and "{" not in suffix and suffix not in FORMATS:
        raise WrongUsage(f"cannot write {suffix!r}; use one of {' '.join(FORMATS)}")


def _check_fields(template: str) -> None:
    try:
        parts = list(Formatter().parse(template))
        plain = all(
            field is None or (field in FIELDS and not spec and conversion is None)
            for _, field, spec, conversion in parts
        )
    except ValueError:
        plain = False
    if not plain or "\0" in template:
        fields = " ".join(f"{{{field}}}" for field in FIELDS)
        raise WrongUsage(f"the name {template!r} cannot be filled in; it may hold {fields}")
