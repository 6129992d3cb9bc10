import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile

from resonance.models.data import (
    AudioStore,
    DataError,
    Recording,
    chosen,
    find_recordings,
    read_recording,
)


def write(path: Path, sound=None, samplerate=16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.linspace(-0.5, 0.5, 800) if sound is None else sound
    soundfile.write(path, sound, samplerate)


def test_index(tmp_path):
    write(tmp_path / "a/x.wav")
    (tmp_path / "index.csv").write_text(
        "path,kind,split,speaker,label,seconds,text\na/x.wav,speech,dev,s1,,0.05,hello there\n"
    )
    (found,) = find_recordings(tmp_path)
    assert (found.kind, found.split, found.speaker, found.text) == (
        "speech",
        "dev",
        "s1",
        "hello there",
    )


def test_speech_commands(tmp_path):
    for name in (
        "yes/a_nohash_0.wav",
        "yes/b_nohash_1.wav",
        "no/c_nohash_0.wav",
        "_background_noise_/hiss.wav",
    ):
        write(tmp_path / name)
    (tmp_path / "validation_list.txt").write_text("yes/b_nohash_1.wav\n")
    (tmp_path / "testing_list.txt").write_text("no/c_nohash_0.wav\n")
    found = {r.path.name: r for r in find_recordings(tmp_path)}
    assert found["a_nohash_0.wav"].split == "train"
    assert found["b_nohash_1.wav"].split == "dev"
    assert found["c_nohash_0.wav"].split == "test"
    assert found["b_nohash_1.wav"].speaker == "b"
    assert found["hiss.wav"].kind == "noise"


def test_librispeech(tmp_path):
    write(tmp_path / "dev-clean/84/121/84-121-0000.flac")
    (tmp_path / "dev-clean/84/121/84-121.trans.txt").write_text("84-121-0000 GO AWAY\n")
    (found,) = find_recordings(tmp_path)
    assert (found.kind, found.split, found.speaker, found.text) == (
        "speech",
        "dev",
        "84",
        "GO AWAY",
    )


def test_voicebank_noise_is_what_was_added(tmp_path, rng):
    clean, noise = 0.1 * rng.standard_normal((2, 800))
    for part in ("trainset_28spk", "testset"):
        write(tmp_path / f"clean_{part}_wav/p226_001.wav", clean)
        write(tmp_path / f"noisy_{part}_wav/p226_001.wav", clean + noise)
    found = find_recordings(tmp_path)
    assert sorted({(r.kind, r.split) for r in found}) == [
        ("noise", "dev"),
        ("noise", "test"),
        ("speech", "dev"),
        ("speech", "test"),
    ]
    added = next(r for r in found if r.kind == "noise")
    np.testing.assert_allclose(read_recording(added), noise, atol=1e-4)


def test_unknown_layouts_are_named(tmp_path):
    with pytest.raises(DataError, match=r"index\.csv"):
        find_recordings(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        find_recordings(tmp_path / "nowhere")


def test_missing_kinds_are_named(tmp_path):
    write(tmp_path / "a/x.wav")
    (tmp_path / "index.csv").write_text("path,kind,split\na/x.wav,speech,train\n")
    found = find_recordings(tmp_path)
    assert len(chosen(found, "speech", "train")) == 1
    with pytest.raises(DataError, match="no noise recordings for split 'dev'"):
        chosen(found, "noise", "dev")
    assert len(AudioStore([], tmp_path / "cache")) == 0


def test_stores_travel_to_other_processes_by_name(tmp_path):
    write(tmp_path / "a.wav")
    store = AudioStore([Recording(tmp_path / "a.wav", "speech", "train")], tmp_path / "cache")
    packed = pickle.dumps(store)
    assert len(packed) < 1000
    np.testing.assert_array_equal(pickle.loads(packed).get(0), store.get(0))


def test_store_holds_what_was_recorded_at_16_khz(tmp_path, rng):
    sounds = [0.1 * rng.standard_normal(n) for n in (500, 1200)]
    for i, sound in enumerate(sounds):
        write(tmp_path / f"{i}.wav", sound)
    write(tmp_path / "2.wav", np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000), 48000)
    (tmp_path / "index.csv").write_text(
        "path,kind,split\n" + "".join(f"{i}.wav,speech,train\n" for i in range(3))
    )
    for _ in range(2):  # decoded, then from the cache
        store = AudioStore(find_recordings(tmp_path), tmp_path / "cache")
        assert [store.length(i) for i in range(3)] == [500, 1200, 16000]
        np.testing.assert_allclose(store.get(1, 100, 200), sounds[1][100:200], atol=1e-4)
        tone = store.get(2)[1000:15000]
        assert np.sqrt(np.mean(tone**2)) == pytest.approx(np.sqrt(0.5), rel=0.01)
