"""What CONTRIBUTING.md says about adding things is so: a toy of each, and nothing else touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from resonance.assets import MODELS

ROOT = Path(__file__).parent.parent
COMMAND = """
import click


@click.command()
def toy() -> None:
    '''Say hello.'''
    click.echo("hello")
"""


ACTION = """
from functools import partial
from pathlib import Path
from resonance.app.actions import ACTIONS, ActionKind


class Toy:
    name = "toy"

    def __init__(self, path):
        self.path = path

    def __call__(self, event):
        Path(self.path).write_text(event.keyword)

    def close(self):
        pass


ACTIONS.append(ActionKind(
    "toy", lambda path, _: partial(Toy, path), "Play with words.", "PATH", "Toy", "a path"
))
"""


def resonance(before, *arguments):
    """The command line, in a process that has done something before."""
    code = f"{before}\nfrom resonance.app.cli import main\nmain({list(map(str, arguments))})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_a_command_is_one_file(tmp_path):
    (tmp_path / "toy.py").write_text(COMMAND)
    before = f"import resonance.app.commands as c; c.__path__.append({str(tmp_path)!r})"
    assert resonance(before, "toy").stdout == "hello\n"
    assert "Say hello." in resonance(before, "--help").stdout


def test_a_preset_is_a_model_and_its_card(tmp_path):
    models = tmp_path / "models"
    shutil.copytree(MODELS, models)
    for ending in (".onnx", ".json"):
        shutil.copy(models / f"denoiser-live{ending}", models / f"denoiser-toy{ending}")
    card = json.loads((models / "denoiser-toy.json").read_text())
    (models / "denoiser-toy.json").write_text(json.dumps({**card, "summary": "only a toy"}))
    source = tmp_path / "hiss.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(source, noise, 16000)
    before = f"import pathlib, resonance.assets as a; a.MODELS = pathlib.Path({str(models)!r})"
    target = tmp_path / "out.wav"
    done = resonance(before, "denoise", source, "-o", target, "--preset", "toy")
    assert done.returncode == 0, done.stderr
    assert np.std(soundfile.read(target)[0]) < 0.2 * np.std(noise)
    assert "toy: only a toy" in " ".join(resonance(before, "denoise", "--help").stdout.split())


def test_an_action_is_a_class_and_a_row(tmp_path):
    toy, settings = tmp_path / "toy", tmp_path / "config.toml"
    assert "--toy PATH" in resonance(ACTION, "live", "--help").stdout
    settings.write_text(f"[live]\ntoy = {str(toy)!r}\n[window]\ntoy = {str(toy)!r}\n")
    code = f"""{ACTION}
import os, sys
os.environ["RESONANCE_CONFIG"] = {str(settings)!r}
from resonance.app import config
from resonance.app.actions import Known, makers, start_all
from resonance.app.cli import main
from resonance.app.gui.kept import Kept
from resonance.app.spotter import KeywordEvent

assert config.load(main)["live"]["toy"] == Kept.load().actions["toy"]
[worker] = start_all(makers(Kept.load().actions, Known()), print)
worker.put(KeywordEvent(1.0, "stop", 0.9))
worker.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert toy.read_text() == "stop"


SETTING = '    toy_db: float = setting(1.0, "Play.", low=0, high=9, per_device=True)\n'
USE_SETTING = """
from click.testing import CliRunner
from resonance.app import config
from resonance.app.cli import main
from resonance.app.errors import UserError
from resonance.app.gui.kept import Kept
from resonance.app.live.settings import EngineSettings, check

def write(table, key, value):
    config.path().write_text(f"[{table}]\\n{key} = {value}\\n")

invoke = CliRunner().invoke
print("--toy-db" in invoke(main, ["live", "--help"]).output)
print(invoke(main, ["live", "--toy-db", "11"]).stderr.splitlines()[-1])
write("live", "toy-db", 2)
print(config.load(main)["live"])
write("live", "toy-db", 11)
try:
    config.load(main)
except UserError as error:
    print(str(error).split(": ", 1)[1])
write('device."Mic"', "toy-db", 3)
print(config.devices(main))
write("window", "toy_db", 4)
print(Kept.load().engine_settings().toy_db)
Kept.load().with_(toy_db=5.0).save()
print(config.window())
write("window", "toy_db", 11)
print(Kept.load().complaint.split(": ", 1)[1])
try:
    check(EngineSettings(toy_db=11))
except UserError as error:
    print(error)
"""


def test_a_setting_is_a_row(tmp_path):
    copy = tmp_path / "resonance"
    shutil.copytree(ROOT / "app", copy / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dsp", "assets"):
        (copy / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "resonance" / "__init__.py", copy)
    table = copy / "app" / "live" / "settings.py"
    text = table.read_text(encoding="utf-8")
    first = text.index("    input_name:")
    table.write_text(text[:first] + SETTING + text[first:], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE_SETTING],
        cwd=tmp_path,
        env={**os.environ, "RESONANCE_CONFIG": str(tmp_path / "config.toml"), "PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "True",
        "Error: Invalid value for '--toy-db': 11.0 is not in the range 0<=x<=9.",
        "{'toy_db': 2}",
        "[live] toy-db = 11: 11.0 is not in the range 0<=x<=9.",
        "{'Mic': {'toy_db': 3.0}}",
        "4",
        "{'toy_db': 5.0}",
        "toy_db = 11: choose a number from 0 to 9",
        "toy-db = 11: choose a number from 0 to 9",
    ], done.stderr


def test_the_recipes_name_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    words = [word.strip("`.,;:()") for word in text.split() if word.startswith("`")]
    paths = [word for word in words if word.endswith((".py", ".md")) and "/" in word]
    assert paths
    assert not [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]
