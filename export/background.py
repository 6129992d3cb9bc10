"""Write the ordinary speech that custom words are compared with.

``python -m resonance.export.background`` does it. Three hours of recordings that the spotter never
trained on go through it; kept are its embeddings only, rounded, the map that makes them
comparable, and from as much speech that it trained on: rivals, which words are led away from, and
a crowd, moments that stand for all of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.utils import Extractor

from resonance.dsp.features import log_power
from resonance.export.onnx_file import identity, open_session
from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.keyword_data import Corpus, held_out
from resonance.models.keyword_frames import ClipVersions, vocabulary, word_bounds
from resonance.models.keywords import STEP_FRAMES
from resonance.models.options import DATA, WORK

#: How far the directions are whitened in which readings of one word differ, and then those in
#: which speech does: 0 not at all, 1 fully.
BETWEEN_READINGS, IN_SPEECH = 0.7, 0.3
#: Readings of a word that count: at least, at most; variance added to all, part of the mean one.
FEWEST_READINGS, READINGS, LEAST_VARIANCE = 6, 8, 0.02
#: Silence around a reading, and steps after its end whose embeddings say what was read.
AROUND_FRAMES, READING_STEPS = 32, (5, 9)
#: Steps a likeness is averaged over, and steps between two examples, or two rivals, that are kept.
AVERAGED, EVERY = 3, 3
#: Of a coordinate: the error of an example's likeness is 0.009 for a word, 0.018 for a part.
ROUNDED_TO, RIVALS_ROUNDED_TO = 1 / 16, 1 / 8

#: Moments in the crowd, and rounds of k-means.
CROWD, ROUNDS = 512, 6

FloatArray = NDArray[np.float32]


class Embedder:
    """An exported spotter, for its embeddings only."""

    def __init__(self, path: Path) -> None:
        model = onnx.load(str(path))
        names = [each.name for each in model.graph.input]
        self._outputs = ["embedding", *(f"new_{name}" for name in names if name != "frames")]
        part = Extractor(model).extract_model(names, self._outputs)  # half the work
        self._session = open_session(part.SerializeToString())
        inputs = {i.name: np.zeros(i.shape, np.float32) for i in self._session.get_inputs()}
        self._frames_shape = inputs.pop("frames").shape
        self._first_state = inputs

    def __call__(self, frames: FloatArray) -> FloatArray:
        """Of every step of a sound's frames [frames, bands], from a fresh start."""
        steps = frames[: len(frames) // STEP_FRAMES * STEP_FRAMES].astype(np.float32)
        found, state = [], self._first_state
        for step in steps.reshape(-1, *self._frames_shape):
            embedding, *new = self._session.run(self._outputs, {"frames": step, **state})
            state = dict(zip(state, new, strict=True))
            found.append(embedding[0])
        return np.array(found)


def held_out_speech(corpus: Corpus, hours: float) -> list[int]:
    """Recordings of speech that no spotter trains on: lot 1, and those without transcripts."""
    recordings = corpus.speech.recordings
    lots = [i for i, r in enumerate(recordings) if held_out(r) == 1]
    untranscribed = [i for i, r in enumerate(recordings) if not r.text and not held_out(r)]
    return first_hours(corpus, lots + untranscribed, hours)


def trained_on(corpus: Corpus, hours: float) -> list[int]:
    """Recordings of speech that spotters train on, by chance."""
    order = np.random.default_rng(5).permutation(corpus.running)
    return first_hours(corpus, order.tolist(), hours)


def first_hours(corpus: Corpus, recordings: Sequence[int], hours: float) -> list[int]:
    """As many of the recordings of speech as last so long.

    Parameters
    ----------
    corpus
        With the speech.
    recordings
        Numbers, in the order in which they are taken.
    hours
        How much is wanted.

    Returns
    -------
    list of int
        Numbers.
    """
    chosen, samples = [], 0
    for i in recordings:
        if samples < hours * 3600 * SAMPLERATE:
            chosen.append(i)
            samples += corpus.speech.length(i)
    return chosen


def readings(embed: Embedder, corpus: Corpus, cache: Path) -> dict[str, list[FloatArray]]:
    """Embeddings [features] of single words to train on, at their ends, by word.

    Recorded and synthetic readings of a word are kept apart.

    Parameters
    ----------
    embed
        Gives embeddings of seconds of sound.
    corpus
        Recordings of words and speech.
    cache
        Folder of decoded recordings.

    Returns
    -------
    dict
        Embeddings [features] of each reading, by word.
    """
    clips = ClipVersions(corpus, vocabulary(corpus), cache, 1)
    frames = clips[0]["frames"]
    silence = float(log_power(0.0))
    found: dict[str, list[FloatArray]] = {}
    for number, (word, (_, last)) in enumerate(
        zip(clips.words, word_bounds(frames).tolist(), strict=True)
    ):
        kind = found.setdefault(f"{word} {number < clips.synthetic}", [])
        if len(kind) < READINGS:
            around = ((AROUND_FRAMES, AROUND_FRAMES), (0, 0))
            padded = np.pad(frames[number].numpy(), around, constant_values=silence)
            end = (AROUND_FRAMES + last) // STEP_FRAMES
            embeddings = embed(padded[: STEP_FRAMES * (end + READING_STEPS[1])])
            kind.append(embeddings[end + READING_STEPS[0] :].mean(axis=0))
    return found


def comparable(
    speech: Sequence[FloatArray], said: dict[str, list[FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """Mean [features] and map [features, features] of embeddings.

    The covariance within words (Hatch et al. 2006), then that of all speech, is made more even.
    """
    everything = np.concatenate(list(speech)).astype(np.float64)
    mean = everything.mean(axis=0)
    many = [np.array(each, np.float64) for each in said.values() if len(each) >= FEWEST_READINGS]
    differences = np.concatenate([each - each.mean(axis=0) for each in many])
    within = np.cov(differences.T)
    within += LEAST_VARIANCE * np.trace(within) / len(within) * np.eye(len(within))
    mapped = partly_white(within, BETWEEN_READINGS)
    mapped = mapped @ partly_white(mapped.T @ np.cov(everything.T) @ mapped, IN_SPEECH)
    return mean.astype(np.float32), mapped.astype(np.float32)


def partly_white(covariance: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Map [features, features] that raises all variances to the power of 1 - ``part``."""
    variances, axes = np.linalg.eigh(covariance)
    return np.asarray(axes / np.maximum(variances, 1e-9 * variances.max()) ** (part / 2))


def placed(found: FloatArray, mean: FloatArray, mapped: FloatArray) -> FloatArray:
    """A recording's embeddings, mapped.

    Parameters
    ----------
    found
        Embeddings [steps, features].
    mean
        Of ordinary speech [features].
    mapped
        Shrinks the directions in which it varies [features, places].

    Returns
    -------
    array
        Unit vectors [steps, places].
    """
    places = (found - mean) @ mapped
    return np.asarray(places / np.linalg.norm(places, axis=1, keepdims=True), np.float32)


def averages(values: FloatArray) -> FloatArray:
    """One in EVERY of a recording's values [steps, …], averaged as likenesses are."""
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0, dtype=np.float64)
    return np.asarray((sums[AVERAGED:] - sums[:-AVERAGED])[::EVERY] / AVERAGED, np.float32)


def crowd_of(places: FloatArray) -> NDArray[np.int8]:
    """Moments that stand for places [moments, places]: means of clusters, rounded."""
    from scipy.cluster.vq import kmeans2

    start = places[np.random.default_rng(0).choice(len(places), CROWD, replace=False)]
    centres, _ = kmeans2(places, start, iter=ROUNDS, minit="matrix")
    return rounded(centres / np.linalg.norm(centres, axis=1, keepdims=True))


def rounded(values: FloatArray, step: float = ROUNDED_TO) -> NDArray[np.int8]:
    """In multiples of ``step``."""
    return np.rint(values / step).astype(np.int8)


def moments(places: Sequence[FloatArray], crowd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Averages of recordings' places, and of their highest cosines with the crowd.

    Parameters
    ----------
    places
        Of each recording [steps, places].
    crowd
        Unit vectors [crowd, places].

    Returns
    -------
    tuple of arrays
        [moments, places], [moments].
    """
    ordinary = [averages((each @ crowd.T).max(axis=1)) for each in places]
    return np.concatenate([averages(each) for each in places]), np.concatenate(ordinary)


def write(
    path: Path,
    found: Sequence[FloatArray],
    trained: Sequence[FloatArray],
    mean: FloatArray,
    mapped: FloatArray,
    hours: float,
) -> str:
    """Write the background beside the spotter at ``path``; returns what was written.

    Parameters
    ----------
    path
        Of the spotter.
    found, trained
        Embeddings of each recording that it never trained on, and that it did [steps, features].
    mean, mapped
        As in :func:`placed`.
    hours
        Length of the first.

    Returns
    -------
    str
        What was written, for people.
    """
    places, other_places = (
        [placed(each, mean, mapped) for each in lot] for lot in (found, trained)
    )
    # Every other one is enough for a crowd.
    crowd = crowd_of(np.concatenate([averages(each)[::2] for each in other_places]))
    centres = crowd.astype(np.float32) * np.float32(ROUNDED_TO)
    examples, ordinary = moments(places, centres)
    rivals, rivals_ordinary = moments(other_places, centres)
    target = path.with_name("keywords-background.npz")
    aside = target.with_suffix(".part.npz")
    np.savez_compressed(
        aside,
        model=identity(path),
        mean=mean,
        map=mapped,
        examples=rounded(examples),
        crowd=crowd,
        ordinary=ordinary.astype(np.float16),
        scale=np.float32(ROUNDED_TO),
        rivals=rounded(rivals, RIVALS_ROUNDED_TO),
        rivals_ordinary=rivals_ordinary.astype(np.float16),
        rivals_scale=np.float32(RIVALS_ROUNDED_TO),
        averaged=AVERAGED,
        hours=hours,
    )
    digest = hashlib.sha256(aside.read_bytes()).hexdigest()
    os.replace(aside, target)
    card = {"file": target.name, "sha256": digest}
    target.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    size = target.stat().st_size / 1e6
    return f"{target}: {len(examples)} examples, {len(rivals)} rivals, {size:.1f} MB"


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option(
    "--model",
    "path",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="keywords.onnx; written beside it.",
)
@click.option("--hours", default=3.0, help="How much speech of each kind.")
def main(data: Path, work: Path, path: Path, hours: float) -> None:
    """Write keywords-background.npz beside the spotter it belongs to."""
    torch.set_num_threads(1)
    embed, corpus = Embedder(path), Corpus(find_recordings(data), work)

    def listen(recordings: Sequence[int]) -> list[FloatArray]:
        sounds = (torch.from_numpy(corpus.speech.get(i)[None]) for i in recordings)
        return [embed(corpus.levels(sound)[0].numpy()) for sound in sounds]

    found, trained = (listen(chosen(corpus, hours)) for chosen in (held_out_speech, trained_on))
    mean, mapped = comparable(found, readings(embed, corpus, work))
    there_are = sum(map(len, found)) * STEP_FRAMES * corpus.levels.frame_s / 3600
    click.echo(write(path, found, trained, mean, mapped, there_are))


if __name__ == "__main__":
    main()
