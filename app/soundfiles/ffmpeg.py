"""What libsndfile cannot read, ffmpeg may: decoded beside, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resonance.app.errors import AudioFileError

#: Endings of files that only ffmpeg reads; taken from folders like those of libsndfile.
ENDINGS = frozenset(
    [
        ".3gp",
        ".aac",
        ".ac3",
        ".amr",
        ".ape",
        ".asf",
        ".avi",
        ".dsf",
        ".dts",
        ".eac3",
        ".m4a",
        ".m4b",
        ".m4v",
        ".mka",
        ".mkv",
        ".mov",
        ".mp2",
        ".mp4",
        ".mpc",
        ".mpeg",
        ".mpg",
        ".oma",
        ".spx",
        ".tak",
        ".ts",
        ".tta",
        ".webm",
        ".wma",
        ".wmv",
        ".wv",
    ]
)
#: What it may take files for: containers of sound and film. Never playlists or scripts, which
#: lead to other files and addresses.
FORMATS = (
    "3dostr,aa,aac,ac3,adx,aiff,alaw,amr,amrnb,amrwb,ape,aptx,asf,ast,au,avi,brstm,caf,codec2,"
    "daud,dsf,dts,dtshd,eac3,flac,flv,g722,g726,gsm,iff,ivf,kux,live_flv,lxf,matroska,webm,mlp,mmf,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mulaw,mxf,nistsphere,nut,ogg,oma,paf,pvf,qcp,"
    "rm,rso,sbc,sds,sln,smjpeg,sox,spdif,svag,swf,tak,truehd,tta,voc,vqf,w64,wav,wsd,wtv,wv,xa,xwma"
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
    with tempfile.TemporaryDirectory(prefix="resonance-") as folder:
        sound = Path(folder) / "sound.wav"
        done = subprocess.run(
            [
                "ffmpeg",
                "-nostdin",
                "-v",
                "error",
                "-protocol_whitelist",
                "file",
                "-format_whitelist",
                FORMATS,
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
        message = done.stderr.decode(errors="replace").replace(str(path), path.name)
        last = message.strip().splitlines()[-1:]
        if done.returncode or not sound.exists():
            raise AudioFileError(
                f"{path} cannot be read by ffmpeg: {last[0] if last else 'it holds no sound'}"
            )
        yield sound, [f"{path} may be damaged; ffmpeg says: {line}" for line in last]
