"""Which files are taken, and where they go: nothing left out, nothing taken twice."""

import os

import pytest

from resonance.app.batch.plan import plan
from resonance.app.batch.settings import BatchSettings
from resonance.app.batch.worker import clean_file
from resonance.app.errors import UserError
from resonance.app.soundfiles import ffmpeg
from tests.app.batch.conftest import write_noise


def targets(jobs, out):
    return [os.path.relpath(job.target, out) for job in jobs]


def test_an_input_is_known_under_another_spelling(tmp_path):
    """As on disks where REC.WAV and rec.wav are one file; here two names of one stand for it."""
    write_noise(tmp_path / "in" / "rec.wav")
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "in" / "rec.wav", tmp_path / "out" / "rec.wav")
    with pytest.raises(UserError, match="would replace an input"):
        plan([str(tmp_path / "in")], str(tmp_path / "out"))


def test_files_of_the_same_name_are_kept_apart_as_the_error_advises(tmp_path):
    for day in ("day1", "day2"):
        write_noise(tmp_path / day / "rec.wav")
    days, out = [str(tmp_path / "day1"), str(tmp_path / "day2")], str(tmp_path / "out")
    with pytest.raises(UserError, match=r"both become .*--name '{folder}/{name}'"):
        plan(days, out)
    apart = plan(days, out, template="{folder}/{name}")
    within = tmp_path.relative_to(tmp_path.anchor)
    assert targets(apart, out) == [f"{within}/day1/rec.wav", f"{within}/day2/rec.wav"]


def test_a_folder_that_cannot_be_read_is_told(folder, tmp_path, monkeypatch):
    listdir = os.listdir

    def refuse(path):
        if os.path.basename(path) == "deep":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    jobs = plan([str(folder)], str(tmp_path / "out"))
    assert targets(jobs, tmp_path / "out") == ["a.wav", "sub/b.flac", "sub/deep"]
    outcome = clean_file(jobs[-1], BatchSettings("live", pictures=False))
    assert outcome.error == f"{folder}/sub/deep cannot be opened: Permission denied"


def test_what_only_ffmpeg_reads_is_never_left_out(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    (folder / "talk.m4a").write_bytes(b"ftyp" * 100)
    (job,) = [j for j in plan([str(folder)], str(tmp_path / "out")) if "talk" in j.source]
    assert "needs ffmpeg" in clean_file(job, BatchSettings("live", pictures=False)).error


def test_links_to_folders_are_followed_but_not_in_circles(folder, tmp_path):
    write_noise(tmp_path / "elsewhere" / "d.wav")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    jobs = plan([str(folder)], str(tmp_path / "out"))
    assert targets(jobs, tmp_path / "out") == [
        "a.wav",
        "link/d.wav",
        "sub/b.flac",
        "sub/deep/c.ogg",
    ]


def test_outputs_are_no_inputs_however_the_inputs_are_named(folder):
    out = folder / "clean"
    write_noise(out / "a.wav")
    inputs = sorted(map(str, (folder / "a.wav", folder / "sub/b.flac", folder / "sub/deep/c.ogg")))
    for named in (f"{folder}", f"{folder}/**/*.*"):
        assert [job.source for job in plan([named], str(out))] == inputs

    write_noise(folder / "a-clean.wav")
    made = {str(folder / "a-clean.wav")}
    for named in ([str(folder)], [f"{folder}/*.wav"], [str(folder / "a.wav"), *made]):
        jobs = plan(named, str(folder), template="{stem}-clean{suffix}", made=made)
        assert jobs[0].source == str(folder / "a.wav")
        assert not made & {job.source for job in jobs}
        with pytest.raises(UserError, match="would replace an input"):  # it may be an original
            plan(named, str(folder), template="{stem}-clean{suffix}")


def test_outputs_in_a_storage_are_no_inputs():
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for name in ("/plan/a.wav", "/plan/clean/a.wav"):
        system.pipe(name, b"sound")
    jobs = plan(["memory:///plan"], "memory:///plan/clean")
    assert [job.source for job in jobs] == ["memory:///plan/a.wav"]


def test_a_source_is_the_same_wherever_the_command_runs(folder, tmp_path, monkeypatch):
    (folder / "link.wav").symlink_to(folder / "a.wav")
    jobs = plan([str(folder)], str(tmp_path / "out"))
    monkeypatch.chdir(folder / "sub")
    assert plan([".."], "../../out") == jobs
    sizes = {os.path.basename(job.source): job.size for job in jobs}
    assert sizes["link.wav"] == sizes["a.wav"] == (folder / "a.wav").stat().st_size
