"""Devices for other programs, on a real sound server: their names, and hearing oneself."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from resonance.app.live.virtual_devices import ChosenChannel, Monitor, VirtualMic

pytestmark = pytest.mark.audio


@pytest.fixture(autouse=True)
def _at_the_server(server, monkeypatch):
    for name in ("PULSE_SERVER", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, server.environment[name])


def test_two_microphones_have_two_names(server):
    mics = [VirtualMic(os.getpid()), VirtualMic(os.getppid())]
    try:
        for mic in mics:
            mic.ensure()
        assert [mic.name for mic in mics] == ["Resonance microphone", "Resonance microphone 2"]
        lines = server.pactl("list", "sources").splitlines()
        listed = [line.split(":", 1)[1].strip() for line in lines if "Description:" in line]
        assert {mic.name for mic in mics} <= set(listed)
    finally:
        for mic in mics:
            mic.close()
    assert server.our_modules() == []


def test_people_hear_what_their_microphone_carries(server):
    mic, monitor = VirtualMic(), Monitor()
    mic.ensure()
    try:
        monitor.follow(mic, "ci_out")
        monitor.follow(mic, "ci_out")
        loops = [line for line in server.our_modules() if "module-loopback" in line]
        assert len(loops) == 1, "asked for twice, it is made once"
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 48000) / 48000)
        with server.recording("ci_out.monitor") as recorded, server.playing(tone, 48000, mic.sink):
            time.sleep(2.0)
        assert np.abs(recorded[0]).max() > 0.1
        monitor.close()
        assert not [line for line in server.our_modules() if "module-loopback" in line]
        assert len(server.our_modules()) == 2, "the microphone stays"
    finally:
        monitor.close()
        mic.close()
    assert server.our_modules() == []


def test_the_monitor_of_a_plain_null_sink_can_be_the_microphone(server):
    """It stalls now and then, and must not be taken for a device that is gone."""
    module = server.pactl(
        "load-module",
        "module-null-sink",
        "sink_name=plain",
        "sink_properties=device.description=Plain",
    ).strip()
    command = [sys.executable, "-m", "resonance.app.cli", "live", "--input", "Monitor of Plain"]
    try:
        done = subprocess.run(
            [*command, "--seconds", "6", "--json", "--no-spot"],
            env=server.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    finally:
        server.pactl("unload-module", module)
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f["state"] for f in facts if "state" in f] == ["loading", "listening"]


def test_the_next_engine_takes_the_chosen_channel_over(server):
    first, second = ChosenChannel(os.getpid()), ChosenChannel(os.getpid())
    try:
        first.follow("ci_out.monitor", 2)
        second.follow("ci_out.monitor", 2)  # as after an engine that was killed
        assert second.exists
        assert second.source == first.source
        assert second.device_name == "Monitor of Null Output"
        assert len(server.our_modules()) == 1
    finally:
        second.close()
    assert server.our_modules() == []
