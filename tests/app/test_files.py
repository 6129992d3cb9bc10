"""Files of every kind end in a right result or a clear sentence, never in a damaged output."""

import numpy as np
import psutil
import pytest
import soundfile

from app.errors import AudioFileError
from app.files import denoise_file, spot_file
from app.pipeline import Pipeline


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
    [("a.wav", "PCM_16", 16000, 1), ("a.wav", "PCM_24", 48000, 2), ("a.wav", "FLOAT", 44100, 1),
     ("a.flac", "PCM_24", 96000, 1), ("a.wav", "PCM_16", 8000, 8), ("a.aiff", "PCM_16", 22050, 2),
     ("a.ogg", "VORBIS", 44100, 1)],
)  # fmt: skip
def test_form_and_length_stay(clean, tmp_path, name, subtype, samplerate, channels):
    source, target = tmp_path / name, tmp_path / "out" / name
    soundfile.write(source, sound(samplerate, 0.5, channels), samplerate, subtype)
    result = clean(source, target)
    before, after = soundfile.info(source), soundfile.info(target)
    for fact in ("samplerate", "channels", "frames", "subtype", "format"):
        assert getattr(before, fact) == getattr(after, fact), fact
    assert result.warnings == []
    assert left_over(target.parent) == []


def test_another_container_keeps_what_it_can(clean, tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), 16000, "PCM_24")
    clean(tmp_path / "a.wav", tmp_path / "a.flac")
    assert soundfile.info(tmp_path / "a.flac").subtype == "PCM_24"
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
    clean(tmp_path / "cut.wav", tmp_path / "out.wav")
    assert 3000 < soundfile.info(tmp_path / "out.wav").frames < 4000


@pytest.mark.parametrize("kind", ["cut.flac", "text.wav", "empty.wav", "missing.wav", "folder.wav"])
def test_unreadable_files_end_in_a_sentence_and_leave_nothing(clean, tmp_path, kind):
    soundfile.write(tmp_path / "whole.flac", sound(seconds=8), 16000)
    content = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
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
        clean(tmp_path / "a.wav", target, progress=broken)
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


def test_a_word_at_the_very_end_is_heard(spotter, tmp_path, demo):
    """The demo cut right after its first word still reports it."""
    noisy, _, samplerate = demo
    soundfile.write(tmp_path / "a.wav", noisy[: int(4.2 * samplerate)], samplerate)
    result = spot_file(
        tmp_path / "a.wav", lambda rate, channels: Pipeline(rate, channels, spotter=spotter)
    )
    assert [e.keyword for e in result.events] == ["stop"]
    assert 3.5 < result.events[0].time_s <= result.seconds
