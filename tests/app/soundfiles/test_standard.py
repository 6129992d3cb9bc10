"""Sound through real pipes: ``-`` as input and output."""

import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

RATE = 16000


def piped(sound, *arguments, code=0):
    program = [sys.executable, "-m", "resonance", *arguments]
    done = subprocess.run(program, input=sound, capture_output=True)
    assert done.returncode == code, done.stderr.decode()
    return done


def denoised(sound, *arguments, **options):
    return piped(sound, "denoise", "-", "-o", "-", "--preset", "live", *arguments, **options)


@pytest.fixture
def hiss():
    return (0.05 * np.random.default_rng(0).standard_normal((4000, 2))).astype(np.float32)


@pytest.mark.parametrize(("form", "container"), [("wav", "WAV"), ("w64", "W64")])
def test_files_through_pipes(hiss, form, container):
    file = io.BytesIO()
    soundfile.write(file, hiss, RATE, "PCM_24", format=container)
    done = denoised(file.getvalue(), "--format", form)
    with soundfile.SoundFile(io.BytesIO(done.stdout)) as cleaned:
        assert (cleaned.format, cleaned.subtype, cleaned.channels) == (container, "PCM_24", 2)
        assert (cleaned.samplerate, cleaned.frames) == (RATE, 4000)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("samples", "dtype"), [("s16", "<i2"), ("s32", "<i4"), ("f32", "<f4")])
def test_raw_sound_stays_raw_sound(hiss, samples, dtype):
    full_scale = 1 if dtype == "<f4" else np.iinfo(dtype).max
    sound = (full_scale * hiss).astype(dtype)
    kind = f"{RATE}:2:{samples}" if samples != "s16" else f"{RATE}:2"
    limits = ("--limit-db", "0")  # a wire: what comes out is what went in
    done = denoised(sound.tobytes(), "--raw", kind, "--format", "raw", *limits)
    cleaned = np.frombuffer(done.stdout, dtype).reshape(-1, 2)
    assert cleaned.shape == sound.shape
    error = (cleaned.astype(float) - sound) / full_scale
    assert np.sqrt(np.mean(error**2)) < 0.001


def test_header_of_a_pipe_that_ends_early(hiss):
    file = io.BytesIO()
    soundfile.write(file, hiss, RATE, "PCM_16", format="WAV")
    endless = bytearray(file.getvalue())
    endless[4:8] = endless[40:44] = b"\xff\xff\xff\xff"
    cleaned, _ = soundfile.read(io.BytesIO(denoised(bytes(endless)).stdout))
    assert len(cleaned) == 4000


def test_what_makes_no_sense_is_refused_and_nothing_is_written(hiss, tmp_path):
    for raw in ("48000", "0:2", "48000:2:s16:x", "²:1"):
        assert denoised(b"", "--raw", raw, code=2).stdout == b""
    for sound in (b"", b"no sound at all"):
        done = denoised(sound, code=1)
        assert done.stdout == b""
        assert b"standard input cannot be read as audio" in done.stderr
    target = str(tmp_path / "x.wav")
    piped(b"", "denoise", target, "-o", target, "--raw", "48000:2", code=2)
    piped(b"", "denoise", "-", "-o", target, "--format", "raw", code=2)


def test_a_reader_that_leaves_makes_no_traceback(hiss):
    program = [sys.executable, "-m", "resonance", "denoise", "-", "-o", "-", "--format", "raw"]
    program += ["--raw", f"{RATE}:1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        process.stdin.write(bytes(400_000))
        process.stdin.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert b"Traceback" not in said
