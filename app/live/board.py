"""What a running engine shows: one writer, any number of viewers in any process, nobody waits.

A board is a piece of memory with five rings (``rings.py``): the sound itself, and rows about every
block, every hop of the bank, every step of the spotter and every keyword. Boards lie in a file that
processes map (``/dev/shm`` where there is one), or in plain memory.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resonance.app.errors import UserError
from resonance.app.live.rings import ALIGN, Ring, SoundRing, fence
from resonance.app.processes import alive
from resonance.app.safe_write import create

_MAGIC = b"resonance board 1\n"
_NAME = "resonance-board"
#: Bytes kept for the facts, which are JSON.
_FACTS = 1 << 16
#: Rows that a ring keeps: about 5 s of blocks, 4 s of hops, 2 s of steps.
BLOCKS, HOPS, STEPS, EVENTS = 512, 512, 64, 64
_ROW_RINGS = ("blocks", "hops", "steps", "events")
#: Running totals in every row about a block.
COUNTERS = (
    "blocks",  # handed over by the devices
    "late_blocks",  # took longer to process than to play
    "input_overflows",
    "input_underflows",
    "output_overflows",
    "output_underflows",
    "ring_empty",
    "ring_full",  # of the bridge between two clocks
    "overloads",  # times the dry sound took over
    "dry_blocks",  # played dry because of that
    "howls",  # times feedback was stopped
    "skipped_samples",  # played over other sound, or dropped, to catch up
    "bad_samples",  # not finite, taken as silence
)


class Board:
    """Rings and facts of a running engine.

    The rings, and the fields of their rows:

    ``sound``
        Samples of input and output.
    ``blocks``
        ``time_s`` of its end, ``samples``, ``busy_s`` of processing; of input and output:
        ``input_low``, ``input_high``, ``input_power`` (mean square), ``output_…`` likewise;
        ``voice`` (0 … 1), ``noise_dbfs``, and the totals in :data:`COUNTERS`.
    ``hops``
        ``time_s``, ``z`` complex [oscillators] at unit peak gain, ``power`` [oscillators] (mean of
        |z|² over the hop), ``gain`` complex [oscillators] that the denoiser chose.
    ``steps``
        Of the spotter: ``time_s``, ``scores`` and ``thresholds [words]``,
        ``settled [heads, tokens, d_osc]``, ``order`` and ``pull [heads, tokens]``,
        ``attention [heads, tokens, tokens]``.
    ``events``
        ``time_s``, ``keyword``, ``score``.

    Parameters
    ----------
    facts
        JSON: at least ``samplerate``, ``oscillators``, ``words`` (names), ``heads``, ``tokens``,
        ``d_osc`` (0 without a spotter) and ``kept_s``, the length of the sound ring; anything else
        viewers should know.
    path
        A new file to share, for this user alone; None: memory of this process.

    Raises
    ------
    UserError
        If there is no room for it at ``path``.
    """

    def __init__(self, facts: Mapping[str, Any], path: Path | None = None) -> None:
        text = json.dumps(facts).encode()
        if len(text) > _FACTS:
            raise ValueError(f"{len(text)} bytes of facts do not fit into {_FACTS}")
        parts = _layout(facts)
        total = sum(_aligned(size) for _, _, _, size in parts) + _FACTS + ALIGN
        self.path = path
        if path:
            _reserve(path, total)
            self._memory = _mapped(path, total)
        else:
            self._memory = np.zeros(total, np.uint8)
        self._memory[ALIGN : ALIGN + len(text)] = np.frombuffer(text, np.uint8)
        self._open(facts)
        fence()
        self._memory[: len(_MAGIC)] = np.frombuffer(_MAGIC, np.uint8)  # whole from here on

    @classmethod
    def attach(cls, path: Path) -> Board:
        """The board that another process shares as ``path``.

        Raises
        ------
        UserError
            If it is gone or no board of this version.
        """
        board = cls.__new__(cls)
        try:
            board._memory = _mapped(path, path.stat().st_size)
        except (OSError, ValueError) as error:
            raise UserError(f"there is no engine behind {path}: {error}") from error
        if board._memory[: len(_MAGIC)].tobytes() != _MAGIC:
            raise UserError(f"{path} is no board of this version; restart the engine")
        fence()
        text = board._memory[ALIGN : ALIGN + _FACTS].tobytes().rstrip(b"\0")
        board.path = path
        try:
            board._open(json.loads(text))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{path} is a damaged board ({error}); restart the engine") from error
        return board

    def _open(self, facts: Mapping[str, Any]) -> None:
        self.facts = dict(facts)
        start = ALIGN + _FACTS
        rings: dict[str, Any] = {}
        for name, dtype, length, size in _layout(facts):
            memory = self._memory[start : start + size]
            rings[name] = (
                SoundRing(memory, length) if dtype is None else Ring(memory, dtype, length)
            )
            start += _aligned(size)
        self.sound: SoundRing = rings["sound"]
        self.blocks: Ring = rings["blocks"]
        self.hops: Ring = rings["hops"]
        self.steps: Ring = rings["steps"]
        self.events: Ring = rings["events"]

    @property
    def beats(self) -> int:
        """How often the engine has looked after itself: it hangs when this no longer grows."""
        return int(self._memory[32:40].view(np.int64)[0])

    def beat(self) -> None:
        """Say that the engine is alive."""
        self._memory[32:40].view(np.int64)[0] += 1

    def counters(self) -> dict[str, int]:
        """The totals so far."""
        row = self.blocks.last()
        return {name: 0 if row is None else int(row[name]) for name in COUNTERS}

    def save(self, path: Path) -> None:
        """Write all that is kept to an ``.npz`` file that :meth:`load` reads."""
        rings = {
            name: getattr(self, name).since() for name in ("blocks", "hops", "steps", "events")
        }
        sound = self.sound.since(0)[1]
        np.savez_compressed(path, facts=json.dumps(self.facts), sound=sound, **rings)

    @classmethod
    def load(cls, path: Path) -> Board:
        """A board as :meth:`save` wrote it, in plain memory; rows are numbered from 0 again.

        Older files call the levels of input and output ``heard_…`` and ``played_…``.
        """
        with np.load(path) as content:
            board = cls(json.loads(str(content["facts"])))
            sound = content["sound"]
            board.sound.put(sound[:, 0], sound[:, 1])
            for name in _ROW_RINGS:
                ring: Ring = getattr(board, name)
                for row in content[name]:
                    place = ring.begin()
                    for field, values in ring.fields.items():
                        old = field.replace("input_", "heard_").replace("output_", "played_")
                        values[place] = row[field if field in row.dtype.names else old]
                    ring.commit()
        return board

    def close(self) -> None:
        """Take the file away; who has it open may go on reading."""
        if self.path:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


def shared_board(facts: Mapping[str, Any]) -> Board:
    """A board that other processes can attach, where there is room for it.

    Raises
    ------
    UserError
        If neither shared memory nor the folder for temporary files has room.
    """
    reasons = []
    for folder in _folders():
        try:
            return Board(facts, new_path(folder))
        except UserError as error:
            reasons.append(str(error))
    raise UserError("; ".join(reasons))


def _folders() -> list[Path]:
    shared, temporary = Path("/dev/shm"), Path(tempfile.gettempdir())
    return [shared, temporary] if os.access(shared, os.W_OK) else [temporary]


def new_path(folder: Path | None = None) -> Path:
    """A name for a shared board; takes away what crashed processes of this user left."""
    folder = folder or _folders()[0]
    for old in folder.glob(f"{_NAME}-*"):
        owner = re.fullmatch(rf"{_NAME}-(\d{{1,10}})-[0-9a-f]{{8}}", old.name)
        if owner and not alive(int(owner[1])):
            with suppress(OSError):
                old.unlink()
    return folder / f"{_NAME}-{os.getpid()}-{secrets.token_hex(4)}"


def _reserve(path: Path, total: int) -> None:
    """A new file of this size whose room is taken: writing to it never fails later.

    Raises
    ------
    UserError
        If there is no room.
    """
    try:
        descriptor = create(path)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, total)
            else:
                os.truncate(descriptor, total)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        os.close(descriptor)
    except OSError as error:
        raise UserError(
            f"{path.parent} has no room for {total / 1e6:.0f} MB of live sound ({error.strerror})"
        ) from error


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _mapped(path: Path, total: int) -> NDArray[np.uint8]:
    with path.open("r+b") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), total), np.uint8)


def _layout(facts: Mapping[str, Any]) -> list[tuple[str, np.dtype[Any] | None, int, int]]:
    """Name, dtype (None for sound), length and bytes of every ring."""
    oscillators, words = int(facts["oscillators"]), len(facts["words"])
    heads, tokens, d_osc = (int(facts[name]) for name in ("heads", "tokens", "d_osc"))
    f4, c8 = np.float32, np.complex64
    levels = [
        (f"{side}_{what}", f4) for side in ("input", "output") for what in ("low", "high", "power")
    ]
    block: list[Any] = [
        ("time_s", "f8"),
        ("samples", "i8"),
        ("busy_s", f4),
        *levels,
        ("voice", f4),
        ("noise_dbfs", f4),
        *((n, "i8") for n in COUNTERS),
    ]
    hop: list[Any] = [
        ("time_s", "f8"),
        ("z", c8, oscillators),
        ("power", f4, oscillators),
        ("gain", c8, oscillators),
    ]
    step: list[Any] = [
        ("time_s", "f8"),
        ("scores", f4, words),
        ("thresholds", f4, words),
        ("settled", f4, (heads, tokens, d_osc)),
        ("order", f4, (heads, tokens)),
        ("pull", f4, (heads, tokens)),
        ("attention", f4, (heads, tokens, tokens)),
    ]
    event: list[Any] = [("time_s", "f8"), ("keyword", "U40"), ("score", f4)]
    kept = max(1, round(facts["kept_s"] * facts["samplerate"]))
    rings = (
        ("blocks", block, BLOCKS),
        ("hops", hop, HOPS),
        ("steps", step, STEPS),
        ("events", event, EVENTS),
    )
    return [
        ("sound", None, kept, SoundRing.size(kept)),
        *(
            (name, np.dtype(fields), length, Ring.size(np.dtype(fields), length))
            for name, fields, length in rings
        ),
    ]
