"""Words spoken by Kokoro-82M in voices mixed at random.

``python -m resonance.models.kokoro_voices --network FILE --voices DIR --out DATA``.

What the spotter lacks is people. Kokoro-82M (hexgrad, Apache-2.0) is a neural voice; 256 numbers
make it one of 54 speakers, and means of several are speakers, too. Network and voices are not part
of this project: it needs the network as ONNX (inputs: tokens, style, speed) and each voice as a
file of 510 × 256 numbers, one row for each length of a text. espeak-ng says how words sound.
"""

from __future__ import annotations

import csv
import shutil
import string
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
import onnxruntime as ort
import soundfile
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from resonance.models.data import SAMPLERATE
from resonance.models.keyword_data import CONFUSABLE
from resonance.models.keywords import CORE_WORDS
from resonance.models.mixing import Sound

KOKORO_SAMPLERATE = 24_000
#: Core words of which there are fewest recordings: each speaker says them twice; and how many of
#: the others, and of words like them, he says once.
SCARCE, OTHERS, ALIKE = ("yes", "no", "stop", "off", "on"), 3, 4
#: Halves of a style: sound and prosody, which are mixed apart.
SOUND, ROWS, STYLE = 128, 510, 256
#: Kokoro's symbols for English; its letters a to z are 43 to 68.
_MARKS = ",.!?AIOQWYɑɐɒæɔðʤəɚɛɜɡɪŋθɹɾʃʧʊʌʒʔˈˌːᵻ"
_NUMBERS = (
    *(3, 4, 5, 6, 24, 25, 31, 33, 39, 41, 69, 70, 71, 72, 76, 81, 82, 83, 85, 86, 87, 92),
    *(102, 112, 119, 123, 125, 131, 133, 135, 138, 147, 148, 156, 157, 158, 177),
)
SYMBOLS = dict(zip(_MARKS, _NUMBERS, strict=True)) | {
    letter: 43 + place for place, letter in enumerate(string.ascii_lowercase) if letter != "g"
}
#: Diphthongs and affricates as espeak-ng writes them, and Kokoro's symbol for each.
JOINED = {"oʊ": "O", "əʊ": "Q", "aʊ": "W", "aɪ": "I", "eɪ": "A", "ɔɪ": "Y", "tʃ": "ʧ", "dʒ": "ʤ"}


@dataclass(frozen=True)
class Speaker:
    """A voice mixed of a few."""

    style: NDArray[np.float32]  #: one row for each length of a text [ROWS, STYLE]
    accent: str  #: as espeak-ng names it
    speed: float
    pitch: float  #: played so many times as fast


class Kokoro:
    """The network and its voices.

    Parameters
    ----------
    network
        ONNX file.
    voices
        Folder of ``NAME.bin``; names begin with a letter for the language, ``a`` and ``b`` being
        American and British English.
    """

    def __init__(self, network: Path, voices: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(
            str(network), options, providers=["CPUExecutionProvider"]
        )
        files = sorted(voices.glob("*.bin"))
        if not files:
            raise click.ClickException(f"{voices} holds no voices (NAME.bin)")
        self.names = [path.stem for path in files]
        found = [np.fromfile(path, np.float32).reshape(ROWS, STYLE) for path in files]
        self.styles = np.stack(found)

    def speaker(self, rng: np.random.Generator) -> Speaker:
        """Somebody, most often of English voices."""
        english = [i for i, name in enumerate(self.names) if name[0] in "ab"]
        pool = english if rng.random() < 0.65 and len(english) > 2 else range(len(self.names))
        chosen = rng.choice(pool, int(rng.choice([1, 2, 2, 3])), replace=False)
        halves = np.split(self.styles[chosen], [SOUND], axis=-1)
        style = np.concatenate(
            [np.tensordot(rng.dirichlet(np.ones(len(chosen))), half, 1) for half in halves], -1
        )
        common = self.styles.mean(0)
        further = common + (style - common) * rng.uniform(0.95, 1.3)
        first = self.names[chosen[0]][0]
        british = first == "b" or (first != "a" and rng.random() < 0.3)
        return Speaker(
            further.astype(np.float32),
            "en-gb" if british else "en-us",
            float(rng.uniform(0.8, 1.25)),
            float(1.08 ** rng.uniform(-1, 1)),
        )

    def say(self, rng: np.random.Generator, speaker: Speaker, word: str) -> Sound:
        """A word as the speaker says it this time, at 16 kHz, with little silence [samples]."""
        text = sounds_of(word, speaker.accent) + str(rng.choice(list("..!?,")))
        symbols = [SYMBOLS[letter] for letter in text if letter in SYMBOLS]
        row = min(ROWS, len(symbols) + int(rng.integers(8))) - 1
        inputs = (
            np.array([[0, *symbols, 0]], np.int64),
            speaker.style[None, row],
            np.array([speaker.speed * rng.uniform(0.85, 1.2)], np.float32),
        )
        names = [each.name for each in self.session.get_inputs()]
        (said,) = self.session.run(None, dict(zip(names, inputs, strict=True)))
        sound = soxr.resample(said.ravel(), KOKORO_SAMPLERATE * speaker.pitch, SAMPLERATE)
        loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max(initial=1e-6))
        if not len(loud):
            return np.zeros(0, np.float32)
        sound = sound[max(0, loud[0] - SAMPLERATE // 10) : loud[-1] + SAMPLERATE * 3 // 20]
        return np.asarray(sound * (0.3 / np.abs(sound).max()), np.float32)


@cache
def sounds_of(word: str, accent: str) -> str:
    """A word in Kokoro's symbols.

    Raises
    ------
    click.ClickException
        If espeak-ng is missing.
    """
    if not shutil.which("espeak-ng"):
        raise click.ClickException("espeak-ng is not installed: apt-get install espeak-ng")
    command = ["espeak-ng", "-q", "--ipa", "-v", accent, word]
    sounds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    for several, one in JOINED.items():
        sounds = sounds.replace(several, one)
    return sounds.replace("ː", "") if accent == "en-us" else sounds


def words_for(rng: np.random.Generator) -> list[str]:
    """What one speaker says."""
    rest = [word for word in CORE_WORDS if word not in SCARCE]
    others = [str(word) for word in rng.choice(rest, OTHERS, replace=False)]
    return [*SCARCE, *SCARCE, *others, *(str(word) for word in rng.choice(CONFUSABLE, ALIKE))]


def readings(kokoro: Kokoro, numbers: range) -> Iterator[tuple[str, str, Sound]]:
    """Speaker, word and sound at 16 kHz [samples] of speakers, each a function of its number."""
    for number in numbers:
        rng = np.random.default_rng((82, number))
        speaker = kokoro.speaker(rng)
        for word in words_for(rng):
            sound = kokoro.say(rng, speaker, word)
            if len(sound):
                yield f"kokoro-{number}", word, sound


@click.command(context_settings={"show_default": True})
@click.option("--network", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--voices", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--speakers", default=200, help="How many; one takes 15 s.")
@click.option("--first", default=0, help="Number of the first one; others are added to OUT.")
def main(network: Path, voices: Path, out: Path, speakers: int, first: int) -> None:
    """Write a folder of training clips with its index.csv."""
    kokoro, index = Kokoro(network, voices), out / "index.csv"
    out.mkdir(parents=True, exist_ok=True)
    begun = index.exists()
    with index.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if not begun:
            table.writerow(["path", "kind", "split", "speaker", "label", "seconds", "text"])
        found = readings(kokoro, range(first, first + speakers))
        for number, (speaker, word, sound) in enumerate(tqdm(found, mininterval=30)):
            path = Path("keywords") / word / f"{speaker}-{number}.flac"
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(out / path, sound, SAMPLERATE)
            seconds = f"{len(sound) / SAMPLERATE:.2f}"
            table.writerow([path.as_posix(), "keyword", "train", speaker, word, seconds, ""])
            file.flush()


if __name__ == "__main__":
    main()
