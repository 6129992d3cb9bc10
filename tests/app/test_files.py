"""Files of every kind end in a right result or a clear sentence, never in a damaged output."""

import subprocess
import sys

import numpy as np
import psutil
import pytest
import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.files import denoise_file, spot_file
from resonance.app.pipeline import Pipeline
from resonance.app.soundfiles import writer


@pytest.fixture
def clean(denoiser):
    """denoise_file with the shipped model."""

    def run(source, target, **options):
        return denoise_file(
            source,
            target,
            lambda rate, channels: Pipeline(rate, channels, denoiser=denoiser),
            **options,
        )

    return run


def sound(samplerate=16000, seconds=0.5, channels=1):
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((int(seconds * samplerate), channels))


def left_over(folder):
    return [p.name for p in folder.iterdir() if "part" in p.name]


@pytest.mark.parametrize(
    ("name", "subtype", "samplerate", "channels"),
    [
        ("a.wav", "PCM_16", 16000, 1),
        ("a.wav", "PCM_24", 48000, 2),
        ("a.wav", "FLOAT", 44100, 1),
        ("a.flac", "PCM_24", 96000, 1),
        ("a.wav", "PCM_16", 8000, 8),
        ("a.aiff", "PCM_16", 22050, 2),
        ("a.ogg", "VORBIS", 44100, 1),
    ],
)
def test_form_and_length_stay(clean, tmp_path, name, subtype, samplerate, channels):
    source, target = tmp_path / name, tmp_path / "out" / name
    soundfile.write(source, sound(samplerate, 0.5, channels), samplerate, subtype)
    result = clean(source, target)
    before, after = soundfile.info(source), soundfile.info(target)
    for fact in ("samplerate", "channels", "frames", "subtype", "format"):
        assert getattr(before, fact) == getattr(after, fact), fact
    assert result.warnings == []
    assert left_over(target.parent) == []


@pytest.mark.parametrize("frames", [100, 5000, 70_000])
def test_a_lookahead_is_taken_back(studio, tmp_path, frames):
    """The cleaned file is as long as its source, and nothing in it is late."""
    click = np.zeros(frames)
    click[frames // 2] = 0.9
    soundfile.write(tmp_path / "a.wav", click, 16000, "FLOAT")
    pairs = []
    result = denoise_file(
        tmp_path / "a.wav",
        tmp_path / "b.wav",
        lambda rate, channels: Pipeline(rate, channels, denoiser=studio, limit_db=3),
        listener=lambda before, after: pairs.append((before.copy(), after.copy())),
    )
    out, _ = soundfile.read(tmp_path / "b.wav")
    assert len(out) == frames
    assert np.argmax(np.abs(out)) == frames // 2
    assert result.latency_samples == 320
    np.testing.assert_allclose(np.concatenate([b for b, _ in pairs])[:, 0], click)
    np.testing.assert_allclose(np.concatenate([a for _, a in pairs])[:, 0], out)


def test_another_container_keeps_what_it_can(clean, tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), 16000, "PCM_24")
    for name, subtype in (("a.flac", "PCM_24"), ("a.opus", "OPUS"), ("a.mp3", "MPEG_LAYER_III")):
        clean(tmp_path / "a.wav", tmp_path / name)
        assert soundfile.info(tmp_path / name).subtype == subtype
        assert soundfile.info(tmp_path / name).frames == 8000
    with pytest.raises(AudioFileError, match=r"'\.txt'; use"):
        clean(tmp_path / "a.wav", tmp_path / "a.txt")


@pytest.mark.parametrize("samples", [0, 1, 127, 128])
def test_shortest_files(clean, tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", np.zeros(samples), 16000)
    clean(tmp_path / "a.wav", tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").frames == samples


def test_not_a_number_is_silence_and_is_told(clean, tmp_path):
    poisoned = sound()
    poisoned[[10, 4000], 0] = [np.nan, np.inf]
    soundfile.write(tmp_path / "a.wav", poisoned, 16000, "FLOAT")
    result = clean(tmp_path / "a.wav", tmp_path / "b.wav")
    assert "2 samples were not finite" in result.warnings[0]
    assert np.isfinite(soundfile.read(tmp_path / "b.wav")[0]).all()


def test_clipped_sound_stays_within_full_scale(clean, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.clip(20 * sound(), -1, 1), 16000)
    clean(tmp_path / "a.wav", tmp_path / "b.wav")
    after = soundfile.read(tmp_path / "b.wav")[0]
    assert np.abs(after).max() <= 1.0
    assert np.isfinite(after).all()


def test_truncated_wav_gives_what_is_there_and_says_so(clean, tmp_path):
    soundfile.write(tmp_path / "whole.wav", sound(), 16000)
    content = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    result = clean(tmp_path / "cut.wav", tmp_path / "out.wav")
    assert 3000 < soundfile.info(tmp_path / "out.wav").frames < 4000
    assert "truncated" in result.warnings[0]


@pytest.mark.parametrize(("subtype", "samples"), [("PCM_24", 16001), ("PCM_U8", 15999)])
def test_whole_files_of_odd_length_are_not_called_truncated(clean, tmp_path, subtype, samples):
    soundfile.write(tmp_path / "a.wav", np.zeros(samples), 16000, subtype)
    assert clean(tmp_path / "a.wav", tmp_path / "b.wav").warnings == []


def test_flac_of_unknown_length_is_read_to_its_end(clean, tmp_path):
    """As an encoder writes it into a pipe: the total in its header is 0."""
    soundfile.write(tmp_path / "a.flac", sound(seconds=4), 16000)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # STREAMINFO: 36 bits of total samples
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    result = clean(tmp_path / "a.flac", tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").frames == 64000
    assert result.warnings == []


def test_sound_too_long_for_wav_becomes_rf64(tmp_path, monkeypatch, clean):
    monkeypatch.setattr(writer, "_WAV_LIMIT", 10_000)
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    clean(tmp_path / "a.wav", tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").format == "RF64"
    assert soundfile.info(tmp_path / "b.wav").frames == 8000


def test_a_full_disk_at_the_last_moment_is_noticed(tmp_path):
    """Formats that flush on closing fail silently there; the file must not get its name."""
    soundfile.write(tmp_path / "a.wav", sound(seconds=4), 16000)
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from resonance.app.files import denoise_file\n"
        "from resonance.app.pipeline import Pipeline\n"
        "from resonance.app.onnx_models import DenoiserModel\n"
        "model = DenoiserModel.preset('live')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))\n"
        "make = lambda rate, channels: Pipeline(rate, channels, denoiser=model)\n"
        "denoise_file(Path(sys.argv[2]), Path(sys.argv[3]), make)\n"
    )
    arguments = ["20000", str(tmp_path / "a.wav"), str(tmp_path / "b.flac")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert "AudioFileError" in done.stderr
    assert not (tmp_path / "b.flac").exists()
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("kind", ["text.wav", "empty.wav", "missing.wav", "folder.wav"])
def test_unreadable_files_end_in_a_sentence_and_leave_nothing(clean, tmp_path, kind):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    target = tmp_path / "out" / "x.wav"
    with pytest.raises(AudioFileError, match=kind):
        clean(tmp_path / kind, target)
    assert not target.exists()
    assert not target.parent.exists() or left_over(target.parent) == []


def test_a_failed_run_keeps_the_old_output(clean, tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    target = tmp_path / "out.wav"
    target.write_bytes(b"precious")

    def broken(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(AudioFileError, match="No space left"):
        clean(tmp_path / "a.wav", target, progress=broken, overwrite=True)
    assert target.read_bytes() == b"precious"
    assert left_over(tmp_path) == []


def test_input_is_never_overwritten(clean, tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), 16000)
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    for target in ("a.wav", "link.wav"):
        with pytest.raises(AudioFileError, match="is the input itself"):
            clean(tmp_path / "a.wav", tmp_path / target)


def test_long_files_stream_in_constant_memory(clean, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile(sound(8000, 60), (10, 1)), 8000)
    peak = []
    process = psutil.Process()
    clean(
        tmp_path / "a.wav",
        tmp_path / "b.wav",
        progress=lambda s: peak.append(process.memory_info().rss),
    )
    assert max(peak) - peak[2] < 20e6


def test_a_word_at_the_very_end_is_detected(spotter, tmp_path, demo):
    """The demo cut right after its second word still reports it."""
    noisy, _, samplerate = demo
    soundfile.write(tmp_path / "a.wav", noisy[: int(8.2 * samplerate)], samplerate)
    result = spot_file(
        tmp_path / "a.wav", lambda rate, channels: Pipeline(rate, channels, spotter=spotter)
    )
    assert [e.keyword for e in result.events] == ["no", "left"]
    assert 7.6 < result.events[1].time_s <= result.seconds
