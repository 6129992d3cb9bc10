"""All that is in a file is read, whatever its header says; what cannot be is reported."""

import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from resonance.app.errors import AudioFileError
from resonance.app.soundfiles.reader import open_sound

RATE = 16000
FORMAT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
PCM = (3000 * np.random.default_rng(1).standard_normal(RATE // 2)).astype("<i2").tobytes()


def noise(seconds=1.0):
    return 0.1 * np.random.default_rng(2).standard_normal(int(seconds * RATE))


def read(path):
    """Samples in a file, and what it warns of."""
    with open_sound(path) as reader:
        sound = np.concatenate([np.zeros((0, reader.channels)), *reader.blocks()])
        return sound, reader.warnings


def riff(size, tail=b"", magic=b"RIFF", before=b""):
    head = magic + struct.pack("<I", 36) + b"WAVE" + before + FORMAT
    return head + b"data" + struct.pack("<I", size) + PCM + tail


DS64 = b"ds64" + struct.pack("<IQQQI", 28, 0, 0, 0, 0)
LIST = b"LIST" + struct.pack("<I", 4) + b"INFO"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (riff(0), "0 bytes of sound; 16000 are there"),
        (riff(4000), "4000 bytes of sound; 16000 are there"),
        (riff(0, magic=b"RF64", before=DS64), None),
        (riff(0xFFFFFFFF, magic=b"RF64", before=DS64), "0 bytes of sound"),
        (riff(0xFFFFFFFF, magic=b"BW64", before=DS64), "0 bytes of sound"),
        (riff(0xFFFFFFFF), None),
        (riff(0x7FFFF000), None),
        (riff(len(PCM)), None),
        (riff(len(PCM), LIST), None),
        (riff(len(PCM), b"TAG" + bytes(125)), None),
        (riff(20000), "is truncated"),
    ],
)
def test_a_wav_is_read_to_its_end(tmp_path, content, told):
    (tmp_path / "a.wav").write_bytes(content)
    sound, warnings = read(tmp_path / "a.wav")
    assert len(sound) == len(PCM) // 2
    np.testing.assert_allclose(sound[:, 0] * 32768, np.frombuffer(PCM, "<i2"), atol=0.01)
    if told:
        assert told in warnings[0]
    elif b"RF64" not in content[:4]:
        assert warnings == []


def test_a_wav_without_sound_has_none(tmp_path):
    head = b"RIFF" + struct.pack("<I", 48) + b"WAVE" + FORMAT
    (tmp_path / "a.wav").write_bytes(head + b"data" + bytes(4) + LIST)
    assert len(read(tmp_path / "a.wav")[0]) == 0


@pytest.mark.parametrize("form", ["wav", "w64", "aiff", "au", "caf", "flac", "ogg", "opus", "mp3"])
def test_what_comes_through_a_pipe_is_whole(tmp_path, form):
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    program = ["ffmpeg", "-nostdin", "-v", "error", "-i", tmp_path / "a.wav", "-f", form, "-"]
    (tmp_path / f"p.{form}").write_bytes(subprocess.run(program, capture_output=True).stdout)
    sound, warnings = read(tmp_path / f"p.{form}")
    assert RATE <= len(sound) * RATE / soundfile_rate(tmp_path / f"p.{form}") < 1.1 * RATE
    assert not any("truncated" in text for text in warnings)


def soundfile_rate(path):
    with open_sound(path) as reader:
        return reader.samplerate


@pytest.mark.parametrize(("form", "subtype"), [("flac", None), ("ogg", None), ("opus", "OPUS")])
def test_streams_one_after_the_other_are_all_read(tmp_path, form, subtype):
    options = {"format": "OGG", "subtype": subtype} if subtype else {}
    for name, seconds in (("a", 1.0), ("b", 0.5)):
        soundfile.write(tmp_path / f"{name}.{form}", noise(seconds), RATE, **options)
    joined = tmp_path / f"joined.{form}"
    joined.write_bytes(b"".join((tmp_path / f"{n}.{form}").read_bytes() for n in "ab"))
    sound, warnings = read(joined)
    assert (len(sound), warnings) == (int(1.5 * RATE), [])


def test_a_stream_of_another_kind_is_reported(tmp_path):
    soundfile.write(tmp_path / "a.ogg", noise(), RATE)
    soundfile.write(tmp_path / "b.ogg", noise(), 8000)
    content = [(tmp_path / name).read_bytes() for name in ("a.ogg", "b.ogg")]
    (tmp_path / "c.ogg").write_bytes(b"".join(content))
    sound, warnings = read(tmp_path / "c.ogg")
    assert len(sound) == RATE
    assert "changes to 1 × 8000 Hz after 1.0 s" in warnings[0]


@pytest.mark.parametrize(("form", "subtype"), [("flac", None), ("ogg", None), ("opus", "OPUS")])
def test_what_was_cut_is_read_as_far_as_it_goes(tmp_path, form, subtype):
    options = {"format": "OGG", "subtype": subtype} if subtype else {}
    soundfile.write(tmp_path / f"a.{form}", noise(4.0), RATE, **options)
    content = (tmp_path / f"a.{form}").read_bytes()
    (tmp_path / f"cut.{form}").write_bytes(content[: 2 * len(content) // 3])
    sound, warnings = read(tmp_path / f"cut.{form}")
    assert 1.5 * RATE < len(sound) < 3 * RATE
    assert "cut short" in warnings[0]


def test_joined_mp3s_are_read_to_the_end(tmp_path):
    soundfile.write(tmp_path / "a.mp3", noise(2.0), RATE)
    soundfile.write(tmp_path / "b.mp3", noise(3.0), RATE)
    parts = [(tmp_path / name).read_bytes() for name in ("a.mp3", "b.mp3")]
    tag = b"ID3\x03\0\0\0\0\x02\0" + bytes(256)
    (tmp_path / "c.mp3").write_bytes(parts[0] + tag + parts[1])
    sound, warnings = read(tmp_path / "c.mp3")
    assert 5.0 * RATE <= len(sound) < 5.3 * RATE
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", ["-c:a", "adpcm_yamaha"]),
        ("b.wav", ["-ar", "48000", "-c:a", "ac3"]),
        ("c.caf", ["-c:a", "alac"]),
        ("d.oga", ["-c:a", "flac"]),
        ("e.mp2", []),
        ("f.m4a", []),
    ],
)
def test_ffmpeg_is_asked_by_content(tmp_path, name, options):
    soundfile.write(tmp_path / "in.wav", noise(), RATE)
    program = ["ffmpeg", "-nostdin", "-v", "error", "-i", tmp_path / "in.wav", *options]
    subprocess.run([*program, tmp_path / name], check=True)
    shutil.move(tmp_path / name, tmp_path / "renamed.mp3")
    with open_sound(tmp_path / "renamed.mp3") as reader:
        seconds = sum(map(len, reader.blocks())) / reader.samplerate
    assert 0.99 < seconds < 1.2


def test_playlists_lead_nowhere(tmp_path):
    soundfile.write(tmp_path / "secret.wav", noise(), RATE)
    for text in (
        f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n",
    ):
        (tmp_path / "list.mp3").write_text(text)
        with pytest.raises(AudioFileError, match="cannot be read as audio"):
            read(tmp_path / "list.mp3")


def test_a_channel_can_be_chosen(tmp_path):
    both = np.stack([noise(), -noise()], axis=1)
    soundfile.write(tmp_path / "a.wav", both, RATE, "FLOAT")
    with open_sound(tmp_path / "a.wav") as reader:
        reader.choose_channel(2)
        sound = np.concatenate(list(reader.blocks()))
        assert sound.shape == (RATE, 1)
        np.testing.assert_allclose(sound[:, 0], both[:, 1], atol=1e-7)
        with pytest.raises(AudioFileError, match="2 channels; there is no channel 3"):
            reader.choose_channel(3)


@pytest.mark.parametrize("promised", [0, 7, 10**12, 2**63 - 1])
def test_a_caf_is_read_whatever_size_it_says(tmp_path, promised):
    soundfile.write(tmp_path / "a.caf", noise(), RATE)
    content = bytearray((tmp_path / "a.caf").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 8] = promised.to_bytes(8, "big")
    (tmp_path / "a.caf").write_bytes(content)
    sound, warnings = read(tmp_path / "a.caf")
    assert len(sound) == RATE
    assert bool(warnings) == (promised < 2**62)


def test_damage_in_the_last_page_is_reported(tmp_path):
    soundfile.write(tmp_path / "a.ogg", noise(), RATE)
    content = bytearray((tmp_path / "a.ogg").read_bytes())
    assert read(tmp_path / "a.ogg")[1] == []
    content[-100] ^= 0x55
    (tmp_path / "a.ogg").write_bytes(content)
    sound, warnings = read(tmp_path / "a.ogg")
    assert len(sound) < RATE
    assert "damaged or cut short" in warnings[0]


@pytest.mark.parametrize(
    "front",
    [
        b"ID3\x03\0\0\x7f\x7f\x7f\x7f",
        b"ID3\xff\xff\xff\xff\xff\xff\xff" + bytes(300),
        b"APETAGEX" + bytes(24),
        b"APETAGEX" + b"\xff" * 24,
    ],
)
def test_tags_that_lie_hide_no_sound(tmp_path, front):
    soundfile.write(tmp_path / "a.mp3", noise(), RATE)
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(front + content)
    sound, _ = read(tmp_path / "b.mp3")
    assert abs(len(sound) - RATE) < 3000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    sources = [str(tmp_path / "pipe.wav"), str(tmp_path / "loop.wav"), "/dev/zero"]
    for command in (["spot", *sources], ["denoise", *sources, "-o", str(tmp_path / "out")]):
        program = [sys.executable, "-m", "resonance", *command]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert all(f"error: {source} " in done.stderr for source in sources)
