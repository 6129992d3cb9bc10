"""Recording while live: nothing lost, nothing half-written, full disks survived."""

import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from app.recorder import Recorder

from app.audiofile import blocks, open_audio
from app.errors import AudioFileError


@pytest.mark.parametrize(("name", "tolerance"), [("a.wav", 1e-4), ("a.flac", 1e-4), ("a.ogg", 0.1)])
def test_what_is_put_is_there(tmp_path, rng, name, tolerance):
    sound = (0.1 * rng.standard_normal((48000, 2))).astype(np.float32)
    told = []
    recorder = Recorder(tmp_path / name, 48000, 2, told.append)
    block = np.empty((480, 2), np.float32)
    for start in range(0, len(sound), 480):
        block[:] = sound[start : start + 480]
        recorder.put(block)  # the same array again and again, as the callback does
    assert not (tmp_path / name).exists()
    recorder.close()
    written, samplerate = soundfile.read(tmp_path / name)
    assert samplerate == 48000
    assert np.sqrt(np.mean((written - sound) ** 2)) < tolerance
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_no_file_is_replaced(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"dear")
    with pytest.raises(AudioFileError, match="never replace"):
        Recorder(tmp_path / "a.wav", 48000, 1, print)
    with pytest.raises(AudioFileError, match="use one of"):
        Recorder(tmp_path / "a.txt", 48000, 1, print)
    with pytest.raises(AudioFileError, match="cannot record"):
        Recorder(tmp_path / "a.wav" / "b.wav", 48000, 1, print)
    assert (tmp_path / "a.wav").read_bytes() == b"dear"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_full_disk_ends_the_recording_and_keeps_what_there_is(tmp_path, name):
    code = (
        "import resource, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from app.recorder import Recorder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "recorder = Recorder(Path(sys.argv[1]), 48000, 1, print)\n"
        "rng = np.random.default_rng(0)\n"
        "for _ in range(400):\n"
        "    recorder.put(0.1 * rng.standard_normal((480, 1)).astype(np.float32))\n"
        "recorder.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / name)], capture_output=True, text=True
    )
    assert done.stdout.count("the disk refuses") == 1, done.stderr
    with open_audio(tmp_path / name) as file:
        found = []
        with suppress(AudioFileError):  # the last frame may be cut in two
            found.extend(blocks(file, tmp_path / name))
    written = np.concatenate(found)
    assert 0.1 * 48000 < len(written) < 4 * 48000
    assert 0.08 < np.std(written[:4800]) < 0.12
