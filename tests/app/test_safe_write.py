"""Files are private, whole, and never take the place of somebody else's."""

import json
import os
import stat

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from resonance.app import config, safe_write
from resonance.app.cli import main
from resonance.app.errors import UserError
from resonance.app.live.board import Board, new_path
from resonance.app.processes import alive
from resonance.app.text import shown


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "in" / "a.wav"
    path.parent.mkdir()
    soundfile.write(path, 0.1 * np.random.default_rng(3).standard_normal(4000), 16000)
    return path


def test_a_name_that_is_taken_meanwhile_stays(tmp_path):
    target = tmp_path / "a.txt"
    part = safe_write.Part(target)
    os.write(part.descriptor, b"ours")
    target.write_text("theirs")
    with pytest.raises(FileExistsError):
        part.finish()
    assert target.read_text() == "theirs"
    assert part.finish_as_free_name() == tmp_path / "a (2).txt"
    assert (tmp_path / "a (2).txt").read_text() == "ours"
    assert len(list(tmp_path.iterdir())) == 2


def test_files_are_private_and_links_are_not_followed(tmp_path):
    safe_write.write_text(tmp_path / "a", "x")
    assert mode(tmp_path / "a") == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        safe_write.write_text(tmp_path / "link", "x")
    with pytest.raises(OSError, match="symbolic"):
        safe_write.open_to_append(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "a").chmod(0o640)
    safe_write.write_text(tmp_path / "a", "y", overwrite=True)
    assert mode(tmp_path / "a") == 0o640


def test_denoise_replaces_only_when_told(sound, tmp_path):
    target = tmp_path / "out.wav"
    target.write_bytes(b"dear")
    assert "--overwrite" in run("denoise", sound, "-o", target, code=1).output
    assert target.read_bytes() == b"dear"
    run("denoise", sound, "-o", target, "--overwrite")
    assert soundfile.info(target).frames == 4000
    sound.chmod(0o644)
    os.utime(sound, (1e9, 1e9))
    run("denoise", sound, "-o", tmp_path / "kept.wav", "--preserve")
    assert mode(tmp_path / "kept.wav") == 0o644
    assert (tmp_path / "kept.wav").stat().st_mtime == 1e9
    run("denoise", sound, "-o", tmp_path / "private.wav")
    assert mode(tmp_path / "private.wav") == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("pipe.wav", "folder.wav"):
        with pytest.raises(OSError, match="only files are replaced"):
            safe_write.write_text(tmp_path / name, "x", overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "pipe.wav").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder.wav", "pipe.wav"]


def test_a_folder_may_be_called_like_a_file(sound, tmp_path):
    (tmp_path / "takes.wav").mkdir()
    run("denoise", sound, "-o", tmp_path / "takes.wav", "--preset", "live")
    assert (tmp_path / "takes.wav" / sound.name).is_file()


def test_no_output_is_an_input_by_another_name(sound, tmp_path):
    (tmp_path / "out").mkdir()
    os.link(sound, tmp_path / "out" / "b.wav")
    (tmp_path / "b.wav").symlink_to(sound)
    before = sound.read_bytes()
    result = run("denoise", tmp_path / "b.wav", "-o", tmp_path / "out", "--overwrite", code=2)
    assert "is the input" in result.output
    assert sound.read_bytes() == before


def test_files_beside_an_output_are_not_replaced(sound, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.wav.labels.txt").write_text("a day's work")
    arguments = ["batch", sound, "-o", out, "--spot", "--preset", "live", "--processes", 1]
    assert "is there already" in run(*arguments, code=1).output
    assert (out / "a.wav.labels.txt").read_text() == "a day's work"


def test_standard_input_and_output(sound, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["denoise", "-", "-o", "-"], input=sound.read_bytes())
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes[:4] == b"RIFF"
    (tmp_path / "x.wav").write_bytes(result.stdout_bytes)
    assert soundfile.info(tmp_path / "x.wav").frames == 4000
    assert "no standard output" in run("batch", sound, "-o", "-", code=2).output
    assert not (tmp_path / "-").exists()


def test_settings_keep_their_mode_and_link(tmp_path, monkeypatch):
    real, link = tmp_path / "real.toml", tmp_path / "link.toml"
    real.write_text('[live]\ntoken = "hush-hush"\n')
    real.chmod(0o600)
    link.symlink_to(real)
    monkeypatch.setenv("RESONANCE_CONFIG", str(link))
    config.keep_window({"width": 900})
    assert link.is_symlink()
    assert mode(real) == 0o600
    assert "width = 900" in real.read_text()
    shown_text = run("config").output
    assert "hush-hush" not in shown_text
    assert "width = 900" in shown_text


@pytest.mark.parametrize(
    "text", ["[live]\nspot = 1\n", "[denoise]\nlimit-db = nan\n", "a=" + "[" * 5000, "window = 3\n"]
)
def test_settings_that_make_no_sense_are_a_sentence(tmp_path, monkeypatch, text):
    file = tmp_path / "c.toml"
    file.write_text(text)
    monkeypatch.setenv("RESONANCE_CONFIG", str(file))
    result = run("config", code=1)
    assert str(file) in result.output
    assert "Traceback" not in result.output


FACTS = {
    "samplerate": 8000,
    "oscillators": 3,
    "words": [],
    "heads": 0,
    "tokens": 0,
    "d_osc": 0,
    "kept_s": 1.0,
}


def test_a_board_is_private_and_takes_its_room_at_once(tmp_path):
    board = Board(FACTS, tmp_path / "board")
    assert mode(tmp_path / "board") == 0o600
    assert (tmp_path / "board").stat().st_blocks * 512 >= 8 * 8000
    board.close()
    with pytest.raises(UserError, match="no room"):
        Board({**FACTS, "kept_s": 1e12}, tmp_path / "board")
    assert not list(tmp_path.iterdir())


def test_impossible_processes_are_not_alive(tmp_path):
    (tmp_path / f"resonance-board-{10**20}-x").touch()
    new_path(tmp_path)
    assert not any(map(alive, (0, -1, 10**20)))


def test_foreign_text_does_not_act():
    assert shown("a\x1b]0;x\x07\n\u202eb\udcff") == r"a\x1b]0;x\x07\n\u202eb\xff"
    assert shown("Ärger :star: [bold]") == "Ärger :star: [bold]"


def test_names_are_told_as_they_are(tmp_path):
    name = "take :a: \x1b[31m[b].wav"
    soundfile.write(tmp_path / name, np.zeros(800), 16000)
    output = run("denoise", tmp_path / name, "-o", tmp_path / "out").output
    assert r"take :a: \x1b[31m[b].wav → " in output
    (tmp_path / "bad.wav").write_bytes(b"no sound, certainly")
    output = run("denoise", tmp_path / "bad.wav", "-o", tmp_path / "o.wav", code=1).output
    assert ".part" not in output
    assert "b'" not in output


def test_lists_of_every_kind(sound, tmp_path):
    names = [str(sound)]
    for number, content in enumerate(
        (
            "".join(f"{n}\0" for n in names).encode(),
            b"\xef\xbb\xbf" + f"{names[0]}\r\n".encode(),
            f"{names[0]}\r\n".encode("utf-16"),
            f"{names[0]}\n".encode("utf-16-le"),
        )
    ):
        (tmp_path / f"list{number}").write_bytes(content)
        arguments = ["--list", tmp_path / f"list{number}", "-o", tmp_path / "o", "--dry-run"]
        (line,) = run("batch", *arguments, "--json").stdout.splitlines()
        assert json.loads(line)["source"] == names[0]
    for template in ("{stem[a]}", "{stem:>99999999999}", "{", "{stem!r}"):
        result = run("batch", sound, "-o", tmp_path / "o", "--name", template, code=2)
        assert "cannot be filled in" in result.output
