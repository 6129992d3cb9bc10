"""What libsndfile cannot read, ffmpeg may: decoded beside, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resonance.app.errors import AudioFileError

#: Endings that are left to ffmpeg.
ENDINGS = frozenset(
    {
        ".3gp",
        ".aac",
        ".ac3",
        ".amr",
        ".ape",
        ".avi",
        ".dts",
        ".m4a",
        ".m4b",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".ts",
        ".tta",
        ".webm",
        ".wma",
        ".wmv",
        ".wv",
    }
)
#: Subtype of outputs whose sources have none that libsndfile knows.
SUBTYPE = "PCM_24"


def is_installed() -> bool:
    """Whether there is an ffmpeg to call."""
    return shutil.which("ffmpeg") is not None


@contextmanager
def decoded(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The first sound track of ``path`` as a WAV file of floats, for a while; and warnings.

    Raises
    ------
    AudioFileError
        If there is no ffmpeg, or it finds no sound.
    """
    if not is_installed():
        raise AudioFileError(f"{path} needs ffmpeg to be read; install it, or convert the file")
    if not path.is_file():
        raise AudioFileError(f"{path} is not a file" if path.exists() else f"{path} does not exist")
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        sound = Path(folder) / "sound.wav"
        done = subprocess.run(
            [
                "ffmpeg",
                "-nostdin",
                "-v",
                "error",
                "-i",
                f"file:{path}",
                "-map",
                "0:a:0",
                "-c:a",
                "pcm_f32le",
                "-rf64",
                "auto",
                str(sound),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        if done.returncode:
            reason = said[0] if said else "no reason given"
            raise AudioFileError(f"{path} cannot be read by ffmpeg: {reason}")
        yield sound, [f"{path} may be damaged; ffmpeg says: {line}" for line in said]
