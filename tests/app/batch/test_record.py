"""What the record of a batch is good for: nothing done twice, nothing of others replaced."""

import json
import os

import pytest

from resonance.app.batch import manifest as record
from resonance.app.batch import pool, storage
from resonance.app.batch.manifest import Manifest, earlier_outputs
from resonance.app.batch.plan import plan
from resonance.app.batch.ray_runner import clean_file_alike
from resonance.app.batch.run import Batch
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import Outcome, clean_file, retry
from resonance.app.errors import UserError
from resonance.app.safe_write import Part, remove_parts
from tests.app.batch.conftest import batch, contents, lines, write_noise

LIVE = BatchSettings("live", pictures=False)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Batches in this process; returns the names of the files that were cleaned."""
    monkeypatch.setattr(
        pool, "clean_all", lambda jobs, settings, *_: (clean_file(job, settings) for job in jobs)
    )

    def run(inputs, out, settings=LIVE, stop_after=None, resume=False, **options):
        manifest, cleaned = out / record.NAME, []

        def count(outcome):
            assert outcome.error is None
            cleaned.append(os.path.basename(outcome.source))
            if len(cleaned) == stop_after:
                raise KeyboardInterrupt

        jobs = plan([str(inputs)], str(out), made=earlier_outputs(manifest), **options)
        try:
            Batch(jobs, settings, manifest, resume=resume).run(count, lambda *_: None, None)
        except KeyboardInterrupt:
            assert stop_after
        return cleaned

    return run


def test_only_outputs_of_the_same_source_are_replaced(run, tmp_path):
    for day in ("day1", "day2"):
        write_noise(tmp_path / day / "rec.wav", seconds=0.3 if day == "day1" else 0.4)
    out = tmp_path / "out"
    assert run(tmp_path / "day1", out) == ["rec.wav"]
    assert run(tmp_path / "day1", out) == ["rec.wav"]
    before = contents(out)
    for resume in (False, True, True):
        with pytest.raises(UserError, match=r"out/rec.wav is there already.*day2/rec.wav; choose"):
            run(tmp_path / "day2", out, resume=resume)
    assert contents(out) == before


def test_a_file_put_in_the_place_of_one_that_failed_is_not_replaced(tmp_path):
    job, path = BatchJob(str(tmp_path / "in.wav"), str(tmp_path / "out.wav")), tmp_path / "m.sqlite"
    with Manifest(path) as manifest:
        manifest.begin(job, "key")
        assert manifest.made(job)  # if the run is killed now
        manifest.record(Outcome(job.source, job.target, error="damaged"), "key")
        assert not manifest.made(job)
        manifest.record(Outcome(job.source, job.target, output_bytes=9), "key")
        manifest.record(Outcome(job.source, job.target, error="damaged"), "key")
        assert manifest.made(job)
    assert earlier_outputs(path) == {job.target}


def test_a_worker_that_dies_after_its_last_write_costs_no_file(tmp_path):
    """Its outputs have their names, nobody was told: the next worker may replace them."""
    write_noise(tmp_path / "in" / "a.wav")
    (job,) = plan([str(tmp_path / "in")], str(tmp_path / "out"))
    settings = BatchSettings("live", pictures=False, spot=True)
    assert clean_file(job, settings).error is None
    before = contents(tmp_path / "out")
    assert clean_file(retry(job, settings), settings).error is None
    assert contents(tmp_path / "out") == before
    assert "exists" in clean_file(job, settings).error
    assert retry(job, settings) == job, "tries are counted for one file"


def test_outputs_beside_their_inputs_can_be_resumed(run, folder):
    options = {"template": "{stem}-clean{suffix}"}
    assert run(folder, folder, stop_after=1, **options) == ["a.wav"]
    assert run(folder, folder, resume=True, **options) == ["b.flac", "c.ogg"]
    assert run(folder, folder, resume=True, **options) == []


def test_forgetting_resume_forgets_nothing(run, folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    run(folder, out, stop_after=1)
    assert run(folder, out, resume=True) == []
    softer = BatchSettings("live", limit_db=6, pictures=False)
    run(folder, out, softer, stop_after=1)
    assert run(folder, out, resume=True) == ["a.wav"]


def test_a_touched_file_is_read_once_only(run, folder, tmp_path, monkeypatch):
    run(folder, tmp_path / "out")
    os.utime(folder / "a.wav", (1, 1))
    assert run(folder, tmp_path / "out", resume=True) == []
    monkeypatch.setattr(record, "_hash", lambda path: pytest.fail(f"read again: {path}"))
    assert run(folder, tmp_path / "out", resume=True) == []


def test_resume_without_a_record_is_told(folder, tmp_path):
    done = batch(folder, "-o", tmp_path / "out", "--resume", "--dry-run")
    assert done.returncode == 0
    assert done.stderr.startswith("warning: there is no record")


def test_names_need_not_be_text(tmp_path):
    name = os.fsencode(tmp_path) + b"/in/\xfcber.wav"
    os.rename(write_noise(tmp_path / "in" / "a.wav"), name)
    (tmp_path / "bad").write_bytes(name + b"\n")
    arguments = ["--list", tmp_path / "bad", "-o", tmp_path / "out", "--preset", "live", "--json"]
    done = batch(*arguments)
    assert done.returncode == 0, done.stderr
    assert os.path.exists(os.fsencode(tmp_path) + b"/out/\xfcber.wav")
    assert os.fsencode(lines(done)[0]["source"]) == name
    assert lines(batch(*arguments, "--resume"))[-1]["summary"]["skipped"] == 1


def test_a_full_disk_under_the_record_ends_in_a_sentence(tmp_path):
    with Manifest(tmp_path / "m.sqlite") as manifest:
        manifest._base.execute("PRAGMA max_page_count = 1")
        with pytest.raises(UserError, match=r"m.sqlite cannot be .* full; .*--resume"):
            manifest.record(Outcome("a.wav", "b.wav", error="x" * 100_000), "key")


def test_a_source_that_cannot_be_read_any_more_is_not_done(run, folder, tmp_path):
    run(folder, tmp_path / "out")
    jobs = plan([str(folder)], str(tmp_path / "out"))
    (folder / "a.wav").unlink()
    left = Batch(jobs, LIVE, tmp_path / "out" / record.NAME, resume=True).left
    assert [job.name for job in left] == ["a.wav"]


def test_a_storage_is_asked_what_is_there():
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/there/a.wav", b"sound")
    addresses = [f"memory:///{name}" for name in ("there/a.wav", "there/b.wav", "nowhere/a.wav")]
    assert storage.existing(addresses) == {addresses[0]}


def test_copies_are_called_as_people_know_them(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    content = write_noise(tmp_path / "a.wav").read_bytes()
    fsspec.filesystem("memory").pipe("/copies/a.wav", content[: len(content) // 2])
    outcome = clean_file(BatchJob("memory:///copies/a.wav", str(tmp_path / "b.wav")), LIVE)
    assert outcome.warnings[0].startswith("memory:///copies/a.wav is truncated")


def test_names_may_be_as_long_as_the_disk_allows(tmp_path):
    source = write_noise(tmp_path / f"{'音' * 83}.wav")
    outcome = clean_file(BatchJob(str(source), str(tmp_path / "out" / source.name)), LIVE)
    assert outcome.error is None
    assert (tmp_path / "out" / source.name).exists()


def test_remains_of_one_file_are_not_those_of_another(tmp_path):
    alike = [tmp_path / f"{'a' * 150}{number}.wav" for number in range(2)]
    parts = [Part(target) for target in alike]
    remove_parts(alike[:1])
    assert [part.path.exists() for part in parts] == [False, True]


def test_another_custom_word_makes_another_result(tmp_path, monkeypatch):
    monkeypatch.setenv("RESONANCE_WORDS", str(tmp_path))
    spotting = BatchSettings("live", spot=True)
    before, silent = spotting.key(), LIVE.key()
    (tmp_path / "marvin").mkdir()
    facts = {"word": "marvin", "direction": [0.6, 0.8], "threshold": 0.5, "per_hour": 1.0}
    word = json.dumps({**facts, "model": "", "agreement": [1.0, 1.0, 1.0]})
    (tmp_path / "marvin" / "word.json").write_text(word)
    assert spotting.key() != before
    assert LIVE.key() == silent
    outcome = clean_file_alike(BatchJob("a.wav", "b.wav"), spotting, before)
    assert "other models or custom words" in outcome.error
