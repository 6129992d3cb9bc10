"""Custom words from real recordings: espeak-ng says them, the shipped spotter learns them."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from resonance.app import enrolment
from resonance.app.cli import main
from resonance.app.custom_words import CROWD_SHARE, PARTS, Background, CustomWord, Matcher
from resonance.app.errors import ModelError, UserError
from resonance.app.pipeline import Pipeline
from resonance.app.spotter import Sensitivity
from resonance.models.synthetic_voices import speak

VOICES = [
    ("en-us", 40, 140),
    ("en-us+m3", 50, 160),
    ("en-gb", 45, 150),
    ("en-us+m1", 60, 150),
    ("en-us+f2", 50, 155),
]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Files of "marvin" by five voices, and a sentence with it by another."""
    folder = tmp_path_factory.mktemp("said")
    rng = np.random.default_rng(0)

    def write(name, text, voice, pitch, rate):
        sound = speak(text, voice=voice, pitch=pitch, words_per_minute=rate)
        sound = sound + 0.001 * rng.standard_normal(len(sound)).astype(np.float32)
        soundfile.write(folder / name, sound, 16000)
        return folder / name

    takes = [write(f"take{i}.wav", "marvin", *voice) for i, voice in enumerate(VOICES)]
    return takes, write("other.wav", "we saw. Marvin. at the house", "en-us+m2", 50, 150)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RESONANCE_WORDS", str(tmp_path / "words"))
    return tmp_path / "words"


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_word_is_learnt_detected_and_forgotten(said, folder):
    takes, sentence = said
    learnt = json.loads(run("enroll", "marvin", *takes, "--json").stdout)
    assert learnt["folder"] == str(folder / "marvin")
    kept = sorted(path.name for path in (folder / "marvin").iterdir())
    assert kept == [*(f"{i}.flac" for i in range(1, 6)), "word.json"]
    events = [json.loads(line) for line in run("spot", sentence, "--json").stdout.splitlines()]
    assert [e["keyword"] for e in events] == ["marvin"]
    assert run("spot", sentence, "--false-accepts", "marvin=1e-9").stdout.count("marvin ") == 0
    listed = run("enroll", "--list").stdout
    assert "marvin" in listed
    assert "5 recordings, 1 false accepts an hour" in listed
    (facts,) = [json.loads(line) for line in run("enroll", "--list", "--json").stdout.splitlines()]
    assert facts["word"] == "marvin"
    assert facts["folder"] == str(folder / "marvin")
    said = run("enroll", "marvin", "--forget").stdout
    assert f"marvin and 5 recordings deleted from {folder}" in said.replace("\n", "")
    assert "no words of your own yet" in run("enroll", "--list").stdout
    assert not (folder / "marvin").exists()
    assert "no keywords" in run("spot", sentence).stdout
    assert "there are: none" in run("enroll", "marvin", "--forget", code=1).output


def test_a_phrase_is_learnt_and_detected(tmp_path, folder):
    """Its words in other sentences, in another order or with a pause between do not fire it."""
    takes = []
    for number, (voice, pitch, rate) in enumerate(VOICES):
        sound = speak("computer, dim the lights", voice=voice, pitch=pitch, words_per_minute=rate)
        assert 1.1 < len(sound) / 16000 < 2.2
        takes.append(tmp_path / f"{number}.wav")
        soundfile.write(takes[-1], sound, 16000)
    run("enroll", "computer dim the lights", *takes)
    for text, detected in (
        ("Well then. Computer, dim the lights. Thank you", ["computer dim the lights"]),
        ("Well then. We bought another computer yesterday", []),
        ("Well then. Switch on the lights. Thank you", []),
        ("Well then. Dim the lights, computer. Thank you", []),
        ("Computer|dim the lights", []),
    ):
        parts = [speak(part, voice="en-us+m2", pitch=50) for part in text.split("|")]
        pause = np.zeros(16000 * (len(parts) - 1), np.float32)
        said = np.concatenate([parts[0], pause, *parts[1:]])
        soundfile.write(tmp_path / "said.wav", said, 16000)
        lines = run("spot", tmp_path / "said.wav", "--json").stdout.splitlines()
        assert [json.loads(line)["keyword"] for line in lines] == detected
    lights = tmp_path / "lights.wav"
    soundfile.write(lights, speak("dim the lights"), 16000)
    assert "sounds like 'computer dim the lights'" in " ".join(
        run("enroll", "dim the lights", *[lights] * 3).output.split()
    )


def test_synthetic_readings_are_learnt_from_too(said, folder, spotter, monkeypatch, tmp_path):
    takes, sentence = said
    alone = enrolment.learn("marvin", takes[:3], spotter)
    run("enroll", "marvin", *takes[:3], "--text", "marvin")
    (learnt,) = enrolment.load_all(spotter)
    assert learnt.text == "marvin"
    assert 0.5 < np.dot(learnt.direction, alone.direction) / PARTS < 0.999
    assert learnt.agreement == alone.agreement
    assert "marvin " in run("spot", sentence).stdout
    long = "This is no word that anybody would wish to say to a computer, nor is it a phrase."
    refused = run("enroll", "marvin", *takes[:3], "--text", long, code=1).output
    assert "must be a word or phrase of 0.2 to 3 s" in " ".join(refused.split())
    monkeypatch.setenv("PATH", str(tmp_path))
    for source in (takes[:3], ["--record"]):
        refused = run("enroll", "marvin", *source, "--text", "marvin", code=1).output
        assert "--text needs espeak-ng: apt install espeak-ng" in " ".join(refused.split())
    assert enrolment.load_all(spotter) == [learnt]


def test_custom_words_leave_the_others_alone(said, spotter, demo):
    learnt = enrolment.learn("marvin", said[0], spotter)
    noisy, _, samplerate = demo
    detected = []
    for custom in ((), (learnt,)):
        pipeline = Pipeline(samplerate, spotter=spotter, custom=custom)
        detected.append([e for e in pipeline.process(noisy) if e.keyword != "marvin"])
    assert detected[0] == detected[1]
    assert pipeline.spotter.words[-1] == "marvin"
    assert len(pipeline.spotter.scores) == len(pipeline.spotter.thresholds) == 11


def test_words_learnt_with_another_spotter_are_learnt_again(said, spotter, folder):
    learnt = enrolment.learn("marvin", said[0], spotter)
    old = CustomWord("marvin", learnt.direction[::-1], 0.1, 2.0, "another model")
    enrolment.save(old, said[0])
    (again,) = enrolment.load_all(spotter)
    assert again.model == Background(spotter).sha256
    assert again.per_hour == 2.0
    np.testing.assert_allclose(again.direction, learnt.direction, atol=0.01)
    assert json.loads((folder / "marvin" / "word.json").read_text())["model"] == again.model


def test_bad_words_and_recordings_are_refused(said, spotter, tmp_path, folder):
    takes, _ = said
    for word in ("", "../up", ".hidden", "yes", "a" * 50):
        with pytest.raises(UserError, match=r"name|keyword already"):
            enrolment.learn(word, takes, spotter)
    with pytest.raises(UserError, match="2 recordings of"):
        enrolment.learn("marvin", takes[:2], spotter)
    with pytest.raises(UserError, match="1 recording of"):
        enrolment.learn("marvin", takes[:1], spotter)
    for name, samples, message in (
        ("long", 80000, "4.0 s or more"),
        ("silent", 16000, "is silent"),
        ("short", 800, "lasts 0.1 s"),
    ):
        level = 0.0 if name == "silent" else 0.1
        soundfile.write(tmp_path / f"{name}.wav", np.full(samples, level, np.float32), 16000)
        with pytest.raises(UserError, match=message):
            enrolment.learn("marvin", [tmp_path / f"{name}.wav", *takes[:2]], spotter)
    assert not folder.exists()


@pytest.mark.parametrize("sound", ["hiss", "faint hiss", "hum", "tone", "knock"])
def test_what_is_no_voice_is_refused(sound, said, spotter, tmp_path, rng):
    time = np.arange(16000) / 16000
    hiss = rng.standard_normal(16000)
    sounds = {
        "hiss": 0.1 * hiss,
        "faint hiss": 0.002 * hiss,
        "hum": 0.2 * np.sin(2 * np.pi * 100 * time),
        "tone": 0.2 * np.sin(2 * np.pi * 1000 * time),
        "knock": 0.001 * hiss + 0.3 * hiss * np.clip(1 - np.abs(time - 0.5) / 0.03, 0, 1),
    }
    soundfile.write(tmp_path / "sound.wav", sounds[sound], 16000)
    with pytest.raises(UserError, match=r"sound.wav: (no word stands out|nobody speaks)"):
        enrolment.learn("marvin", [*said[0][:2], tmp_path / "sound.wav"], spotter)


def test_wrong_usage_is_exit_code_2(said, folder):
    takes, _ = said
    run("enroll", code=2)
    run("enroll", "yes", *takes, code=2)
    run("enroll", "marvin", takes[0], code=2)
    run("enroll", "marvin", "--record", *takes, code=2)


def test_a_word_is_recorded_in_a_terminal(server, said, folder):
    """The takes are said into the microphone one after the other, until it has heard enough."""
    sound = np.concatenate([np.append(np.zeros(8000), soundfile.read(t)[0]) for t in said[0]])
    sound = np.append(sound, np.zeros(12000))
    command = [sys.executable, "-m", "resonance", "enroll", "marvin", "--record", "--json"]
    with server.playing(sound, 16000, times=8):
        done = subprocess.run(
            command,
            env={**server.environment, "RESONANCE_WORDS": str(folder)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    learnt = json.loads(done.stdout)
    assert learnt["word"] == "marvin"
    assert "take 3 of 3: say 'marvin'" in done.stderr
    for path in (folder / "marvin").glob("*.flac"):
        assert 0.3 < soundfile.info(path).duration < 2.0


def test_an_unlike_recording_is_doubted(said, folder, tmp_path):
    takes, _ = said
    soundfile.write(tmp_path / "other.wav", speak("supercalifragilistic"), 16000)
    result = run("enroll", "marvin", *takes[:4], tmp_path / "other.wav")
    assert "other.wav sounds unlike the others" in result.output


def test_words_that_sound_alike_are_doubted(said, folder):
    takes, _ = said
    assert "sounds like" not in run("enroll", "marvin", *takes).output
    again = " ".join(run("enroll", "mervin", *takes).output.split())
    assert re.search(r"'mervin' sounds like 'marvin' \(likeness 0\.[89]", again)


def test_a_word_like_ordinary_speech_is_doubted():
    rare = CustomWord("marvin", [1.0, 0.0] * PARTS, 0.5, 1.0, "model", [0.7, 0.6, 0.4])
    assert enrolment.doubts(rare, []) == []
    common = CustomWord("the", [1.0, 0.0] * PARTS, 0.65, 1.0, "model", [0.7, 0.6, 0.4])
    (doubt,) = enrolment.doubts(common, [CustomWord("on", [0.0, 1.0] * PARTS, 0.5, 1.0, "model")])
    assert "2 of 3 recordings would be missed" in doubt
    assert "alike by 0.57 and ordinary speech is by 0.65" in doubt


def test_damaged_words_are_named(folder, spotter):
    (folder / "marvin").mkdir(parents=True)
    (folder / "marvin" / "word.json").write_text("{")
    with pytest.raises(UserError, match=r"word.json cannot be read"):
        enrolment.load_all(spotter)


def test_the_threshold_means_false_accepts(said, spotter):
    learnt = enrolment.learn("marvin", said[0], spotter)
    background = Background(spotter)
    direction = np.array(learnt.direction, np.float32)
    rates = (0.1, 1.0, 5.0)
    thresholds = [background.threshold(direction, rate) for rate in rates]
    assert thresholds == sorted(thresholds, reverse=True)
    assert learnt.threshold == pytest.approx(thresholds[1], abs=1e-3)
    peaks = (background.likeness(direction) >= thresholds[2]).sum()
    assert 1 <= peaks <= 40


def test_what_is_like_any_speech_is_less_like_a_word(spotter):
    background = Background(spotter)
    back = np.linalg.pinv(background.map)

    def likeness(place, word):
        otter = CustomWord("otter", word.tolist() * PARTS, 0.5, 1.0, "")
        matcher = Matcher([otter], background, 0.032)
        return [float(matcher.likeness(background.mean + place @ back)[0]) for _ in range(12)][-1]

    ordinary = background.crowd[0] / np.linalg.norm(background.crowd[0])
    rare = np.linalg.svd(background.crowd)[2][-1]  # as far from all of the crowd as can be
    assert likeness(rare, rare) > 0.95
    assert likeness(ordinary, ordinary) == pytest.approx(1 - CROWD_SHARE, abs=0.03)


def test_a_word_is_led_away_from_what_is_most_like_it(said, spotter):
    background = Background(spotter)
    takes = np.array(
        [enrolment.listen(spotter, path).places(background, False) for path in said[0]]
    )
    common = takes.mean(axis=0)
    common /= np.linalg.norm(common, axis=1, keepdims=True)
    apart = background.apart(common)
    np.testing.assert_allclose(np.linalg.norm(apart, axis=1), 1.0, atol=1e-5)
    assert (apart * common).sum(axis=1).min() > 0.8

    def contrast(directions):
        """Of the word's own recordings with the speech that its threshold is set on."""
        own = (takes * directions).sum(axis=2).mean()
        return own - np.sort(background.likeness(directions))[-20:].mean()

    assert contrast(apart) > contrast(common)


def test_a_background_of_another_spotter_is_refused(spotter, tmp_path):
    from resonance.assets import MODELS

    file, card = tmp_path / "b.npz", tmp_path / "b.json"
    shutil.copy(MODELS / "keywords-background.npz", file)
    with np.load(file) as content:
        changed = {**content, "model": np.array("another")}
    np.savez(file, **changed)
    card.write_text(json.dumps({"sha256": "of another file"}))
    with pytest.raises(ModelError, match="not the file its card describes"):
        Background(spotter, file)
    card.write_text(json.dumps({"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}))
    with pytest.raises(ModelError, match="another spotter"):
        Background(spotter, file)
    file.write_bytes(b"junk")
    with pytest.raises(ModelError, match="cannot be read"):
        Background(spotter, tmp_path / "b.npz")


def test_rates_of_unknown_words_are_refused(spotter):
    with pytest.raises(UserError, match="no keyword 'stopp'"):
        Pipeline(16000, spotter=spotter, sensitivity=Sensitivity(words={"stopp": 1.0}))
