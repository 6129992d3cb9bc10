"""Recording live sound: a thread takes it from the engine's board.

The engine knows nothing of it, and an engine that dies costs a gap, not the recording.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import soundfile

from resonance.app.errors import AudioFileError, WrongUsage
from resonance.app.live.board import Board
from resonance.app.safe_write import Part, rescue
from resonance.app.soundfiles.writer import FORMATS, command, open_part, why
from resonance.dsp.arrays import Float32Array

#: What can be recorded: which columns of the board's sound.
SIDES: dict[str, list[int]] = {"raw": [0], "clean": [1], "both": [0, 1]}
#: How often new sound is written, s.
EACH_S = 0.2
#: How long closing waits for the disk, s.
CLOSE_S = 10.0
#: libsndfile: keep the header up to date, so that a file that is never closed can be read; not
#: needed by containers made for streams.
_UPDATE_HEADER_AUTO = 0x1061
_STREAMS = ("FLAC", "OGG", "MP3")


class HasBoard(Protocol):
    """An engine, here or elsewhere."""

    board: Board | None


class Recorder:
    """Writes an engine's input or output to a file; what was recorded survives a full disk.

    The file gets its name when it is closed. A crash leaves ``NAME.….part``, which the next
    recording in the same folder calls ``NAME.rescued1``.

    Parameters
    ----------
    engine
        Whose sound; it must be listening.
    path
        Target; its ending chooses the format. Must not exist yet.
    what
        "clean", "raw" or "both" (raw left, clean right).
    report
        Called with a sentence if the disk refuses; the recording then ends, the sound does not.

    Raises
    ------
    AudioFileError
        If the file exists, or cannot be made.
    """

    def __init__(
        self, engine: HasBoard, path: Path, what: str, report: Callable[[str], None]
    ) -> None:
        if engine.board is None:
            raise AudioFileError(f"cannot record to {path}: there is no input yet")
        self.path, self.report = path, report
        self.samples = self._lost = 0
        self._engine, self._board = engine, engine.board
        self._columns = SIDES[what]
        self.samplerate = round(self._board.facts["samplerate"])
        rescue(
            path.parent, lambda name: report(f"an earlier recording that never ended is now {name}")
        )
        self._part, self._file = open_new(path, self.samplerate, len(self._columns), visible=True)
        self._next = self._board.sound.count
        self._ended = threading.Event()
        self._refused = False
        self._thread = threading.Thread(target=self._run, name=f"recorder {path}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(EACH_S):
            self._write()
        self._write()
        with suppress(soundfile.LibsndfileError, OSError):
            self._file.close()
        wished = self.path
        try:
            self.path = self._part.finish_as_free_name()
        except OSError as error:
            self.report(f"the recording {wished} has not got its name: {error.strerror}")
        else:
            if self.path != wished:
                self.report(f"{wished} was made by somebody else; the recording is {self.path}")
        if self.lost_s:
            self.report(
                f"{self.path} lacks {self.lost_s:.1f} s of sound: the disk was too slow, or this "
                "computer too busy"
            )

    def _write(self) -> None:
        if self._refused:
            return
        try:
            self._write_from(self._board)
            board = self._engine.board
            if board is not None and board is not self._board:
                self._change_to(board)
        except (soundfile.LibsndfileError, OSError) as error:
            self._refuse(f"the disk refuses: {why(error)}")

    @property
    def lost_s(self) -> float:
        """Sound that was gone before it was written."""
        return float(self._lost / self.samplerate)

    @property
    def refused(self) -> bool:
        """Whether it has ended by itself, and reported why."""
        return self._refused

    def _write_from(self, board: Board) -> None:
        first, sound = board.sound.since(self._next)
        self._lost += first - self._next
        self._next = first + len(sound)
        self._file.write(sound[:, self._columns])
        self.samples += len(sound)

    def _change_to(self, board: Board) -> None:
        """The engine has a new board: go on with that, from its first sample."""
        if round(board.facts["samplerate"]) != self.samplerate:
            self._refuse(f"the samplerate is now {board.facts['samplerate']:g} Hz")
            return
        self._board, self._next = board, 0
        self._write_from(board)

    def _refuse(self, why: str) -> None:
        self._refused = True
        self.report(f"recording to {self.path} ended, {why}")

    def close(self) -> None:
        """Write what is left and give the file its name."""
        self._ended.set()
        self._thread.join(CLOSE_S)


def save_last(board: Board, path: Path, seconds: float, what: str = "clean") -> float:
    """Write the last seconds of sound, as far as they are kept, to a new file; returns how long.

    Parameters
    ----------
    board
        Of the engine or player.
    path
        New file.
    seconds
        How much.
    what
        clean, raw or both.

    Returns
    -------
    float
        Seconds written.

    Raises
    ------
    AudioFileError
        If the file exists, there was no input, or the disk refuses.
    """
    samplerate = round(board.facts["samplerate"])
    sound = board.sound.since(board.sound.count - round(seconds * samplerate))[1]
    if not len(sound):
        raise AudioFileError(f"cannot save to {path}: there is no input yet")
    write_new(path, sound[:, SIDES[what]], samplerate)
    return float(len(sound) / samplerate)


def write_new(path: Path, sound: Float32Array, samplerate: int) -> None:
    """Write ``sound [samples, channels]`` to a new file, whole or not at all.

    Parameters
    ----------
    path
        New file; its ending chooses the container.
    sound
        Full scale 1, [samples, channels].
    samplerate
        Hz.

    Raises
    ------
    AudioFileError
        If the file exists or the disk refuses.
    """
    part, file = open_new(path, samplerate, sound.shape[1])
    try:
        with file:
            file.write(sound)
        part.finish()
    except FileExistsError as error:
        raise AudioFileError(f"{path} exists; recordings never replace a file") from error
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioFileError(f"cannot write {path}: {why(error)}") from error
    finally:
        part.discard()


def check_new(path: Path) -> None:
    """Whether a recording could have this name.

    Raises
    ------
    WrongUsage
        If its ending cannot be written.
    AudioFileError
        If the file exists.
    """
    if path.suffix.lower() not in FORMATS:
        raise WrongUsage(f"{path}: cannot record to that; use one of {' '.join(FORMATS)}")
    if os.path.lexists(path):
        raise AudioFileError(f"{path} exists; recordings never replace a file")


def open_new(
    path: Path, samplerate: int, channels: int, *, visible: bool = False
) -> tuple[Part, soundfile.SoundFile]:
    """A part of what will be called ``path``, and the sound file in it, open for writing.

    Parameters
    ----------
    path
        Its ending chooses the container.
    samplerate
        Hz.
    channels
        How many.
    visible
        Whether people can see the part in the folder.

    Returns
    -------
    tuple[Part, soundfile.SoundFile]
        The part and the open file.

    Raises
    ------
    AudioFileError
        If the name's ending cannot be written, the file exists, or it cannot be made.
    """
    check_new(path)
    ending = path.suffix.lower()
    form = "RF64" if FORMATS[ending] == "WAV" else FORMATS[ending]  # beyond 4 GB
    subtype = "OPUS" if ending == ".opus" else None
    part = None
    try:
        part = Part(path, visible=visible)
        file = open_part(part, samplerate, channels, subtype, form)
    except (soundfile.LibsndfileError, OSError) as error:
        if part:
            part.discard()
        raise AudioFileError(f"cannot record to {path}: {why(error)}") from error
    if form not in _STREAMS:
        command(file, _UPDATE_HEADER_AUTO, 1)  # every write renews the header
    return part, file
