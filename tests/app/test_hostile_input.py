"""What others wrote is checked before it is believed."""

import json

import pytest

from resonance.app import enrolment
from resonance.app.custom_words import Background
from resonance.app.errors import UserError


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.setenv("RESONANCE_WORDS", str(tmp_path / "words"))
    return tmp_path / "words"


@pytest.fixture
def good(spotter):
    places = Background(spotter).map.shape[1]
    return {
        "word": "otter",
        "direction": [places**-0.5] * places,
        "threshold": 0.9,
        "per_hour": 1.0,
        "model": spotter.sha256,
        "agreement": [0.8],
    }


def write_word(folder, facts):
    (folder / "otter").mkdir(parents=True, exist_ok=True)
    (folder / "otter" / "word.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("word", "../otter"),
        ("word", "go"),
        ("word", ["otter"]),
        ("word", "a\x1b[2J"),
        ("direction", [1.0]),
        ("direction", "x"),
        ("direction", None),
        ("threshold", "high"),
        ("threshold", -5),
        ("threshold", True),
        ("per_hour", float("nan")),
        ("agreement", 3),
        ("model", 7),
    ],
)
def test_words_that_make_no_sense_are_refused(words, good, spotter, name, value):
    write_word(words, {**good, name: value})
    with pytest.raises(UserError, match="otter"):
        enrolment.load_all(spotter)
