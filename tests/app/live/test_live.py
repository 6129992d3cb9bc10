"""Live sound through real PortAudio streams on a real PulseAudio server without hardware."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime

import numpy as np
import pytest
import soundfile

from resonance.app.onnx_models import DenoiserModel
from resonance.app.pipeline import Pipeline
from resonance.app.presets import LIVE_PRESET

pytestmark = pytest.mark.audio


def resonance(*arguments):
    return [sys.executable, "-m", "resonance", *map(str, arguments)]


def run(server, *command, **options):
    return subprocess.run(
        command, env=server.environment, capture_output=True, text=True, **options
    )


def test_devices_are_listed_with_those_of_the_server(server):
    done = run(server, *resonance("devices", "--json"), check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(d["name"] == "pulse" and d["inputs"] and d["outputs"] for d in found)
    (microphone,) = [d for d in found if d["server_name"] == "mic"]
    assert microphone["host_api"] == "PulseAudio"
    assert microphone["default_input"]
    assert not microphone["outputs"]


def test_names_of_devices_are_shown_as_they_are(server):
    names = ["Boom [left] Pole", "Rack [/etc] 9", "Pad :snake: [red]x"]
    modules = [
        server.pactl(
            "load-module",
            "module-null-sink",
            f"sink_name=odd{number}",
            f"sink_properties=\"device.description='{name}'\"",
        ).strip()
        for number, name in enumerate(names)
    ]
    done = run(server, *resonance("devices"))
    for module in modules:
        server.pactl("unload-module", module)
    assert done.returncode == 0, done.stderr
    for name in names:
        assert name in done.stdout


def test_a_token_is_not_printed(server):
    arguments = ("--websocket", "127.0.0.1:0", "--token", "open-sesame", "--seconds", "0.1")
    done = run(server, *resonance("live", *arguments), check=True)
    assert "sesame" not in done.stdout + done.stderr


def test_unknown_devices_are_named_with_what_there_is(server):
    done = run(server, *resonance("live", "--input", "Golden Microphone", "--seconds", "1"))
    assert done.returncode == 1
    assert "'Golden Microphone'; there are: " in done.stderr
    assert done.stderr.count("Golden Microphone") == 1
    assert "Traceback" not in done.stderr


ENGINE = """
import json, sys, time
import numpy as np
from resonance.app.live.engine import Engine
from resonance.app.live.settings import EngineSettings

engine = Engine(EngineSettings(spot=False, block_ms=1000 * float(sys.argv[1])))
engine.start()
while engine.state != "listening":
    time.sleep(0.01)
print("listening", flush=True)
time.sleep(7)
first, sound = engine.board.sound.since(0)
assert first == 0
np.save(sys.argv[2], sound)
print(json.dumps(engine.board.counters()))
engine.close()
assert engine.messages()[-1].state == "stopped"
"""


@pytest.mark.parametrize("block_s", [0.005, 0.01])
def test_live_gives_the_samples_that_files_get(server, tmp_path, demo, block_s):
    """What other programs record of the loudspeaker is what files get of the same input."""
    noisy, _, samplerate = demo
    live = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(block_s), str(tmp_path / "sound.npy")],
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert live.stdout.readline() == "listening\n"
    with server.recording() as found, server.playing(noisy[3 * samplerate :], samplerate):
        output, _ = live.communicate(timeout=40)
    assert live.returncode == 0
    counters = json.loads(output)
    assert counters["blocks"] > 0.5 * 7 / block_s, "also on a busy computer"
    recorded, played = np.ascontiguousarray(np.load(tmp_path / "sound.npy").T)
    assert np.abs(played).max() > 0.05
    expected = np.empty_like(recorded)
    denoiser = DenoiserModel.preset(LIVE_PRESET)
    Pipeline(48000, denoiser=denoiser).process(recorded, expected)
    if counters["overloads"] == 0:
        np.testing.assert_array_equal(played, expected)
    assert seconds_alike(found[0], played) >= 3


def seconds_alike(outside, played, fragment=9600):
    """Seconds of loud sound played that were recorded outside, to -60 dB.

    Counted in fifths of a second: each block that a busy computer loses shifts the rest.
    """
    starts = range(48000, len(played) - 48000, fragment)
    parts = [played[start : start + fragment] for start in starts]
    loud = [part for part in parts if np.std(part) > 0.03 * max(map(np.std, parts))]
    return sum(recorded(outside, part) for part in loud) * fragment / 48000


def recorded(outside, part):
    """Whether ``part`` is somewhere in the sound outside, to -60 dB."""
    place = align(outside, part)
    found = outside[max(0, place) : max(0, place) + len(part)]
    return len(found) == len(part) and difference_db(found, part) < -60


def align(sound, part):
    """Where ``part`` begins in ``sound``: where they are most alike, whatever the level there."""
    size = 1 << (len(sound) + len(part)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(part, size))
    likeness = np.fft.irfft(spectrum, size)[: len(sound) - len(part) + 1]
    power = np.cumsum(sound.astype(np.float64) ** 2)
    power = power[len(part) - 1 :] - np.concatenate([[0.0], power[: -len(part)]])
    return int(np.argmax(likeness / np.sqrt(power + 1e-9)))


def difference_db(one, other):
    return 10 * np.log10(np.mean((one - other) ** 2) / np.mean(other**2))


def pauses_rms(sound):
    """Level that a tenth of the frames of 20 ms stay below."""
    frames = sound[: len(sound) // 960 * 960].reshape(-1, 960)
    return np.percentile(np.sqrt(np.mean(frames**2, axis=1)), 10)


def test_other_programs_record_clean_sound_from_the_virtual_microphone(server, demo, tmp_path):
    noisy, _, samplerate = demo
    live = subprocess.Popen(
        resonance(
            "live",
            "--virtual-mic",
            "--seconds",
            "8",
            "--false-accepts",
            "10",
            "--json",
            "--record",
            tmp_path / "clean.wav",
            "--record-raw",
            tmp_path / "raw.flac",
        ),
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    live.stdout.readline()
    state = json.loads(live.stdout.readline())
    assert state["virtual_mic"] == "Resonance microphone"
    assert "Resonance microphone" in server.pactl("list", "sources")
    begin = time.time()
    with server.recording("resonance_mic") as found, server.playing(noisy, samplerate):
        said, complaints = live.communicate(timeout=40)
    assert live.returncode == 0, complaints
    keywords = [k for k in map(json.loads, said.splitlines()) if "keyword" in k]
    assert keywords
    for keyword in keywords:
        detected_at = datetime.fromisoformat(keyword["wall_time"])
        assert detected_at.tzinfo
        assert begin < detected_at.timestamp() < time.time()
    assert np.abs(found[0]).max() > 0.05
    assert server.our_modules() == []
    clean, raw = (soundfile.read(tmp_path / name)[0] for name in ("clean.wav", "raw.flac"))
    assert abs(len(clean) - len(raw)) < 0.3 * 48000
    assert len(clean) > 7 * 48000
    assert np.std(clean) > 1e-3
    assert pauses_rms(raw) > 3 * pauses_rms(clean)


def test_what_a_crash_leaves_is_cleared_away_at_the_next_start(server):
    code = (
        "import os, signal\n"
        "from resonance.app.live.virtual_devices import VirtualMic\n"
        "VirtualMic().ensure()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run(server, sys.executable, "-c", code)
    assert len(server.our_modules()) == 2
    code = (
        "from resonance.app.live.virtual_devices import VirtualMic\n"
        "mic = VirtualMic(); mic.ensure(); mic.ensure(); print(mic.source)\n"
        "other = VirtualMic(1); other.ensure(); print(other.source); other.close(); mic.close()"
    )
    done = run(server, sys.executable, "-c", code)
    assert done.stdout.split() == ["resonance_mic", "resonance_mic_2"], done.stderr
    assert server.our_modules() == []


def test_what_others_play_is_cleaned_on_its_way_to_the_loudspeaker(server, demo):
    noisy, _, samplerate = demo
    live = subprocess.Popen(
        resonance("live", "--direction", "out", "--seconds", "6", "--json", "--no-spot"),
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    live.stdout.readline()
    state = json.loads(live.stdout.readline())
    assert state["virtual_speaker"] == "Resonance loudspeaker"
    sound = noisy[3 * samplerate :]
    with server.recording() as found, server.playing(sound, samplerate, "resonance_speaker"):
        live.communicate(timeout=40)
    assert live.returncode == 0
    assert np.abs(found[0]).max() > 0.05
    assert server.our_modules() == []


def test_looking_for_devices_ends_no_stream_of_the_same_process(server):
    code = (
        "import os, time, numpy as np\n"
        "from resonance.app import devices\n"
        "from resonance.app.live.loudspeaker import Loudspeaker\n"
        "from resonance.app.microphone import Microphone\n"
        "with Loudspeaker(48000, None) as loudspeaker, Microphone('mic') as microphone:\n"
        "    devices.refresh()\n"
        "    microphone._blocks.get(timeout=5)\n"
        "    before = microphone._blocks.qsize()\n"
        "    for _ in range(50): loudspeaker.play(np.zeros(480, np.float32))\n"
        "    print(microphone._blocks.qsize() > before, repr(loudspeaker.complaint))\n"
        "    print('PULSE_SOURCE' in os.environ)\n"
        "sd = devices.sounddevice()\n"
        "ended = []\n"
        "end, sd._terminate = sd._terminate, lambda: (ended.append(1), end())\n"
        "devices.refresh()\n"
        "print(len(ended), len(devices.list_devices()) > 0)\n"
    )
    done = run(server, sys.executable, "-c", code)
    assert done.stdout.splitlines() == ["True ''", "False", "1 True"], done.stderr


def test_a_preset_of_the_device_is_used_when_it_is_chosen(server, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[device."Remapped Monitor of Null Output"]\npreset = "studio"\n')
    live = subprocess.Popen(
        resonance("live", "--seconds", "3", "--json", "--no-spot"),
        env={**server.environment, "RESONANCE_CONFIG": str(file)},
        stdout=subprocess.PIPE,
        text=True,
    )
    output, _ = live.communicate(timeout=40)
    states = [json.loads(line) for line in output.splitlines()]
    delays = [s["latency_samples"] for s in states if s.get("state") == "listening"]
    assert delays == [384, 960], "8 ms of call, 20 ms of studio"


def test_everything_can_change_while_it_runs(server):
    code = (
        "import time\n"
        "from resonance.app.live.messages import as_facts\n"
        "from resonance.app.live.process import EngineProcess\n"
        "from resonance.app.live.settings import EngineSettings\n"
        "def wait(engine, wanted):\n"
        "    deadline = time.monotonic() + 60\n"
        "    while time.monotonic() < deadline:\n"
        "        for m in engine.messages():\n"
        "            facts = as_facts(m)\n"
        "            if facts.get('state') == 'listening' and wanted(facts): return facts\n"
        "            if 'warning' in facts: print(m.text)\n"
        "        time.sleep(0.02)\n"
        "    print('never')\n"
        "if __name__ == '__main__':\n"
        "    engine = EngineProcess(EngineSettings(spot=False))\n"
        "    engine.start()\n"
        "    first = wait(engine, lambda f: True)\n"
        "    engine.change(preset='studio', virtual_mic=True)\n"
        "    facts = wait(engine, lambda f: f['virtual_mic'])\n"
        "    print(facts['latency_samples'], facts['board'] == first['board'])\n"
        "    engine.change(spot=True)\n"
        "    facts = wait(engine, lambda f: f['board'] != first['board'])\n"
        "    print(engine.board.facts['words'][:2])\n"
        "    engine.change(virtual_mic=False, samplerate=44100.0, block_ms=20.0, preset='live')\n"
        "    facts = wait(engine, lambda f: f['samplerate'] == 44100)\n"
        "    print(facts['blocksize'], facts['latency_samples'], repr(facts['virtual_mic']))\n"
        "    for wrong in ({'preset': 'nowhere'}, {'block_ms': 9000.0}):\n"
        "        try: engine.change(**wrong)\n"
        "        except Exception as error: print(str(error).split(';')[0])\n"
        "    print(engine.settings.preset)\n"
        "    print(engine.state)\n"
        "    engine.close()\n"
    )
    done = run(server, sys.executable, "-c", code)
    lines = done.stdout.splitlines()
    assert lines == [
        "960 True",
        "['yes', 'no']",
        "882 0 ''",
        "preset = 'nowhere': choose one of: call, live, studio, vowels",
        "block-ms = 9000.0: choose a number from 1 to 200",
        "live",
        "listening",
    ], done.stderr
    assert server.our_modules() == []


def test_a_failing_pipeline_passes_the_sound_on_and_says_so(server):
    """An exception inside the engine must not end in silence without a word."""
    code = (
        "import time\n"
        "from resonance.app.live.engine import Engine\n"
        "from resonance.app.live.messages import Warned\n"
        "from resonance.app.live.settings import EngineSettings\n"
        "engine = Engine(EngineSettings(spot=False))\n"
        "engine.start()\n"
        "while engine.state != 'listening': time.sleep(0.01)\n"
        "def broken(*_): raise RuntimeError('broken on purpose')\n"
        "engine._processor.pipeline.process = broken\n"
        "time.sleep(1)\n"
        "print(engine.state, engine.board.counters()['dry_blocks'] > 50)\n"
        "print([m.text for m in engine.messages() if isinstance(m, Warned)])\n"
        "engine.close()\n"
    )
    done = run(server, sys.executable, "-c", code)
    assert done.stdout.startswith("listening True\n"), done.stderr
    assert "broken on purpose" in done.stdout


def test_keys_in_a_terminal(server, tmp_path):
    """A person at a terminal: levels are shown, b, s and q do what the last line says."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    live = subprocess.Popen(
        resonance("live", "--no-spot", "--folder", tmp_path),
        env={**server.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = read_until(ours, "removed")
    answers = ("uncleaned", "saved", "recording to", "recorded")
    for key, answer in zip("bsrr", answers, strict=True):
        os.write(ours, key.encode())
        shown += read_until(ours, answer)
    os.write(ours, b"q")
    assert live.wait(10) == 0
    os.close(ours)
    assert "q: quit" in shown
    saved = sorted(path.name[20:] for path in tmp_path.iterdir())
    assert saved == ["last 30 s.flac", "recording.flac"]


def at_a_terminal(server, script):
    """Number of a shell that runs it, and its terminal."""
    pty = pytest.importorskip("pty")
    shell, terminal = pty.fork()
    if shell == 0:
        os.execvpe("bash", ["bash", "-c", script], server.environment)
    return shell, terminal


def test_in_the_background_of_a_terminal_it_runs_on(server, tmp_path):
    """As ``resonance live &``: touching the terminal would stop it."""
    command = " ".join(resonance("live", "--no-spot", "--json", "--seconds", 1))
    shell, terminal = at_a_terminal(server, f"set -m; {command} > {tmp_path}/said & wait")
    assert os.waitpid(shell, 0)[1] == 0
    os.close(terminal)
    assert '"summary"' in (tmp_path / "said").read_text()


def test_a_terminal_that_is_closed_leaves_a_whole_recording(server, tmp_path):
    command = " ".join(resonance("live", "--no-spot", "--record", tmp_path / "a.wav"))
    shell, terminal = at_a_terminal(server, f"exec {command}")
    read_until(terminal, "removed", 30)
    time.sleep(1)
    os.close(terminal)
    os.waitpid(shell, 0)
    assert soundfile.info(tmp_path / "a.wav").duration > 0.1


def read_until(terminal, word, seconds=20):
    shown, deadline = "", time.monotonic() + seconds
    while word not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 4096).decode(errors="replace")
    return shown


def test_the_end_of_the_command_is_the_end_of_the_engine(server):
    live = subprocess.Popen(
        resonance("live", "--virtual-mic", "--json"),
        env=server.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    live.stdout.readline()
    live.stdout.readline()
    assert len(server.our_modules()) == 2
    live.send_signal(signal.SIGKILL)
    live.communicate()
    deadline = time.monotonic() + 10
    while server.our_modules():
        assert time.monotonic() < deadline, "the engine lives on"
        time.sleep(0.1)


@pytest.mark.parametrize("positions", ["", ",".join(f"aux{k}" for k in range(8))])
def test_one_channel_of_many_is_taken(server, tmp_path, positions):
    """Each of the interface's channels carries a tone of its own."""
    arguments = ["sink_name=interface", "rate=48000", "channels=8"]
    arguments += [f"channel_map={positions}"] if positions else []
    module = server.pactl("load-module", "module-null-sink", *arguments).strip()
    t = np.arange(48000)[:, None] / 48000
    tones = 0.1 * np.sin(2 * np.pi * (300 + 200 * np.arange(8)) * t)
    player = subprocess.Popen(
        ["paplay", "-d", "interface", "--raw", "--format=float32le", "--rate=48000"]
        + ["--channels=8"]
        + ([f"--channel-map={positions}"] if positions else []),
        env=server.environment,
        stdin=subprocess.PIPE,
    )
    feeder = threading.Thread(target=feed, args=(player, tones.astype("<f4").tobytes()))
    feeder.start()
    try:
        take = tmp_path / "take.wav"
        command = ("live", "--input", "interface.monitor", "--no-spot", "--seconds", "2")
        run(server, *resonance(*command, "--channel", "6", "--record-raw", take), check=True)
        sound, _ = soundfile.read(take)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 48000))
        assert abs(np.argmax(spectrum) - (300 + 200 * 5)) <= 2
        others = np.concatenate([spectrum[200:1200], spectrum[1400:2000]])
        assert others.max() < 0.03 * spectrum.max()
        done = run(server, *resonance(*command, "--channel", "9"))
        assert done.returncode == 1
        assert "channel 9: " in done.stderr
        assert "has 8" in done.stderr
    finally:
        player.kill()
        player.wait()
        feeder.join()
        server.pactl("unload-module", module)
    assert server.our_modules() == []


def feed(player, second):
    """Play the same second again and again, until the player ends."""
    with suppress(BrokenPipeError), player.stdin as pipe:
        while True:
            pipe.write(second)
