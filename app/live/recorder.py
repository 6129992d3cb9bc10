"""Recording live sound: a thread writes what the audio callback hands over."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import soundfile

from app.audiofile import FORMATS
from app.errors import AudioFileError
from app.sessions import Float32Array

#: Blocks that may wait for the disk; more are lost and counted.
WAITING = 4096
#: How long closing waits for the disk, s.
CLOSE_S = 10.0


class Recorder:
    """Writes blocks to a file as they come; what was recorded survives a full disk.

    The file is called ``NAME.part`` until it is closed: a crash leaves that, a plain end NAME.

    Parameters
    ----------
    path
        Target; its ending chooses the format. Must not exist yet.
    samplerate, channels
        Of the blocks.
    tell
        Called with a sentence if the disk refuses; the recording then ends, the sound does not.

    Raises
    ------
    AudioFileError
        If the file exists, or cannot be made.
    """

    def __init__(
        self, path: Path, samplerate: float, channels: int, tell: Callable[[str], None]
    ) -> None:
        ending = path.suffix.lower()
        if ending not in FORMATS:
            raise AudioFileError(f"{path}: cannot record to that; use one of {' '.join(FORMATS)}")
        if path.exists():
            raise AudioFileError(f"{path} exists; recordings never replace a file")
        self.path, self.tell = path, tell
        self.samples = self.lost_blocks = 0
        self._part = path.with_name(f"{path.name}.part")
        self._rate = round(samplerate)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            form = "RF64" if FORMATS[ending] == "WAV" else FORMATS[ending]  # beyond 4 GB
            subtype = "OPUS" if ending == ".opus" else None
            self._file = soundfile.SoundFile(
                os.fsencode(self._part), "w", self._rate, channels, subtype, format=form
            )
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioFileError(f"cannot record to {path}: {error}") from error
        self._blocks: queue.Queue[Float32Array | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name=f"recorder {path}", daemon=True)
        self._thread.start()

    def put(self, block: Float32Array) -> None:
        """Hand over a block [samples, channels]; it is copied, and this never waits."""
        try:
            self._blocks.put_nowait(block.copy())
        except queue.Full:
            self.lost_blocks += 1

    def _run(self) -> None:
        refused = ""
        while (block := self._blocks.get()) is not None:
            if refused:
                continue
            try:
                self._file.write(block)
                self.samples += len(block)
            except (soundfile.LibsndfileError, OSError) as error:
                refused = str(error)
                self.tell(f"recording to {self.path} ended, the disk refuses: {error}")
        with suppress(soundfile.LibsndfileError, OSError):
            self._file.close()
        try:
            os.rename(self._part, self.path)
        except OSError as error:
            self.tell(f"the recording stays at {self._part}: {error.strerror}")

    def close(self) -> None:
        """Write what is left and give the file its name."""
        with suppress(queue.Full):
            self._blocks.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)
