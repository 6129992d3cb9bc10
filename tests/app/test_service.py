"""Starting with the session: files that systemd and desktops read."""

import configparser
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from resonance.app import service

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="for Linux")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, in which no systemd looks after the session."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("RESONANCE_CONFIG", str(tmp_path / "none.toml"))
    return tmp_path / "config"


def run(*arguments):
    command = [sys.executable, "-m", "resonance", "service", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_without_systemd_it_is_an_autostart_entry(home):
    assert "your next session" in run("install")
    path = home / "autostart" / "resonance.desktop"
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(path)
    command = shlex.split(entry["Desktop Entry"]["Exec"])
    assert command == [sys.executable, "-m", "resonance", "live", "--virtual-mic", "--no-spot"]
    assert f"autostart: {path}" in run("status")
    assert json.loads(run("status", "--json"))["installed"] == ["autostart"]
    assert f"removed: {path}" in run("remove")
    assert "not installed" in run("status")
    assert "was not installed" in run("remove")
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_the_unit_is_one_that_systemd_takes(home):
    run("install", "--with", "systemd")
    unit = home / "systemd" / "user" / "resonance.service"
    assert (unit.parent / "default.target.wants" / unit.name).resolve() == unit
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", unit], capture_output=True, text=True
        )
        assert "resonance" not in done.stderr, done.stderr
    run("install", "--with", "autostart")
    assert not unit.exists(), "never both, or it would start twice"
    run("remove")


def test_odd_paths_are_quoted(home, monkeypatch):
    odd = '/a b/50% "py$thon"\\'
    monkeypatch.setattr(sys, "executable", odd)
    text = service.install("systemd").read_text()
    assert 'ExecStart="/a b/50%% \\"py$$thon\\"\\\\" "-m"' in text
    text = service.install("autostart").read_text()
    assert 'Exec="/a b/50%% \\"py\\$thon\\"\\\\" "-m"' in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_and_man_pages_are_installed(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-m", "resonance", "completion"]
    subprocess.run(
        [*command, "--install"], check=True, env={**os.environ, "SHELL": f"/bin/{shell}"}
    )
    (script,) = [p for p in tmp_path.rglob("*resonance*") if p.is_file() and p.suffix != ".1"]
    printed = subprocess.run([*command, shell], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == script.read_text().strip()
    if shutil.which(shell):
        subprocess.run([shell, "-n", script], check=True)
    page = (tmp_path / ".local/share/man/man1/resonance-denoise.1").read_text()
    assert "limit\\-db" in page or "limit-db" in page
    asked = {
        "COMP_WORDS": "resonance enr",
        "COMP_CWORD": "1",
        "_RESONANCE_COMPLETE": "bash_complete",
    }
    done = subprocess.run(command[:3], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stdout == "plain,enroll\n"
