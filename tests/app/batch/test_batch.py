"""Whole folders through the command: kept, resumed, never damaged."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile

from resonance.app.batch.plan import plan
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import clean_file
from resonance.app.errors import UserError
from resonance.app.files import denoise_file
from resonance.app.pipeline import Pipeline
from tests.app.batch.conftest import COMMAND, batch, contents, lines, write_noise


def test_a_folder_keeps_its_shape_and_every_file_its_own(folder, tmp_path, studio):
    before = contents(folder)
    done = batch(folder, "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert contents(folder) == before
    *outcomes, last = lines(done)
    assert last["summary"]["done"] == 3
    for name in ("a.wav", "sub/b.flac", "sub/deep/c.ogg"):
        there, here = soundfile.info(folder / name), soundfile.info(tmp_path / "out" / name)
        for fact in ("samplerate", "channels", "frames", "subtype", "format"):
            assert getattr(there, fact) == getattr(here, fact), fact
    (first,) = [o for o in outcomes if o["source"].endswith("a.wav")]
    assert first["levels"]["after"]["noise_db"] < first["levels"]["before"]["noise_db"] - 6
    assert first["seconds"] == 0.5

    denoise_file(
        folder / "a.wav",
        tmp_path / "one.wav",
        lambda rate, channels: Pipeline(rate, channels, denoiser=studio),
    )
    streamed, _ = soundfile.read(tmp_path / "one.wav")
    batched, _ = soundfile.read(tmp_path / "out" / "a.wav")
    np.testing.assert_allclose(batched, streamed, rtol=0, atol=1e-6)


def test_names_subtypes_lists_and_patterns(folder, tmp_path):
    (tmp_path / "list.txt").write_text(f"{folder}/sub/b.flac\n\n{folder}/**/*.wav\n")
    done = batch(
        "--list",
        tmp_path / "list.txt",
        "-o",
        tmp_path / "out",
        "--name",
        "{preset}/{stem}-x.wav",
        "--subtype",
        "FLOAT",
        "--preset",
        "live",
        "--limit-db",
        6,
        "--no-report",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert set(contents(tmp_path / "out")) == {"live/a-x.wav", "live/b-x.wav"}
    assert soundfile.info(tmp_path / "out/live/b-x.wav").subtype == "FLOAT"
    sound, _ = soundfile.read(tmp_path / "out/live/a-x.wav")
    assert 20 * np.log10(sound[2000:].std() / 0.1) == pytest.approx(-6, abs=1)


def test_keywords_lie_beside_each_file(tmp_path, demo):
    noisy, _, samplerate = demo
    soundfile.write(tmp_path / "in.flac", noisy[: 9 * samplerate], samplerate)
    done = batch(tmp_path / "in.flac", "-o", tmp_path / "out", "--spot")
    assert done.returncode == 0, done.stderr
    beside = tmp_path / "out" / "in.flac.keywords.jsonl"
    events = [json.loads(line) for line in beside.read_text().splitlines()]
    assert [e["keyword"] for e in events] == ["no", "left"]
    srt = (tmp_path / "out" / "in.flac.srt").read_text()
    assert srt.startswith("1\n00:00:03,")
    assert "\nno\n" in srt
    start, end, word = (tmp_path / "out" / "in.flac.labels.txt").read_text().split("\n")[1].split()
    assert word == "left"
    assert float(start) < float(end) == events[1]["time_s"]


def test_resume_does_only_what_changed(folder, tmp_path):
    out = tmp_path / "out"
    assert batch(folder, "-o", out).returncode == 0
    first = contents(out)
    write_noise(folder / "a.wav", seconds=0.3)
    os.utime(folder / "sub" / "b.flac")  # touched, but the same
    (out / "sub" / "deep" / "c.ogg").unlink()
    shown = batch(folder, "-o", out, "--resume", "--dry-run", "--json")
    assert [line["to_do"] for line in lines(shown)] == [True, False, True]
    *outcomes, last = lines(batch(folder, "-o", out, "--resume", "--json"))
    assert {o["source"].rsplit("/", 1)[1] for o in outcomes} == {"a.wav", "c.ogg"}
    assert last["summary"]["skipped"] == 1
    again = contents(out)
    assert again["sub/b.flac"] == first["sub/b.flac"]
    assert len(again["a.wav"]) < len(first["a.wav"])
    *outcomes, _ = lines(batch(folder, "-o", out, "--resume", "--json", "--preset", "live"))
    assert len(outcomes) == 3


def test_dry_run_does_nothing(folder, tmp_path):
    done = batch(folder, "-o", tmp_path / "out", "--dry-run")
    assert done.returncode == 0
    assert "3 of 3 files to do" in done.stdout
    assert not (tmp_path / "out").exists()


def damage(folder, count, rng):
    """So many damaged inputs, of every kind."""
    whole = write_noise(folder / "whole.wav", seconds=1).read_bytes()
    flac = write_noise(folder / "whole.flac", seconds=4).read_bytes()
    for number in range(count):
        path = folder / f"bad{number:03}.wav"
        kind = number % 8
        if kind == 0:
            path.write_bytes(whole[: rng.randrange(1, 40)])
        elif kind == 1:
            path.touch()
        elif kind == 2:
            path.mkdir()
        elif kind == 3:
            path.write_bytes(rng.randbytes(rng.randrange(1, 5000)))
        elif kind == 4:
            path.with_suffix(".flac").write_bytes(flac[: rng.randrange(4, 40)])
        elif kind == 5:
            head = bytearray(whole)
            head[rng.randrange(4)] ^= 0xFF  # not RIFF any more
            path.write_bytes(head)
        elif kind == 6:
            path.symlink_to(folder / "nowhere.wav")
        else:
            path.write_text("not audio at all")


def test_damaged_inputs_are_told_in_a_line_each_and_the_others_done(tmp_path):
    folder = tmp_path / "in"
    damage(folder, 40, random.Random(0))
    done = batch(folder, "-o", tmp_path / "out", "--json", "--no-report")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 40, done.stderr
    for number in range(40):
        assert sum(f"bad{number:03}" in line for line in told) == 1
    assert lines(done)[-1]["summary"]["failed"] == 40
    assert set(contents(tmp_path / "out")) == {"whole.wav", "whole.flac"}


def test_killed_again_and_again_and_resumed_it_is_as_if_nothing_happened(tmp_path):
    for number in range(60):
        write_noise(tmp_path / "in" / f"{number % 7}" / f"{number:03}.wav", 0.2)
    assert batch(tmp_path / "in", "-o", tmp_path / "calm", "--no-report").returncode == 0
    rng, out = random.Random(1), tmp_path / "out"
    for _ in range(3):
        run = subprocess.Popen(
            [*COMMAND, str(tmp_path / "in"), "-o", str(out), "--resume", "--no-report"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not list(out.rglob("*.wav")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert batch(tmp_path / "in", "-o", out, "--resume", "--no-report").returncode == 0
    assert contents(out) == contents(tmp_path / "calm")


def test_ctrl_c_leaves_no_half_file(tmp_path):
    write_noise(tmp_path / "in" / "long.wav", 600)
    run = subprocess.Popen(
        [*COMMAND, str(tmp_path / "in"), "-o", str(tmp_path / "out")],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "Traceback" not in said
    assert contents(tmp_path / "out") == {}


def test_a_full_disk_fails_the_file_and_leaves_nothing(tmp_path):
    write_noise(tmp_path / "in" / "a.wav", 4)
    write_noise(tmp_path / "in" / "b.wav", 0.1)
    limited = f"ulimit -f 64; exec {' '.join(COMMAND)} {tmp_path}/in -o {tmp_path}/out --no-report"
    done = subprocess.run(
        ["bash", "-c", limited.replace("--no-report", f"--no-report --manifest {tmp_path}/m")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a.wav cannot be written" in done.stderr
    assert "is the disk full?" in done.stderr
    assert set(contents(tmp_path / "out")) == {"b.wav"}


def test_inputs_are_never_replaced_and_outputs_never_meet(folder, tmp_path):
    before = contents(folder)
    for arguments in (
        (folder, "-o", folder),
        (folder / "a.wav", folder / "sub", "-o", tmp_path, "--name", "in/a.wav"),
        (folder / "a.wav", folder / "sub" / "b.flac", "-o", tmp_path / "out", "--name", "x.wav"),
        (folder, "-o", tmp_path / "out", "--name", "../{name}"),
        (folder, "-o", tmp_path / "out", "--name", "{nonsense}"),
        (folder, "-o", tmp_path / "out", "--name", "{stem}.xyz"),
        (folder, "-o", tmp_path / "out", "--subtype", "PCM_17"),
        (folder, "-o", tmp_path / "out", "--preset", "nothing"),
        (tmp_path / "nothing*", "-o", tmp_path / "out"),
    ):
        done = batch(*arguments)
        wrong_usage = {"../{name}", "{nonsense}", "{stem}.xyz", "PCM_17", "nothing"} & {*arguments}
        assert done.returncode == (2 if wrong_usage else 1), arguments
        assert done.stderr.startswith("error: "), done.stderr
    assert contents(folder) == before
    assert not (tmp_path / "out").exists() or contents(tmp_path / "out") == {}


def test_outputs_within_the_input_folder_are_not_taken_for_inputs(folder):
    out = folder / "clean"
    assert batch(folder, "-o", out, "--no-report").returncode == 0
    assert len(plan([str(folder)], str(out))) == 3


def test_a_source_that_changes_meanwhile_is_told_and_the_earlier_output_stays(tmp_path):
    source = write_noise(tmp_path / "a.wav", 6)
    earlier = write_noise(tmp_path / "out.wav").read_bytes()
    target = str(tmp_path / "out.wav")
    outcome = clean_file(
        BatchJob(str(source), target, replaces=(target,)),
        BatchSettings("live", pictures=False),
        lambda _: os.utime(source, (1, 1)),
    )
    assert "changed while it was read" in outcome.error
    assert (tmp_path / "out.wav").read_bytes() == earlier


def test_two_runs_at_the_same_outputs_do_not_mix(folder, tmp_path):
    from resonance.app.batch.manifest import NAME, Manifest

    with Manifest(tmp_path / "out" / NAME):
        done = batch(folder, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "another run is at work" in done.stderr


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")
def test_ffmpeg_reads_what_libsndfile_cannot(folder, tmp_path):
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            folder / "sub" / "b.flac",
            "-c:a",
            "aac",
            folder / "talk.m4a",
        ],
        check=True,
    )
    done = batch(folder / "talk.m4a", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    info = soundfile.info(tmp_path / "out" / "talk.m4a.wav")
    assert (info.samplerate, info.channels, info.subtype) == (44100, 2, "PCM_24")

    content = (folder / "talk.m4a").read_bytes()
    start = content.index(b"mdat") + 1000
    (folder / "talk.m4a").write_bytes(content[:start] + bytes(3000) + content[start + 3000 :])
    (job,) = plan([str(folder / "talk.m4a")], str(tmp_path / "out"), template="{stem}.ogg")
    outcome = clean_file(job, BatchSettings("live", pictures=False))
    assert outcome.error is None
    assert outcome.warnings[0].startswith(f"{folder}/talk.m4a may be damaged; ffmpeg says: ")
    assert soundfile.info(tmp_path / "out" / "talk.m4a.ogg").subtype == "VORBIS"


def test_a_missing_input_is_told_and_the_rest_done(folder, tmp_path):
    done = batch(folder / "a.wav", folder / "none.wav", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "none.wav does not exist" in done.stderr
    assert (tmp_path / "out" / "a.wav").exists()
    with pytest.raises(UserError, match="fits the pattern"):
        plan([str(folder / "*.nothing")], str(tmp_path))
