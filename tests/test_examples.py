"""Every example runs and does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from resonance.assets import DEMO

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(folder, name, *arguments, environment=None):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_in_the_list_and_tested():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    assert all(f"[{name}]" in listed and f'"{name}"' in tests for name in names)


def test_an_array_is_cleaned(tmp_path):
    assert "17.5 s" in run(tmp_path, "clean_array.py")
    assert soundfile.info(tmp_path / "clean.wav").frames == soundfile.info(DEMO).frames


def test_blocks_are_streamed(tmp_path):
    said = run(tmp_path, "stream_blocks.py")
    assert "latency: 0 samples" in said
    assert "yes" in said


def test_keywords_are_found(tmp_path):
    assert "yes" in run(tmp_path, "spot_keywords.py")


def test_a_folder_is_cleaned(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(source / "hiss.wav", noise, 16000)
    (source / "broken.wav").write_bytes(b"no sound")
    assert "hiss.wav: 1.0 s" in run(tmp_path, "clean_folder.py", source, tmp_path / "out")
    cleaned, _ = soundfile.read(tmp_path / "out" / "hiss.wav")
    assert np.std(cleaned) < 0.2 * np.std(noise)
    assert not (tmp_path / "out" / "broken.wav").exists()


def test_the_bank_resonates(tmp_path):
    lines = run(tmp_path, "look_at_the_bank.py").splitlines()
    amplitudes = [float(line.split("=")[1]) for line in lines[:3]]
    assert np.argmax(amplitudes) == 1


@pytest.mark.audio
def test_live_sound_runs(tmp_path, server):
    said = run(tmp_path, "live_keywords.py", 3, environment=server.environment)
    assert "listening: " in said
    assert "% of a core" in said
