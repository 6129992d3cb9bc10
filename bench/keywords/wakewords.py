"""Beside another spotter: ``python -m bench.keywords.wakewords --data DIR``.

The package pymicro-wakeword knows four long wake phrases, ours ten short words, so their hits do
not compare word by word; what compares is how either behaves when left running over the same
speech, how it takes synthetic speech and what it costs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

from bench.keywords.detection import embedded
from bench.report import table, write_section
from resonance.app import enrolment
from resonance.app.custom_words import CustomWord
from resonance.app.onnx_models import SpotterModel
from resonance.app.pipeline import Pipeline
from resonance.app.synthetic_readings import read_aloud
from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.keyword_data import NOISY_DB, Corpus, words_of
from resonance.models.keywords import CORE_WORDS
from resonance.models.mixing import Sound
from resonance.models.options import DATA, WORK
from resonance.models.synthetic_voices import spoken_words

PHRASES = {
    "okay nabu": Model.OKAY_NABU,
    "hey jarvis": Model.HEY_JARVIS,
    "hey mycroft": Model.HEY_MYCROFT,
    "alexa": Model.ALEXA,
}
#: Wake phrases of ours that synthetic voices alone teach.
TAUGHT = ("computer", "hey resonance")
READINGS = 40
#: An event within this after another of the same phrase is the same event, s.
APART_S = 1.0

#: A sound at 16 kHz → the words or phrases that fire.
Spotter = Callable[[Sound], list[str]]


def micro(sound: Sound) -> list[str]:
    """Phrases that pymicro-wakeword detects, from a fresh start."""
    features = MicroWakeWordFeatures()
    models = {phrase: MicroWakeWord.from_builtin(model) for phrase, model in PHRASES.items()}
    quiet_until = dict.fromkeys(models, 0)
    fired = []
    pcm = np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2").tobytes()
    for number, frame in enumerate(features.process_streaming(pcm)):  # every 10 ms
        for phrase, model in models.items():
            if model.process_streaming(frame) and number >= quiet_until[phrase]:
                fired.append(phrase)
                quiet_until[phrase] = number + round(100 * APART_S)
    for model in models.values():
        model.close()
    return fired


def ours(model: SpotterModel, custom: Sequence[CustomWord] = ()) -> Spotter:
    """Words that the shipped spotter detects; with custom words, these only."""
    pipeline = Pipeline(SAMPLERATE, spotter=model, custom=custom)
    words = [word.word for word in custom] or model.words

    def spot(sound: Sound) -> list[str]:
        pipeline.reset()
        return [event.keyword for event in pipeline.process(sound) if event.keyword in words]

    return spot


def taught(model: SpotterModel) -> list[CustomWord]:
    """Wake phrases learnt from what ``resonance enroll --text`` lets be read aloud."""
    found = []
    for phrase in TAUGHT:
        with tempfile.TemporaryDirectory() as folder:
            found.append(enrolment.learn(phrase, read_aloud(phrase, Path(folder)), model))
    return found


def hits(spot: Spotter, phrases: tuple[str, ...], corpus: Corpus) -> float:
    """Percent of synthetic readings in noise that are heard.

    Parameters
    ----------
    spot
        Phrases found in a sound.
    phrases
        To be read.
    corpus
        Gives the noise.

    Returns
    -------
    float
        Percent.
    """
    rng = np.random.default_rng(4)
    found = [
        phrase in spot(embedded(rng, clip, corpus.dev_noise, NOISY_DB))
        for phrase, clip in spoken_words(phrases, READINGS, seed=11)
    ]
    return 100 * float(np.mean(found))


def left_running(spot: Spotter, corpus: Corpus) -> tuple[float, float]:
    """False accepts per hour of all words together, and seconds spent per second of sound."""
    false, seconds, begin = 0, 0.0, time.process_time()
    for store, i in corpus.judged_on():
        sound, said = store.get(i), words_of(store.recordings[i].text)
        seconds += len(sound) / SAMPLERATE
        for word in spot(sound):
            if word in said:
                said.remove(word)
            else:
                false += 1
    return false / seconds * 3600, (time.process_time() - begin) / seconds


@click.command()
@DATA
@WORK
def main(data: Path, work: Path) -> None:
    """Compare the two spotters."""
    torch.set_num_threads(1)
    corpus, rows, model = Corpus(find_recordings(data), work), [], SpotterModel()
    for name, spot, phrases in (
        ("resonance, ten words", ours(model), CORE_WORDS),
        ("resonance, two phrases taught by espeak-ng", ours(model, taught(model)), TAUGHT),
        ("pymicro-wakeword, four phrases", micro, tuple(PHRASES)),
    ):
        false, cost = left_running(spot, corpus)
        heard = hits(spot, phrases, corpus)
        rows.append(
            (
                name,
                f"{heard:.1f}",
                f"{false:.1f}",
                f"{false / len(phrases):.2f}",
                f"{100 * cost:.2f}",
            )
        )
    header = (
        "spotter",
        f"synthetic readings heard at {NOISY_DB:g} dB / %",
        "false accepts / h, all words",
        "per word",
        "of a core / %",
    )
    write_section(
        "wakewords",
        "## Beside another spotter\n\nOurs in the sound as it came only, both as shipped, on the "
        "same running speech and on synthetic readings of their own words (both were trained on "
        "synthetic voices, too) in the same noise; the two phrases "
        f"({', '.join(TAUGHT)}) are no part of what ships "
        f"(`python -m bench.keywords.wakewords --data DIR`):\n\n{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
