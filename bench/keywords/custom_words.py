"""Words learnt from few takes: ``python -m bench.keywords.custom_words --data DIR``.

The words were never trained on, their speakers are strangers to each other, and the running speech
that counts false accepts is neither the one the threshold was set on nor trained on.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from bench.keywords.detection import heights
from bench.report import table, write_section
from resonance.app.custom_words import CROWD_SHARE, PEAKS, Background, steps_back, together
from resonance.app.enrolment import AFTER_STEPS, AROUND_S
from resonance.app.onnx_models import SpotterModel
from resonance.app.spotter import last_loud
from resonance.app.synthetic_readings import read_aloud
from resonance.app.take_versions import versions
from resonance.assets import MODELS
from resonance.dsp.peaks import rate_line
from resonance.export.background import AVERAGED, Embedder, held_out_speech
from resonance.models.data import SAMPLERATE, AudioStore, find_recordings
from resonance.models.keyword_data import Corpus, words_of
from resonance.models.keywords import CUSTOM_WORDS, STEP_FRAMES
from resonance.models.mixing import Sound
from resonance.models.options import DATA, WORK

FloatArray = NDArray[np.floating]

#: Recordings that a word is learnt from, and enrolments of each word.
ENROLLED, DRAWS = (5, 3), 10
#: Words of one second and less, and of wake-word recordings.
WORDS = (*CUSTOM_WORDS, "alexa", "computer", "jarvis", "snowboy")
#: False accepts an hour that thresholds are set for, and hours of speech that they are set on.
RATES, HOURS = (0.5, 1.0, 2.0), 3.0
#: Time between embeddings, s, and how many of them before the last of a word's parts each lies.
STEP_S = 0.032
BACKS = steps_back(0.0, STEP_S)
#: How the program compares.
SHIPPED = "shipped likeness"


class EmbeddedSound(NamedTuple):
    """A sound as the matchers see it."""

    embeddings: FloatArray  #: [steps, features]
    end: int  #: step at which its word ends, if it is one
    text: str
    taken_off: FloatArray | float = 0.0  #: from every likeness [steps]
    speaker: str = ""  #: empty: not known
    versions: tuple[EmbeddedSound, ...] = ()  #: as it would sound elsewhere

    def likeness(self, directions: FloatArray) -> FloatArray:
        """To a word [PARTS, places], over the last AVERAGED steps, as the program does [steps]."""
        parts = self.embeddings @ directions.T - np.reshape(self.taken_off, (-1, 1))
        for part, back in enumerate(BACKS):
            parts[:, part] = np.pad(parts[:, part], (back, 0))[: len(parts)]
        return averaged(together(parts.astype(np.float32), 0.0))


def embed_sound(embed: Embedder, corpus: Corpus, sound: Sound, text: str) -> EmbeddedSound:
    """What the spotter makes of a sound.

    Parameters
    ----------
    embed
        The spotter.
    corpus
        Gives the levels of bands.
    sound
        [samples] at 16 kHz.
    text
        What is said.

    Returns
    -------
    EmbeddedSound
        Embeddings, and where the word ends.
    """
    frames = corpus.levels(torch.from_numpy(sound[None]))[0].numpy()
    around = round(AROUND_S / corpus.levels.frame_s)
    end = (around + last_loud(frames.mean(1)[around:-around])) // STEP_FRAMES
    return EmbeddedSound(embed(frames), end, text)


def unit(vectors: FloatArray) -> FloatArray:
    """Of length 1 along the last axis."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-9))


def averaged(scores: FloatArray) -> FloatArray:
    """Over the last AVERAGED steps, as the program does."""
    return np.convolve(scores, np.ones(AVERAGED) / AVERAGED)[: len(scores)]


def parts_of(sound: EmbeddedSound) -> FloatArray:
    """Where the parts of a recording's word lie, the last one first [PARTS, places]."""
    first, last = (sound.end + step for step in AFTER_STEPS)
    found = [sound.embeddings[first - back : last - back].mean(axis=0) for back in BACKS]
    return unit(np.array(found))


class Way(NamedTuple):
    """How sounds are compared."""

    name: str
    place: Callable[[FloatArray], FloatArray]
    ordinary: Callable[[FloatArray], FloatArray] | None = None
    apart: Callable[[FloatArray], FloatArray] = lambda directions: directions
    versions: bool = False  #: whether each take is also heard as it would sound elsewhere
    readings: bool = False  #: whether synthetic voices read the word as well


def placed(way: Way, sounds: Sequence[EmbeddedSound]) -> list[EmbeddedSound]:
    """The same with unit vectors instead of embeddings."""
    found = []
    for each in sounds:
        places = way.place(each.embeddings)
        off = CROWD_SHARE * way.ordinary(places) if way.ordinary else 0.0
        others = tuple(placed(way, each.versions)) if way.versions else ()
        found.append(each._replace(embeddings=places, taken_off=off, versions=others))
    return found


def learn(enrolled: Sequence[EmbeddedSound], readings: Sequence[EmbeddedSound]) -> FloatArray:
    """What placed recordings of a word have in common, of unit length [PARTS, places].

    Synthetic readings count as one recording together, as ``resonance.app.enrolment`` has it.
    """
    takes = [
        unit(np.mean([parts_of(each) for each in (sound, *sound.versions)], axis=0))
        for sound in enrolled
    ]
    if readings:
        takes.append(unit(np.mean([parts_of(sound) for sound in readings], axis=0)))
    return unit(np.mean(takes, axis=0))


def thresholds(found: list[float], hours: float) -> FloatArray:
    """At which RATES peaks an hour are expected; as ``resonance.app.custom_words`` does."""
    slope, start = rate_line(np.array(sorted(found, reverse=True)[:PEAKS]), hours)
    return (np.log(RATES) - start) / slope


def all_peaks(directions: FloatArray, sounds: Sequence[EmbeddedSound], word: str) -> list[float]:
    """Peaks of a word in speech, without as many as were really said.

    Parameters
    ----------
    directions
        Of the word [PARTS, places].
    sounds
        Running speech.
    word
        The word.

    Returns
    -------
    list of float
        Likeness, largest first for each sound.
    """
    return [
        peak
        for sound in sounds
        for peak in heights(sound.likeness(directions), STEP_S)[words_of(sound.text).count(word) :][
            :PEAKS
        ]
    ]


class Measured(NamedTuple):
    """Words found and false accepts at one rate asked for."""

    asked: float  #: false accepts per hour
    hits: dict[str, float]  #: by word, percent
    false: float  #: false accepts per hour of other speech

    @property
    def mean(self) -> float:
        """Hits over all words, percent."""
        return float(np.mean(list(self.hits.values())))


def measure(
    clips: dict[str, list[EmbeddedSound]],
    readings: dict[str, list[EmbeddedSound]],
    tuning: Sequence[EmbeddedSound],
    judging: Sequence[EmbeddedSound],
    takes: int,
    apart: Callable[[FloatArray], FloatArray],
) -> list[Measured]:
    """Hits and false accepts at each of the RATES, averaged over DRAWS enrolments of each word.

    Parameters
    ----------
    clips
        Recordings by word.
    readings
        Synthetic ones to learn from as well, by word; may be none.
    tuning
        Speech that thresholds are set on.
    judging
        Speech that false accepts are counted on.
    takes
        Recordings that a word is learnt from.
    apart
        Leads directions [PARTS, places] away from what would be taken for them.

    Returns
    -------
    list of Measured
        As many as RATES.
    """
    rng = np.random.default_rng(0)
    hours = [sum(len(h.embeddings) for h in lot) * STEP_S / 3600 for lot in (tuning, judging)]
    hits: dict[str, FloatArray] = {}
    false = []
    for word, sounds in clips.items():
        shares = []
        for _ in range(DRAWS):
            order = rng.permutation(len(sounds))
            directions = apart(learn([sounds[i] for i in order[:takes]], readings.get(word, [])))
            least = thresholds(all_peaks(directions, tuning, word), hours[0])
            best = [sounds[i].likeness(directions).max() for i in order[takes:]]
            shares.append(np.mean(np.array(best)[:, None] >= least, axis=0))
            found = np.array(all_peaks(directions, judging, word))
            false.append((found[:, None] >= least).sum(axis=0) / hours[1])
        hits[word] = 100 * np.mean(shares, axis=0)
    often = np.mean(false, axis=0)
    return [
        Measured(asked, {word: float(share[i]) for word, share in hits.items()}, float(often[i]))
        for i, asked in enumerate(RATES)
    ]


def own_voice(
    clips: dict[str, list[EmbeddedSound]],
    tuning: Sequence[EmbeddedSound],
    apart: Callable[[FloatArray], FloatArray],
    takes: int,
) -> str:
    """What is found of words by whoever gave the takes, at one false accept an hour asked for.

    Parameters
    ----------
    clips
        Recordings by word; whoever said a word more than ``takes`` times counts.
    tuning
        Speech that thresholds are set on.
    apart
        As in :func:`measure`.
    takes
        Recordings that a word is learnt from.

    Returns
    -------
    str
        A sentence.
    """
    hours = sum(len(sound.embeddings) for sound in tuning) * STEP_S / 3600
    hits, people, words = list[bool](), set[str](), set[str]()
    for word, sounds in clips.items():
        for speaker in {sound.speaker for sound in sounds} - {""}:
            own = [sound for sound in sounds if sound.speaker == speaker]
            if len(own) <= takes:
                continue
            people.add(speaker)
            words.add(word)
            for chosen in itertools.combinations(range(len(own)), takes):
                directions = apart(learn([own[i] for i in chosen], []))
                least = thresholds(all_peaks(directions, tuning, word), hours)[RATES.index(1.0)]
                others = set(range(len(own))) - set(chosen)
                hits += [bool(own[i].likeness(directions).max() >= least) for i in others]
    return (
        f"Whoever gave the {takes} takes is found in {100 * np.mean(hits):.0f} % "
        f"({', '.join(sorted(words))}: {len(people)} people, {len(hits)} trials; 1 asked for)."
    )


def recorded(embed: Embedder, corpus: Corpus) -> dict[str, list[EmbeddedSound]]:
    """Every clip of the words that were never trained on."""
    around = np.zeros(round(AROUND_S * SAMPLERATE), np.float32)
    clips: dict[str, list[EmbeddedSound]] = {word: [] for word in WORDS}
    for store in (corpus.words, corpus.dev_words):
        for i, recording in enumerate(store.recordings):
            if recording.label in clips:
                take = store.get(i)
                found, *others = (
                    embed_sound(embed, corpus, np.concatenate([around, sound, around]), "")
                    for sound in (take, *versions(take, SAMPLERATE))
                )
                found = found._replace(speaker=recording.speaker, versions=tuple(others))
                clips[recording.label].append(found)
    return clips


def synthetic(embed: Embedder, corpus: Corpus) -> dict[str, list[EmbeddedSound]]:
    """What ``resonance enroll --text`` adds to recordings of each word."""
    around = np.zeros(round(AROUND_S * SAMPLERATE), np.float32)
    found: dict[str, list[EmbeddedSound]] = {}
    for word in WORDS:
        with tempfile.TemporaryDirectory() as folder:
            for path in read_aloud(word, Path(folder)):
                sound, samplerate = soundfile.read(path, dtype="float32")
                sound = soxr.resample(sound, samplerate, SAMPLERATE)
                sound = np.concatenate([around, sound, around])
                found.setdefault(word, []).append(embed_sound(embed, corpus, sound, ""))
    return found


def report(
    background: Background,
    clips: dict[str, list[EmbeddedSound]],
    readings: dict[str, list[EmbeddedSound]],
    tuning: Sequence[EmbeddedSound],
    judging: Sequence[EmbeddedSound],
) -> None:
    """Measure ways of matching and write the table into docs/benchmarks.md.

    Parameters
    ----------
    background
        Ordinary speech, as shipped.
    clips
        Recordings by word.
    readings
        Synthetic ones by word.
    tuning
        Speech that thresholds are set on.
    judging
        Speech that false accepts are counted on.
    """
    rows, at_one, own = [], [], ""
    shipped = background.place, background.ordinary, background.apart
    ways = (
        Way("cosine", lambda embedding: unit(embedding - background.mean)),
        Way("without crowd and rivals", background.place),
        Way("without rivals", background.place, background.ordinary),
        Way("takes as they are", *shipped),
        Way(SHIPPED, *shipped, versions=True),
        Way(f"{SHIPPED}, `--text`", *shipped, versions=True, readings=True),
    )
    for way in ways:
        mapped = {word: placed(way, sounds) for word, sounds in clips.items()}
        read = {word: placed(way, sounds) for word, sounds in readings.items() if way.readings}
        lots = placed(way, tuning), placed(way, judging)
        for takes in (*ENROLLED, 0) if read else ENROLLED:
            found = measure(mapped, read, *lots, takes, way.apart)
            rows += [
                row(way, takes, each) for each in found if SHIPPED in way.name or each.asked == 1
            ]
            if SHIPPED in way.name:
                hits = np.interp(1.0, [each.false for each in found], [each.mean for each in found])
                at_one.append(f"{hits:.1f} % ({way.name}, {takes} takes)")
        if way.name == SHIPPED:
            own = own_voice(mapped, lots[0], way.apart, min(ENROLLED))
    counts = ", ".join(f"{word} {len(sounds)}" for word, sounds in clips.items())
    header = ("takes", "matching", "asked for / h", "false accepts / h", "hits / %", *clips)
    write_section(
        "custom-words",
        f"## Custom words\n\nWords never trained on, each learnt from takes by as many "
        f"speakers, found in the clips of other speakers (clips: {counts}); {DRAWS} draws each. "
        f"The threshold is set for the false accepts asked for on {HOURS:g} h of speech, "
        "they are counted on "
        f"{sum(len(h.embeddings) for h in judging) * STEP_S / 3600:.2f} h by other readers "
        f"(`python -m bench.keywords.custom_words --data DIR`):\n\n{table(header, rows)}\n\n"
        "Where one an hour is counted (between two of these rows, along a straight line): "
        f"{', '.join(at_one)}. {own}\n",
    )


def row(way: Way, takes: int, found: Measured) -> tuple[str, ...]:
    """A row of the table.

    Parameters
    ----------
    way
        How sounds were compared.
    takes
        Recordings that each word was learnt from.
    found
        What was measured.

    Returns
    -------
    tuple of str
        Cells.
    """
    each = (f"{share:.0f}" for share in found.hits.values())
    counted = f"{found.asked:g}", f"{found.false:.2f}", f"{found.mean:.1f}"
    return str(takes), way.name, *counted, *each


@click.command(context_settings={"show_default": True})
@DATA
@click.option(
    "--model",
    "path",
    type=click.Path(exists=True, path_type=Path),
    default=MODELS / "keywords.onnx",
    help="keywords.onnx, with its background beside it.",
)
@WORK
def main(data: Path, path: Path, work: Path) -> None:
    """Measure custom words by several ways of matching."""
    torch.set_num_threads(1)
    embed, corpus = Embedder(path), Corpus(find_recordings(data), work)
    background = Background(SpotterModel(path), path.with_name("keywords-background.npz"))

    def listen(recordings: Sequence[tuple[AudioStore, int]]) -> list[EmbeddedSound]:
        return [embed_sound(embed, corpus, s.get(i), s.recordings[i].text) for s, i in recordings]

    tuning = listen([(corpus.speech, i) for i in held_out_speech(corpus, HOURS)])
    judging = listen(corpus.judged_on())
    clips = recorded(embed, corpus)
    read = synthetic(embed, corpus)
    report(background, clips, read, tuning, judging)


if __name__ == "__main__":
    main()
