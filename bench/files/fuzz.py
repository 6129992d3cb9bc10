"""Damaged input for everything that reads what others wrote: ``python -m bench.files.fuzz``.

Good examples are cut, joined, overwritten and mixed by chance. Every reader must make sense of
the result or refuse it with a sentence, soon, leave nothing behind and its input as it was. A
process of its own does each batch of inputs: a crash is seen, too.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import click
import numpy as np
import soundfile

from resonance.app.errors import UserError
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.readers import READERS
from resonance.app.soundfiles import ffmpeg

#: Longest that one input may take, s; on a busy machine, too.
MOST_S = 20.0
#: Inputs that one process does.
AT_ONCE = 1000
#: What damage often looks like.
BITS = (
    b"\0",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80",
    b"NaN",
    b"-1",
    b"1e999",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b"[" * 2000,
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1b[2J",
    b"../../x",
    b"data",
    b"RIFF",
    b"OggS",
    b"fLaC",
    b"ID3",
    b"99999999999999999999",
    b"mqtt://[::1",
    "²".encode(),
)


def examples(ending: str) -> list[bytes]:
    """Good input for a reader."""
    if ending == "wav":
        return _sounds()
    if ending == "toml":
        return [
            b'[live]\nlimit-db = 18\nrun = ["stop=true"]\ntoken = "t"\n[device."x"]\n'
            b'preset = "studio"\n[window]\nwidth = 900\n'
        ]
    if ending == "txt":
        return [
            b"a.wav\nb.wav\n",
            b"a\0b\0",
            "{stem}{suffix}\n127.0.0.1:80\n".encode("utf-16"),
            b"mqtt://user:word@host:1883/topic\n{folder}/{name}\n",
        ]
    if ending == "word.json":
        facts = {
            "word": "w",
            "direction": [0.1] * 100,
            "threshold": 0.5,
            "per_hour": 1.0,
            "model": "m",
            "agreement": [0.5],
            "span_s": 0.0,
            "recordings": ["1.flac"],
        }
        return [json.dumps(facts).encode()]
    if ending == "facts.json":
        models = DenoiserModel.preset("live"), SpotterModel()
        return [json.dumps(model.facts).encode() for model in models]
    levels = {side: {"noise_db": -50.0, "peak_db": -1.0} for side in ("before", "after")}
    event = {"time_s": 1.0, "keyword": "yes", "score": 0.9}
    return [json.dumps({"levels": levels, "keywords": [event], "warnings": ["w"]}).encode()]


def _sounds() -> list[bytes]:
    rng, found = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        for number, (form, subtype, channels) in enumerate(
            (
                ("WAV", "PCM_16", 1),
                ("WAVEX", "PCM_24", 2),
                ("RF64", "FLOAT", 1),
                ("WAV", "IMA_ADPCM", 1),
                ("AIFF", "PCM_16", 2),
                ("CAF", "PCM_16", 1),
                ("W64", "PCM_16", 1),
                ("AU", "PCM_16", 1),
                ("FLAC", "PCM_16", 2),
                ("OGG", "VORBIS", 1),
                ("OGG", "OPUS", 1),
                ("MP3", "MPEG_LAYER_III", 1),
            )
        ):
            path = Path(folder) / str(number)
            sound = 0.1 * rng.standard_normal((4000, channels))
            soundfile.write(path, sound, 16000, subtype, format=form)
            found.append(path.read_bytes())
    return found


def damaged(goods: list[bytes], chance: random.Random) -> bytes:
    """One of the examples after one to four accidents."""
    content = bytearray(chance.choice(goods))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(content) + 1)
        # Most of what is believed of a file is at its beginning.
        place = min(place, chance.choice((64, 512, len(content))))
        kind = chance.randrange(6)
        if kind == 0:
            del content[place:]
        elif kind == 1:
            bit = chance.choice(BITS)
            content[place : place + len(bit)] = bit
        elif kind == 2:
            content[place:place] = chance.choice(BITS)
        elif kind == 3 and content:
            content[place % len(content)] = chance.randrange(256)
        elif kind == 4:
            content += chance.choice(goods)[: chance.randrange(5000)]
        else:
            del content[place : place + chance.randrange(100)]
    return bytes(content)


def attack(
    ending: str, seed: int, count: int, report: Callable[[str], None] = print
) -> Counter[str]:
    """Feed one reader ``count`` inputs; what became of them. Faults are reported.

    Parameters
    ----------
    ending
        Of the reader's input, a key of READERS.
    seed
        Of chance.
    count
        How many inputs.
    report
        Called with a line for each fault.

    Returns
    -------
    Counter
        Inputs by what became of them.
    """
    goods, chance, results = examples(ending), random.Random(f"{ending} {seed}"), Counter[str]()
    # ffmpeg's faults are not ours, and it takes a process each time.
    with (
        mock.patch.object(ffmpeg, "is_installed", return_value=False),
        tempfile.TemporaryDirectory() as folder,
    ):
        path = Path(folder) / "w" / ending
        path.parent.mkdir()
        for number in range(count):
            content = damaged(goods, chance)
            path.write_bytes(content)
            begin = time.monotonic()
            try:
                READERS[ending](path)
                result = "understood"
            except (UserError, click.UsageError):
                result = "refused"
            except Exception as error:  # what this looks for
                result = "failed"
                report(f"{ending} {seed} {number}: {type(error).__name__}: {error}")
            if time.monotonic() - begin > MOST_S:
                result = "slow"
            if path.read_bytes() != content or len(list(path.parent.iterdir())) != 1:
                result = "changed"
            results[result] += 1
    return results


def _in_process(pipe, ending: str, seed: int, count: int) -> None:  # type: ignore[no-untyped-def]
    pipe.send(attack(ending, seed, count))


def guarded(ending: str, seed: int, count: int) -> Counter[str]:
    """As :func:`attack`, in a process of its own: a crash or a hang is counted.

    Parameters
    ----------
    ending
        Of the reader's input, a key of READERS.
    seed
        Of chance.
    count
        How many inputs.

    Returns
    -------
    Counter
        Inputs by what became of them.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_in_process, args=(theirs, ending, seed, count))
    process.start()
    theirs.close()
    try:
        answered = ours.poll(count * 0.5 + 120)
        return ours.recv() if answered else Counter(hung=1)
    except EOFError:
        return Counter(crashed=1)
    finally:
        process.kill()
        process.join()


@click.command()
@click.option("--inputs", default=12000, help="How many, all readers together.")
@click.option("--seed", default=0, help="Another one makes other inputs.")
def main(inputs: int, seed: int) -> None:
    """Attack every reader; exit code 1 if one fails."""
    bad, total = 0, Counter[str]()
    each = -(-inputs // len(READERS) // AT_ONCE)
    for ending in READERS:
        results = Counter[str]()
        for part in range(each):
            results += guarded(ending, 1000 * seed + part, AT_ONCE)
        click.echo(f"{ending:12} {dict(sorted(results.items()))}")
        total += results
    bad = sum(n for name, n in total.items() if name not in ("understood", "refused"))
    click.echo(f"{sum(total.values())} inputs, {total['refused']} refused, {bad} faults")
    sys.exit(int(bad > 0))


if __name__ == "__main__":
    main()
