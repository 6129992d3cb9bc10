import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from resonance.app import config
from resonance.app.cli import main
from resonance.app.errors import UserError
from resonance.app.small_files import MOST_BYTES, read_small

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_text_is_read_through_a_link(tmp_path):
    (tmp_path / "file").write_text("größer\n", encoding="utf-8")
    (tmp_path / "link").symlink_to("file")
    assert read_small(tmp_path / "link") == "größer\n"


def test_reading_ends_whatever_is_there(tmp_path, pipe):
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="no regular file"):
            read_small(path)
    with pytest.raises(IsADirectoryError):
        read_small(tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match="larger than"):
        read_small(tmp_path / "large")


def test_settings_in_a_pipe_are_refused(pipe, monkeypatch):
    monkeypatch.setenv("RESONANCE_CONFIG", str(pipe))
    with pytest.raises(UserError, match="no regular file"):
        config.load(main)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_word_that_is_no_file_holds_nobody(tmp_path, monkeypatch, kind):
    words = tmp_path / "words"
    (words / "marvin").mkdir(parents=True)
    place = words / "marvin" / "word.json"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    monkeypatch.setenv("RESONANCE_WORDS", str(words))
    result = CliRunner().invoke(main, ["enroll", "--list"])
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output
