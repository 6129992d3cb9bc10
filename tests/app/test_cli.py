"""The command line others' scripts call."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from resonance.app.cli import main
from resonance.assets import DEMO


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def hiss(tmp_path):
    path = tmp_path / "hiss.wav"
    soundfile.write(path, 0.05 * np.random.default_rng(0).standard_normal(16000), 16000)
    return path


def test_denoise_one_file(hiss, tmp_path):
    result = run("denoise", hiss, "-o", tmp_path / "clean.wav", "--preset", "live", "--json")
    (report,) = lines(result)
    assert report["file"] == str(hiss)
    assert report["output"] == str(tmp_path / "clean.wav")
    assert report["latency_samples"] == 0
    assert report["seconds"] == 1.0
    assert soundfile.info(tmp_path / "clean.wav").frames == 16000


def test_denoise_several_into_a_folder_and_go_on_after_a_bad_one(hiss, tmp_path):
    (tmp_path / "bad.wav").write_text("no")
    folder = tmp_path / "out"
    result = run("denoise", tmp_path / "bad.wav", hiss, "-o", folder, "--json", code=1)
    assert [r["file"] for r in lines(result)] == [str(hiss)]
    assert [p.name for p in folder.iterdir()] == ["hiss.wav"]
    assert "bad.wav cannot be read" in result.stderr
    assert "1 of 2 files failed" in result.stderr


def test_names_that_would_collide_are_refused(hiss, tmp_path):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "hiss.wav"
    other.write_bytes(hiss.read_bytes())
    assert "same name" in run("denoise", hiss, other, "-o", tmp_path / "out", code=2).stderr
    assert "must be a folder" in run("denoise", hiss, other, "-o", "x.wav", code=2).stderr


def test_demo_has_its_words_and_a_picture(tmp_path):
    figure = tmp_path / "resonogram.png"
    result = run(
        "denoise", DEMO, "-o", tmp_path / "clean.flac", "--spot", "--figure", figure, "--json"
    )
    (report,) = lines(result)
    truth = json.loads(DEMO.with_suffix(".json").read_text())
    assert [k["keyword"] for k in report["keywords"]] == [t["keyword"] for t in truth]
    for detected, spoken in zip(report["keywords"], truth, strict=True):
        assert detected["time_s"] == pytest.approx(spoken["end_s"], abs=0.3)
    from matplotlib.image import imread

    assert np.unique(imread(figure).reshape(-1, 4), axis=0).shape[0] > 500, (
        "the picture is not empty"
    )


def test_spot_keeps_its_contract(tmp_path):
    events = lines(run("spot", DEMO, "--json"))
    assert events
    for event in events:
        assert list(event) == ["file", "time_s", "keyword", "score"]
        assert event["file"] == str(DEMO)
        assert 0 < event["score"] <= 1


def test_spot_hears_the_cleaned_sound_too_unless_it_is_to_be_fast():
    usual, fast = (lines(run("spot", DEMO, "--json", *more)) for more in ([], ["--fast"]))
    for events in (usual, fast):
        assert [event["keyword"] for event in events] == ["no", "left", "yes", "right"]
    assert [event["score"] for event in usual] != [event["score"] for event in fast]


def test_spot_hears_nothing_in_noise(hiss):
    assert run("spot", hiss, "--json").stdout == ""
    assert "no keywords" in run("spot", hiss).stdout


def test_an_unknown_preset_is_refused_with_those_there_are(hiss, tmp_path):
    result = run("denoise", hiss, "-o", tmp_path / "x.wav", "--preset", "loud", code=2)
    assert "choose one of: call, live, studio, vowels" in result.stderr


def test_a_rate_out_of_range_does_not_stop_the_others(hiss, tmp_path):
    odd = tmp_path / "odd.wav"
    soundfile.write(odd, np.zeros(3000), 3000)
    result = run("denoise", odd, hiss, "-o", tmp_path / "out", "--json", code=1)
    assert [r["file"] for r in lines(result)] == [str(hiss)]
    assert "odd.wav: samplerate 3000 Hz" in result.stderr


def test_wrong_usage_is_exit_code_2(hiss):
    run("denoise", hiss, code=2)
    run("denoise", hiss, "-o", "x.wav", "--limit-db", -3, code=2)
    for wrong in ("0", "-1", "stop=", "stop=often"):
        run("spot", hiss, "--false-accepts", wrong, code=2)
    assert "no keyword 'stopp'" in run("spot", hiss, "--false-accepts", "stopp=2", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--run", "stpo=true"], "no keyword 'stpo'; there are: yes"),
        (["--run", "stop=no-such-program --now"], "there is no program 'no-such-program'"),
        (["--run", "no-such-program"], "there is no program"),
        (["--run", "stop="], "the command to run is empty"),
        (["--record", "x.docx"], "cannot record to that"),
        (["--record-both", "x"], "cannot record to that"),
        (["--preset", "loud"], "choose one of"),
        (["--osc", "here"], "'here' is no address"),
        (["--mqtt", "broker"], "no address of a broker"),
        (["--false-accepts", "stopp=2"], "no keyword 'stopp'"),
        (["--virtual-mic", "--direction", "out"], "direction out"),
        (["--samplerate", "1"], "'--samplerate': 1.0 is not in the range 4000<=x<=192000"),
        (["--no-spot", "--run", "true"], "--no-spot finds no keywords"),
    ],
)
def test_live_refuses_wrong_usage_before_it_listens(arguments, complaint, monkeypatch):
    monkeypatch.setenv("PULSE_SERVER", "unix:/nowhere")
    assert complaint in run("live", *arguments, code=2).stderr


def test_a_folder_is_left_to_batch(tmp_path):
    (tmp_path / "talks").mkdir()
    result = run("denoise", tmp_path / "talks", "-o", tmp_path / "out", code=2)
    assert f"resonance batch {tmp_path / 'talks'} -o {tmp_path / 'out'}" in result.stderr


def test_files_get_the_best_preset_unless_told_otherwise(hiss, tmp_path):
    (report,) = lines(run("denoise", hiss, "-o", tmp_path / "clean.wav", "--json"))
    assert report["latency_samples"] == 320, "studio looks 20 ms ahead"


def test_a_terminal_sees_per_cent_and_the_time_left(tmp_path):
    soundfile.write(tmp_path / "long.flac", np.zeros(16000 * 60), 16000)
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = ["-m", "resonance", "denoise", "long.flac", "-o", "clean.flac"]
    program = subprocess.Popen(
        [sys.executable, *command], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is closed
        while part := os.read(master, 4096):
            shown += part
    os.close(master)
    assert program.wait(60) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"cleaning long.flac .*[1-9]\d?% 0:00:\d\d left", text), text[-500:]


@pytest.mark.parametrize("output", ["/dev/null/x.wav", "x" * 300 + ".wav", "/proc/x.wav"])
def test_outputs_that_cannot_be_are_refused_with_a_sentence(hiss, output):
    result = run("denoise", hiss, "-o", output, code=1)
    assert "cannot be written" in result.stderr
    assert not isinstance(result.exception, OSError)


def test_pictures_that_cannot_be_drawn_are_refused_before_the_work(hiss, tmp_path):
    target = tmp_path / "clean.wav"
    result = run("denoise", hiss, "-o", target, "--figure", tmp_path / "x.gif", code=2)
    assert "must end in one of .png" in result.stderr
    assert not target.exists()


def test_info_has_what_a_bug_report_needs():
    (facts,) = lines(run("info", "--json"))
    assert {"resonance", "python", "packages", "models", "audio"} <= facts.keys()
    assert {m["kind"] for m in facts["models"]} == {"denoiser", "keywords"}


def test_help_shows_every_command_once_in_a_section_with_examples():
    text = run("--help").output
    for name in main.commands:
        assert len(re.findall(rf"^  {name}  ", text, re.MULTILINE)) == 1, name
    assert "Keywords:" in text
    assert "resonance live --virtual-mic" in text.split("Examples:")[1]


def test_training_is_reachable():
    assert "--data" in run("train", "denoiser", "--help").output
    assert "--checkpoint" in run("export", "keywords", "--help").output
    assert "denoiser" in run("train", "--help").output
    assert (
        "not a folder"
        in run("train", "denoiser", "--data", "/nowhere", "--work", "w", code=1).output
    )
