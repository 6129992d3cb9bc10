"""The report: one page that shows what was done, also in a real browser."""

import dataclasses
import json
import re
import shutil
import subprocess
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from resonance.app.batch import report
from resonance.app.batch.settings import BatchJob, BatchSettings
from resonance.app.batch.worker import clean_file
from tests.app.batch.conftest import batch, lines, write_noise

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of two files and a broken one whose name is an attack: (path, outcomes)."""
    folder = tmp_path_factory.mktemp("report")
    write_noise(folder / "in" / "quiet.wav", 1.0)
    write_noise(folder / "in" / "two.flac", 2.0, samplerate=44100)
    (folder / "in" / "<script>alert(1)<.wav").write_text("not audio")
    done = batch(folder / "in", "-o", folder / "out", "--json", "--preset", "live")
    return folder / "out" / "resonance-batch.html", lines(done)


def test_the_page_needs_nothing_else_and_holds_every_file(page):
    path, outcomes = page
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=|https?://|@import", text)
    assert "<script>alert" not in text
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["files"]) == 3
    assert data["sums"]["failed"] == 1
    assert data["sums"]["noise_cut_db"] > 6
    picture = next(f["picture"] for f in data["files"] if f["source"].endswith("two.flac"))
    assert (picture["rows"], len(picture["before"])) == (32, len(picture["after"]))
    sounds = [f["sound"] for f in data["files"]]
    assert sounds.count(None) == 1, "the broken one"
    for side in ("before", "after"):
        found = [path.parent / unquote(s[side]) for s in sounds if s]
        assert sorted(f.name for f in found) == ["quiet.wav", "two.flac"]
        assert all(f.is_file() for f in found)
    beside = json.loads(path.with_suffix(".json").read_text())
    assert beside["totals"]["done"] == 2
    assert {f["sha256"] for f in beside["files"]} >= {o.get("sha256") for o in outcomes[:-1]}


def test_a_page_of_a_million_files_stays_small():
    file = {
        "source": "a.wav",
        "target": "b.wav",
        "error": None,
        "seconds": 1.0,
        "keywords": [],
        "warnings": [],
        "levels": None,
        "picture": {"rows": 1},
        "sha256": "",
        "size": 1,
        "modified_ns": 1,
    }
    many = [{**file, "source": f"{n}.wav"} for n in range(20_000)]
    many[-1] = {**file, "source": "bad.wav", "error": "bad"}
    text = report.html({"totals": {}, "settings": {}, "files": many}, "/out/report.html")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert data["files"][0]["source"] == "bad.wav"
    assert (len(data["files"]), data["left_out"]) == (report.MOST_ROWS, 15_000)
    assert sum(f["picture"] is not None for f in data["files"]) == report.MOST_PICTURES


def test_absurdly_loud_samples_do_not_break_the_page(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.full(16000, 3e38, np.float32), 16000, "FLOAT")
    outcome = clean_file(
        BatchJob(str(tmp_path / "a.wav"), str(tmp_path / "b.wav")), BatchSettings("live")
    )
    assert outcome.levels["before"]["peak_db"] == -120
    content = {"totals": {}, "settings": {}, "files": [dataclasses.asdict(outcome)]}
    assert report.html(content, str(tmp_path / "report.html"))


def shown(path, tmp_path):
    """The page as a browser shows it."""
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(not BROWSER, reason="no Chromium")
def test_a_browser_shows_files_from_everywhere(page, tmp_path):
    path, _ = page
    text = re.sub(r'"source":"[^"]*quiet.wav"', '"source":"s3://talks/quiet.wav"', path.read_text())
    (tmp_path / "page.html").write_text(text)
    assert "<span>s3://talks/quiet.wav</span>" in shown(tmp_path / "page.html", tmp_path)


@pytest.mark.skipif(not BROWSER, reason="no Chromium")
def test_a_browser_shows_it_and_sorts_it(page, tmp_path):
    path, _ = page
    clicked = tmp_path / "clicked.html"
    press = (
        "<script>onload = () => [...document.querySelectorAll('th button')]"
        ".find(b => b.textContent == 'length').click()</script></html>"
    )
    clicked.write_text(path.read_text().replace("</html>", press))
    text = shown(clicked, tmp_path)
    rows = re.search(r'<tbody id="rows">(.*?)</tbody>', text, re.DOTALL)[1].split("<tr")[1:]
    names = [re.search(r"<span>(.*?)</span>", row)[1] for row in rows]
    assert names[:2] == ["two.flac", "quiet.wav"]
    assert names[2].startswith("&lt;script&gt;")
    assert "cannot be read as audio" in rows[2]
    assert 'aria-sort="descending"' in text
    assert text.count("<canvas") == 4
    assert text.count("<audio controls") == 4
