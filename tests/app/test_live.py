"""Live sound through a real PortAudio stream on a real PulseAudio server without hardware."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.audio

CONFIG = """
load-module module-native-protocol-unix socket={root}/pulse.sock auth-anonymous=1
load-module module-null-sink sink_name=ci_out rate=48000 channels=2 norewinds=1
load-module module-null-sink sink_name=ci_mic rate=48000 channels=1 norewinds=1
load-module module-remap-source master=ci_mic.monitor source_name=mic channels=1 channel_map=mono
set-default-sink ci_out
set-default-source mic
"""


@pytest.fixture(scope="module")
def sound_server(tmp_path_factory):
    """Environment of a running server with a microphone we can play into."""
    for program in ("pulseaudio", "paplay", "parec"):
        assert shutil.which(program), f"{program} is missing: ./system-packages.sh test"
    root = tmp_path_factory.mktemp("pulse")
    root.chmod(0o700)
    (root / "ci.pa").write_text(CONFIG.format(root=root))
    environment = {
        **os.environ, "HOME": str(root), "XDG_RUNTIME_DIR": str(root),
        "PULSE_SERVER": f"unix:{root}/pulse.sock",
    }  # fmt: skip
    server = subprocess.Popen(
        ["pulseaudio", "-n", "-F", str(root / "ci.pa"), "--daemonize=no", "--exit-idle-time=-1",
         "--use-pid-file=no"],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 10
    while not (root / "pulse.sock").exists():
        assert time.monotonic() < deadline, "the sound server did not start"
        time.sleep(0.05)
    yield environment
    server.terminate()
    server.wait(10)


def resonance(*arguments):
    return [sys.executable, "-m", "app.cli", *arguments]


def test_devices_are_listed(sound_server):
    done = subprocess.run(
        resonance("devices", "--json"), env=sound_server, capture_output=True, text=True, check=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(d["name"] == "pulse" and d["inputs"] and d["outputs"] for d in found)


def test_unknown_devices_are_named_with_what_there_is(sound_server):
    done = subprocess.run(
        resonance("live", "--input", "Golden Microphone", "--seconds", "1"),
        env=sound_server, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "'Golden Microphone'; there are: " in done.stderr
    assert "Traceback" not in done.stderr


def test_the_microphone_comes_out_clean(sound_server, tmp_path, demo):
    """Play the demo into the microphone, record the loudspeaker, compare with what went in."""
    noisy, _, samplerate = demo
    soundfile.write(tmp_path / "feed.wav", noisy, samplerate)
    live = subprocess.Popen(
        resonance("live", "--input", "pulse", "--output", "pulse", "--seconds", "14", "--json"),
        env=sound_server, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(4)  # models load, devices open
    with (tmp_path / "tap.raw").open("wb") as tap:
        recorder = subprocess.Popen(
            ["parec", "-d", "ci_out.monitor", "--format=float32le", "--rate=48000", "--channels=1",
             "--latency-msec=20", "--raw"],
            env=sound_server, stdout=tap,
        )  # fmt: skip
        player = subprocess.Popen(
            ["paplay", "-d", "ci_mic", "--latency-msec=20", str(tmp_path / "feed.wav")],
            env=sound_server,
        )
        output, _ = live.communicate(timeout=40)
        player.kill()
        recorder.kill()
        player.wait()
        recorder.wait()
    assert live.returncode == 0
    events = [json.loads(line) for line in output.splitlines()]
    summary = events.pop()["summary"]
    assert summary["blocks"] > 0.9 * 14 / 0.01
    assert summary["lost_blocks"] <= 0.05 * summary["blocks"]
    heard = np.fromfile(tmp_path / "tap.raw", np.float32)
    assert np.std(heard) > 1e-3, "something came out"
    quietest = np.percentile(
        np.abs(heard[: len(heard) // 4800 * 4800]).reshape(-1, 4800).std(1), 20
    )
    loudest = np.abs(heard).max()
    assert loudest > 0.05
    assert quietest < 0.02, "pauses are quiet"


def modules(sound_server):
    done = subprocess.run(
        ["pactl", "list", "short", "modules"],
        env=sound_server, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "resonance_" in line]


def test_other_programs_record_clean_sound_from_the_virtual_microphone(
    sound_server, demo, tmp_path
):
    noisy, _, samplerate = demo
    live = subprocess.Popen(
        resonance("live", "--input", "pulse", "--virtual-mic", "--seconds", "9", "--json",
                  "--record", tmp_path / "clean.wav", "--record-raw", tmp_path / "raw.flac"),
        env=sound_server, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while len(modules(sound_server)) < 2:
        assert time.monotonic() < deadline, "the virtual microphone did not appear"
        time.sleep(0.1)
    recorder = subprocess.Popen(
        ["parec", "-d", f"resonance_mic_{live.pid}", "--format=float32le", "--rate=48000",
         "--channels=1", "--raw"],
        env=sound_server, stdout=subprocess.PIPE,
    )  # fmt: skip
    player = subprocess.Popen(
        ["paplay", "-d", "ci_mic", "--raw", "--format=float32le", f"--rate={samplerate}",
         "--channels=1"],
        env=sound_server, stdin=subprocess.PIPE,
    )  # fmt: skip
    player.stdin.write(noisy.astype("<f4").tobytes())
    player.stdin.close()
    _, complaints = live.communicate(timeout=40)
    player.kill()
    player.wait()
    recorder.terminate()
    heard = np.frombuffer(recorder.communicate()[0], np.float32)
    assert live.returncode == 0, complaints
    assert "Resonance_microphone" in complaints
    assert np.abs(heard).max() > 0.05
    assert modules(sound_server) == []
    clean, raw = (soundfile.read(tmp_path / name)[0] for name in ("clean.wav", "raw.flac"))
    assert len(clean) == len(raw) > 8 * 48000
    assert np.std(raw) > np.std(clean) > 1e-3


def test_what_a_crash_leaves_is_cleared_away_at_the_next_start(sound_server):
    code = (
        "import os, signal\n"
        "from app.virtual_mic import VirtualMic\n"
        "VirtualMic()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], env=sound_server)
    assert len(modules(sound_server)) == 2
    code = "from app.virtual_mic import VirtualMic\nwith VirtualMic() as mic: print(mic.source)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=sound_server, capture_output=True, text=True
    )
    assert done.stdout.startswith("resonance_mic_"), done.stderr
    assert modules(sound_server) == []


def test_a_failing_pipeline_passes_the_sound_on_and_says_so(sound_server):
    """An exception inside the callback must not end in silence without a word."""
    code = (
        "import time\n"
        "from app.live import LiveStream\n"
        "from app.sessions import DenoiserModel\n"
        "pulse = {'input_name': 'pulse', 'output_name': 'pulse'}\n"
        "live = LiveStream(DenoiserModel.preset('live'), None, **pulse)\n"
        "def broken(*_): raise RuntimeError('broken on purpose')\n"
        "live.pipeline.process = broken\n"
        "with live:\n"
        "    time.sleep(1)\n"
        "    print(live.stream.active, live.error, live.counters.blocks > 50)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=sound_server, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True broken on purpose True", done.stderr
