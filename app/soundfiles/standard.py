"""Standard input and output as sound files: ``-`` on the command line."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.safe_write import create

#: What means both on the command line.
DASH = Path("-")
#: What standard output can be: the container it is made of. Raw sound has none.
FORMATS = {"wav": ".wav", "w64": ".w64", "raw": ".w64"}
#: Samples of raw sound, little-endian, as ffmpeg calls them: their subtype.
ENCODINGS = {"s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT", "f64": "DOUBLE"}


@dataclass(frozen=True)
class RawSound:
    """What raw sound does not say of itself."""

    samplerate: int  #: Hz
    channels: int
    subtype: str = "PCM_16"


@contextmanager
def standard_input(raw: RawSound | None = None) -> Iterator[Path]:
    """All that comes on standard input as a file of this user alone, for a while.

    Parameters
    ----------
    raw
        What the samples are, where they come without a header.

    Raises
    ------
    AudioFileError
        If there is nothing, or no room for it.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise AudioFileError("- is standard input: lead a sound file into it (… | resonance …)")
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        path = Path(folder) / "standard input"
        try:
            with os.fdopen(create(path), "wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            path = _with_header(path, raw) if raw else path
        except (OSError, soundfile.LibsndfileError) as error:
            reason = getattr(error, "strerror", None) or error
            raise AudioFileError(f"standard input cannot be read: {reason}") from error
        yield path


def _with_header(samples: Path, raw: RawSound) -> Path:
    """Raw samples as a file that says what they are."""
    kind = {"samplerate": raw.samplerate, "channels": raw.channels, "subtype": raw.subtype}
    path = samples.with_suffix(".w64")
    exact = "float64" if raw.subtype == "DOUBLE" else "int32"
    exact = "float32" if raw.subtype == "FLOAT" else exact
    with soundfile.SoundFile(samples, format="RAW", endian="LITTLE", **kind) as source:
        os.close(create(path))
        with soundfile.SoundFile(path, "w", format="W64", **kind) as target:
            for block in source.blocks(1 << 16, dtype=exact):
                target.write(block)
    samples.unlink()
    return path


@contextmanager
def standard_output(form: str = "wav") -> Iterator[Path]:
    """Where to write a sound file that goes to standard output once it is whole.

    Parameters
    ----------
    form
        One of :data:`FORMATS`. Raw sound is the samples alone, little-endian, in the subtype of
        the source where it has one that W64 can hold, else of 16 bits.

    Raises
    ------
    AudioFileError
        If standard output is a terminal.
    """
    if sys.stdout is None or sys.stdout.isatty():
        raise AudioFileError("- is standard output: lead it into a file or program (… | aplay)")
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        path = Path(folder) / f"standard output{FORMATS[form]}"
        yield path
        if path.exists():
            _pass_on(path, form)


def _pass_on(path: Path, form: str) -> None:
    # Here alone: every command imports this module for its options.
    from resonance.app.soundfiles.chunks import W64
    from resonance.app.soundfiles.sound_extent import sound_extent

    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size
        if form == "raw" and (extent := sound_extent(file, W64)):
            file.seek(extent.start)
            left = extent.there
        while part := file.read(min(left, 1 << 20)):
            sys.stdout.buffer.write(part)
            left -= len(part)
    sys.stdout.buffer.flush()
