"""Two hundred damaged files in a batch of good ones: ``python -m bench.files.damage``."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import soundfile

from bench.files.recordings import COMMAND, copies, in_folder, speech
from bench.report import write_section


def _fuzzed(content: bytes, rng: random.Random) -> bytes:
    """Some bytes of the header replaced, so that it cannot be right."""
    changed = bytearray(content)
    for place in rng.sample(range(12), 6):
        changed[place] = rng.randrange(256)
    changed[rng.randrange(4)] = 0
    return bytes(changed)


def damage(folder: Path) -> None:
    """Two hundred damaged inputs among good ones."""
    rng = random.Random(0)
    jobs = copies(folder, 20, 1.0)
    whole = Path(jobs[0].source).read_bytes()
    flac = folder / "whole.flac"
    soundfile.write(flac, speech(16000, 4.0), 16000)
    there = folder / "in"
    kinds = {
        "random bytes": lambda p: p.write_bytes(rng.randbytes(rng.randrange(1, 5000))),
        "header fuzzed": lambda p: p.write_bytes(_fuzzed(whole, rng)),
        "cut within the header": lambda p: p.write_bytes(whole[: rng.randrange(1, 40)]),
        "FLAC cut in the middle": lambda p: p.with_suffix(".flac").write_bytes(
            flac.read_bytes()[: rng.randrange(5000, flac.stat().st_size // 2)]
        ),
        "empty": lambda p: p.touch(),
        "a folder": lambda p: p.mkdir(),
        "text": lambda p: p.write_text("not audio at all"),
        "a link to nothing": lambda p: p.symlink_to(there / "nowhere"),
    }
    makers = list(kinds.values())
    for number in range(200):
        makers[number % len(makers)](there / f"bad{number:03}.wav")
    done = subprocess.run(
        [*COMMAND, str(there), "-o", str(folder / "done"), "--no-report", "--preset", "live"],
        capture_output=True,
        text=True,
        check=False,
    )
    reported = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    once = sum(sum(f"bad{n:03}" in line for line in reported) == 1 for n in range(200))
    good = len(list((folder / "done").rglob("*.wav")))
    write_section(
        "batch-damage",
        f"### Damaged inputs\n\n200 damaged inputs ({', '.join(kinds)}) among 20 good ones: "
        f"{once} of 200 reported in one line each, {good} of 20 good files done, exit code "
        f"{done.returncode} (`python -m bench.files.damage`).",
    )


if __name__ == "__main__":
    in_folder(damage)
