"""A batch of a thousand files, killed ten times: ``python -m bench.files.kills``."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

from bench.files.recordings import COMMAND, copies, in_folder
from bench.report import write_section


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("resonance-batch")
    }


def kills(folder: Path) -> None:
    """A thousand files, killed ten times."""
    copies(folder, 1000, 1.0)
    run = [*COMMAND, str(folder / "in"), "--no-report", "--preset", "live", "-o"]
    begin = time.monotonic()
    subprocess.run([*run, str(folder / "calm")], check=True)
    whole_s = time.monotonic() - begin
    rng, out, after = random.Random(), folder / "out", []
    for _ in range(10):
        process = subprocess.Popen([*run, str(out), "--resume"], stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.0) * whole_s / 6)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after.append(len(list(out.rglob("*.wav"))))
    subprocess.run([*run, str(out), "--resume"], check=True)
    calm, torn = _contents(folder / "calm"), _contents(out)
    same = calm == torn
    write_section(
        "batch-kills",
        f"### Killed and resumed\n\n1000 files of a second, `--resume`, SIGKILL at ten random "
        f"moments, when {', '.join(map(str, after))} outputs were there, then to the end: "
        f"{len(torn)} outputs, {'each identical to' if same else 'NOT identical to'} that of an "
        f"undisturbed run, nothing else in the folder (`python -m bench.files.kills`).",
    )


if __name__ == "__main__":
    in_folder(kills)
