"""What a source says beside its sound is kept, or named as lost."""

import struct

import numpy as np
import pytest
import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.soundfiles import channel_positions, chunks, other_chunks
from resonance.app.soundfiles.reader import open_sound
from resonance.app.soundfiles.writer import written_sound

RATE = 16000
PCM_GUID = b"\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"


def noise(samples=4000, channels=1):
    return 0.05 * np.random.default_rng(4).standard_normal((samples, channels))


def copy(source, target, **options):
    """Write what is read; returns the warnings."""
    with open_sound(source) as reader, written_sound(target, reader, **options) as writer:
        for block in reader.blocks():
            writer.write(block)
    return writer.warnings


@pytest.mark.parametrize("ending", ["flac", "ogg", "mp3", "wav", "aiff", "caf"])
def test_titles_stay(tmp_path, ending):
    source, target = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    with soundfile.SoundFile(source, "w", RATE, 1) as file:
        file.title, file.artist, file.comment = "Field day", "B. Robin", "second take"
        file.write(noise())
    assert copy(source, target) == []
    before, after = soundfile.SoundFile(source), soundfile.SoundFile(target)
    assert after.frames == 4000
    for name in ("title", "artist", "comment"):
        assert getattr(before, name) == getattr(after, name)


@pytest.mark.parametrize(("channels", "mask"), [(1, 0x2), (4, 0x107), (6, 0x60F), (8, 0xFF)])
def test_positions_stay(tmp_path, channels, mask):
    pcm = (1000 * noise(500, channels)).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 0xFFFE, channels, RATE, 2 * channels * RATE, 2 * channels, 16)
    form += struct.pack("<HHI", 22, 16, mask) + PCM_GUID
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(pcm)) + pcm
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert copy(tmp_path / "a.wav", tmp_path / "b.wav") == []
    with (tmp_path / "b.wav").open("rb") as file:
        assert channel_positions.positions(file, chunks.RIFF)[0] == mask
    lost = copy(tmp_path / "a.wav", tmp_path / "b.flac")
    assert bool(lost) == (mask not in (0x60F,))


def add_chunks(path, *added):
    with path.open("r+b") as file:
        other_chunks.append(file, chunks.RIFF, list(added))


def test_chunks_stay_or_are_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    cue = struct.pack("<I", 1) + struct.pack("<II4sIII", 1, 100, b"data", 0, 0, 100)
    add_chunks(tmp_path / "a.wav", (b"bext", b"x" * 603), (b"cue ", cue))
    assert copy(tmp_path / "a.wav", tmp_path / "b.wav") == []
    with (tmp_path / "b.wav").open("rb") as file:
        found = dict(other_chunks.beside_the_sound(file, chunks.RIFF))
    assert (found[b"bext"], found[b"cue "]) == (b"x" * 603, cue)
    assert soundfile.info(tmp_path / "b.wav").frames == 4000
    (warning,) = copy(tmp_path / "a.wav", tmp_path / "b.flac")
    assert "not kept" in warning
    assert "broadcast data" in warning
    assert "cue points" in warning


def test_a_cover_stays_in_flac_and_mp3(tmp_path):
    picture = b"\0\0\0\3" + b"\0\0\0\x09image/png" + bytes(20) + b"\0\0\0\4PNG!"
    soundfile.write(tmp_path / "a.flac", noise(), RATE)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    last, content[4] = content[4] & 0x80, 0
    block = bytes([6 | last]) + len(picture).to_bytes(3, "big") + picture
    (tmp_path / "a.flac").write_bytes(content[:42] + block + content[42:])
    assert copy(tmp_path / "a.flac", tmp_path / "b.flac") == []
    assert block[1:] in (tmp_path / "b.flac").read_bytes()
    assert soundfile.info(tmp_path / "b.flac").frames == 4000
    assert "cover picture" in copy(tmp_path / "a.flac", tmp_path / "b.wav")[0]
    soundfile.write(tmp_path / "a.mp3", noise(), RATE)
    frame = b"APIC" + (20).to_bytes(4, "big") + bytes(22)
    tag = b"ID3\x03\0\0\0\0\0" + bytes([len(frame)]) + frame
    (tmp_path / "a.mp3").write_bytes(tag + (tmp_path / "a.mp3").read_bytes())
    assert copy(tmp_path / "a.mp3", tmp_path / "b.mp3") == []
    assert (tmp_path / "b.mp3").read_bytes().startswith(tag)


def test_an_mp3_becomes_a_wav(tmp_path):
    soundfile.write(tmp_path / "a.mp3", noise(20000), RATE)
    copy(tmp_path / "a.mp3", tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").subtype == "PCM_16"
    assert soundfile.info(tmp_path / "b.wav").frames == 20000


def test_peaks_above_full_scale_are_reported(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 1.5, -2.0, 0.5]), RATE, "FLOAT")
    assert "2 samples above full scale" in copy(tmp_path / "a.wav", tmp_path / "b.flac")[0]
    assert copy(tmp_path / "a.wav", tmp_path / "c.wav") == []


@pytest.mark.parametrize(
    ("target", "channels"), [("b.sd2", 1), ("b.mp3", 3), ("b.flac", 9), ("b.txt", 1)]
)
def test_what_a_target_cannot_hold_is_refused_before_the_work(tmp_path, target, channels):
    soundfile.write(tmp_path / "a.wav", noise(100, channels), RATE)
    with pytest.raises(AudioFileError, match=r"use one of"):
        copy(tmp_path / "a.wav", tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
