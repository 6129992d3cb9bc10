"""Phrases learnt from few takes: ``python -m bench.keywords.phrases --data DIR``.

Synthetic voices say them, others than they are learnt from: alone among other words, in noise, and
in part, as sentences that share a word with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import soundfile

from bench.report import table, write_section
from resonance.app.custom_words import CustomWord
from resonance.app.enrolment import learn
from resonance.app.onnx_models import SpotterModel
from resonance.app.pipeline import Pipeline
from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.keyword_data import Corpus
from resonance.models.mixing import Sound
from resonance.models.options import DATA, WORK
from resonance.models.synthetic_voices import speak, speak_flite

#: Phrases, and sentences that share their beginning and their end.
PHRASES = (
    ("hello little helper", "hello my dear friends", "she is a great helper"),
    ("switch the heating on", "switch to another train", "we paid for the heating"),
    ("what is the weather like", "what is your name", "this is what they look like"),
    ("close the front door", "close your eyes now", "they knocked at the door"),
    ("take a picture now", "take a little sugar", "nobody has seen the picture"),
    ("lower the volume please", "lower prices would help", "this is the second volume"),
    ("remember the shopping list", "remember my old uncle", "you are not on the list"),
    ("wake up the printer", "wake up my brother", "paper is in the printer"),
    ("good night everybody", "good luck with that", "it was fun for everybody"),
    ("call the front office", "call a doctor now", "she works in an office"),
)
#: Voice, pitch and words per minute (espeak-ng) of each take.
TAKES = (
    ("en-us", 40, 140),
    ("en-us+m3", 50, 160),
    ("en-gb", 45, 150),
    ("en-us+m1", 60, 150),
    ("en-us+f2", 50, 155),
)
#: Voices that say sentences: espeak-ng's as above, and flite's with pitch in Hz and stretch.
OTHERS: tuple[Callable[[str], Sound], ...] = (
    lambda text: speak(text, voice="en-us+m2", pitch=50, words_per_minute=150),
    lambda text: speak(text, voice="en-gb+f3", pitch=55, words_per_minute=140),
    lambda text: speak(text, voice="en-gb-x-rp+m4", pitch=45, words_per_minute=160),
    lambda text: speak(text, voice="en-us+f4", pitch=50, words_per_minute=135),
    lambda text: speak(text, voice="en-gb-scotland+m7", pitch=40, words_per_minute=150),
    lambda text: speak_flite(text, voice="slt", pitch_hz=180, stretch=1.0),
    lambda text: speak_flite(text, voice="rms", pitch_hz=100, stretch=1.05),
    lambda text: speak_flite(text, voice="awb", pitch_hz=120, stretch=1.1),
    lambda text: speak_flite(text, voice="kal16", pitch_hz=110, stretch=1.15),
)
#: Takes that a phrase is learnt from, and the SNR of a noisy room, dB.
ENROLLED, QUIET_DB, NOISY_DB = (5, 3), 30.0, 10.0


def fires(model: SpotterModel, words: Sequence[CustomWord], sound: Sound) -> int:
    """How often any of the words is detected in a sound.

    Parameters
    ----------
    model
        The spotter.
    words
        Custom words.
    sound
        [samples] at 16 kHz.

    Returns
    -------
    int
        Events.
    """
    events = Pipeline(SAMPLERATE, spotter=model, custom=words).process(sound)
    names = {word.word for word in words}
    return sum(event.keyword in names for event in events)


def among_words(say: Callable[[str], Sound], text: str, snr_db: float) -> Sound:
    """A sentence with words before and after it, in white noise.

    Parameters
    ----------
    say
        Reads a text.
    text
        The sentence.
    snr_db
        Of speech in the noise.

    Returns
    -------
    ndarray
        [samples] at 16 kHz.
    """
    sound = np.pad(say(f"well then. {text}. thank you"), (SAMPLERATE // 2, SAMPLERATE // 2))
    noise = np.random.default_rng(0).standard_normal(len(sound))
    mixed = sound + noise * np.sqrt(np.mean(sound**2)) * 10 ** (-snr_db / 20)
    return np.asarray(mixed, np.float32)


def share(
    model: SpotterModel, sentences: Sequence[tuple[CustomWord, str]], snr_db: float = QUIET_DB
) -> str:
    """Percent of sentences, by all OTHERS, in which the phrase is detected.

    Parameters
    ----------
    model
        The spotter.
    sentences
        Phrase that is listened for, and what is said.
    snr_db
        Of speech in noise.

    Returns
    -------
    str
        Without digits after the point.
    """
    found = [
        fires(model, [word], among_words(say, text, snr_db)) > 0
        for word, text in sentences
        for say in OTHERS
    ]
    return f"{100 * np.mean(found):.0f}"


def learn_all(model: SpotterModel, takes: int) -> list[CustomWord]:
    """Every phrase, from the first ``takes`` of TAKES."""
    words = []
    with tempfile.TemporaryDirectory() as folder:
        for phrase, *_ in PHRASES:
            paths = [Path(folder) / f"{number}.wav" for number in range(takes)]
            for path, (voice, pitch, speed) in zip(paths, TAKES, strict=False):
                sound = speak(phrase, voice=voice, pitch=pitch, words_per_minute=speed)
                soundfile.write(path, sound, SAMPLERATE)
            words.append(learn(phrase, paths, model))
    return words


@click.command(context_settings={"show_default": True})
@DATA
@WORK
def main(data: Path, work: Path) -> None:
    """Measure phrases and write the table into docs/benchmarks.md."""
    model, corpus, rows = SpotterModel(), Corpus(find_recordings(data), work), []
    speech = [store.get(i) for store, i in corpus.judged_on()]
    hours = sum(map(len, speech)) / SAMPLERATE / 3600
    for takes in ENROLLED:
        words = learn_all(model, takes)
        whole = [(word, word.word) for word in words]
        begins, ends = (
            [(word, row[part]) for word, row in zip(words, PHRASES, strict=True)] for part in (1, 2)
        )
        false = sum(fires(model, words, sound) for sound in speech) / len(words) / hours
        shares = (
            share(model, whole),
            share(model, whole, NOISY_DB),
            share(model, begins),
            share(model, ends),
        )
        rows.append((str(takes), *shares, f"{false:.2f}"))
    header = (
        "takes",
        "detected / %",
        f"in {NOISY_DB:g} dB noise / %",
        "shared beginning / %",
        "shared end / %",
        "false accepts / h",
    )
    write_section(
        "phrases",
        f"### Phrases\n\n{len(PHRASES)} phrases of 1.1 to 1.4 s, each learnt from takes by as many "
        f"voices of espeak-ng and said by {len(OTHERS)} other voices of espeak-ng and flite with "
        "words before and after; sentences that share a word with the beginning or the end of the "
        "phrase and set it off; false accepts of one phrase per hour on "
        f"{hours:.2f} h of people's speech (`python -m bench.keywords.phrases --data DIR`):\n\n"
        f"{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
