"""Recording while live: nothing lost, nothing half-written, full disks and crashes survived."""

import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from resonance.app.errors import AudioFileError, WrongUsage
from resonance.app.live.board import Board
from resonance.app.live.recorder import Recorder, save_last, write_new
from resonance.app.soundfiles.reader import open_sound
from tests.app.live.conftest import facts


def put(board, sound):
    """Blocks, as the engine does: input, and output half as loud."""
    for start in range(0, len(sound), 480):
        block = sound[start : start + 480]
        board.sound.put(block, block / 2)


@pytest.fixture
def sound(rng):
    return (0.1 * rng.standard_normal(48000)).astype(np.float32)


@pytest.mark.parametrize(("name", "tolerance"), [("a.wav", 1e-4), ("a.flac", 1e-4), ("a.ogg", 0.1)])
@pytest.mark.parametrize("what", ["raw", "clean", "both"])
def test_what_comes_in_is_recorded(board, tmp_path, sound, name, tolerance, what):
    told = []
    put(board, sound)  # before the recording begins
    recorder = Recorder(SimpleNamespace(board=board), tmp_path / name, what, told.append)
    put(board, sound)
    assert not (tmp_path / name).exists()
    recorder.close()
    written, samplerate = soundfile.read(tmp_path / name, always_2d=True)
    assert samplerate == 48000
    columns = {"raw": [sound], "clean": [sound / 2], "both": [sound, sound / 2]}[what]
    assert np.sqrt(np.mean((written - np.stack(columns, 1)) ** 2)) < tolerance
    assert told == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_it_goes_on_with_another_engine_and_ends_with_another_samplerate(board, tmp_path, sound):
    told = []
    engine = SimpleNamespace(board=board)
    recorder = Recorder(engine, tmp_path / "a.wav", "raw", told.append)
    put(board, sound)
    engine.board = Board(facts())
    put(engine.board, sound)
    time.sleep(0.5)
    engine.board = Board(facts(samplerate=44100))
    put(engine.board, sound)
    recorder.close()
    assert soundfile.info(tmp_path / "a.wav").frames == 2 * len(sound)
    assert "44100 Hz" in told[0]


def test_the_last_seconds_can_be_saved_afterwards(board, tmp_path, sound):
    with pytest.raises(AudioFileError, match="there is no input yet"):
        save_last(board, tmp_path / "a.flac", 1.0)
    put(board, sound)
    assert save_last(board, tmp_path / "a.flac", 0.25) == 0.25
    written, _ = soundfile.read(tmp_path / "a.flac")
    np.testing.assert_allclose(written, sound[-12000:] / 2, atol=1e-4)
    assert save_last(board, tmp_path / "b.flac", 9.0, "both") == 1.0
    with pytest.raises(AudioFileError, match="never replace"):
        save_last(board, tmp_path / "a.flac", 1.0)


def test_no_file_is_replaced(board, tmp_path):
    engine = SimpleNamespace(board=board)
    (tmp_path / "a.wav").write_bytes(b"dear")
    with pytest.raises(AudioFileError, match="never replace"):
        Recorder(engine, tmp_path / "a.wav", "raw", print)
    with pytest.raises(WrongUsage, match="use one of"):
        Recorder(engine, tmp_path / "a.txt", "raw", print)
    with pytest.raises(AudioFileError, match="cannot record"):
        Recorder(engine, tmp_path / "a.wav" / "b.wav", "raw", print)
    assert (tmp_path / "a.wav").read_bytes() == b"dear"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_recording_goes_through_no_link(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for name in ("take.flac", "take.flac.part", ".take.flac.part"):
        (tmp_path / name).symlink_to(elsewhere)
    sound = np.zeros((480, 1), np.float32)
    with pytest.raises(AudioFileError, match="never replace"):
        write_new(tmp_path / "take.flac", sound, 48000)
    (tmp_path / "take.flac").unlink()
    write_new(tmp_path / "take.flac", sound, 48000)
    assert not elsewhere.exists()
    assert not (tmp_path / "take.flac").is_symlink()
    assert (tmp_path / "take.flac").stat().st_mode & 0o777 == 0o600


CODE = """
import resource, signal, sys, time
import numpy as np
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, ".")
from resonance.app.live.board import Board
from resonance.app.live.recorder import Recorder
from tests.app.live.conftest import facts

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
board = Board(facts(kept_s=10.0))
recorder = Recorder(SimpleNamespace(board=board), Path(sys.argv[1]), "raw", print)
rng = np.random.default_rng(0)
for _ in range(400):
    board.sound.put(*(0.1 * rng.standard_normal((2, 480))).astype(np.float32))
    time.sleep(0.002)
if sys.argv[2] == "crash":
    time.sleep(0.5)
    signal.raise_signal(signal.SIGKILL)
recorder.close()
"""


def read_as_far_as_it_goes(path):
    with open_sound(path) as file:
        return np.concatenate(list(file.blocks()))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_full_disk_ends_the_recording_and_keeps_what_there_is(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / name), "full"], capture_output=True, text=True
    )
    assert done.stdout.count("the disk refuses") == 1, done.stderr
    written = read_as_far_as_it_goes(tmp_path / name)
    assert 0.1 * 48000 < len(written) < 4 * 48000
    assert 0.08 < np.std(written[:4800]) < 0.12


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_crash_keeps_what_was_written_and_the_next_recording_leaves_it(board, tmp_path, name):
    subprocess.run([sys.executable, "-c", CODE, str(tmp_path / name), "crash"])
    (part,) = tmp_path.glob(f"{name}.*.part")
    assert part.stat().st_mode & 0o777 == 0o600
    assert len(read_as_far_as_it_goes(part)) > 3.5 * 48000
    told = []
    recorder = Recorder(SimpleNamespace(board=board), tmp_path / name, "raw", told.append)
    recorder.close()
    ending = name.rsplit(".", 1)[1]
    assert "never ended is now" in told[0]
    assert len(read_as_far_as_it_goes(tmp_path / f"a.rescued1.{ending}")) > 3.5 * 48000


def test_sound_that_came_too_fast_is_reported(board, tmp_path, sound):
    """A disk that stands still for longer than sound is kept."""
    told = []
    recorder = Recorder(SimpleNamespace(board=board), tmp_path / "a.wav", "raw", told.append)
    while not recorder.lost_s:
        put(board, sound)
    recorder.close()
    assert len(told) == 1
    assert told[0].startswith(f"{tmp_path / 'a.wav'} lacks ")
