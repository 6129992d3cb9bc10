"""Write the ordinary speech that custom words are told from.

``python -m resonance.export.background`` does it. An hour of recordings that the spotter never
trained on goes through it; kept are its embeddings only, whitened and rounded to 8 bits, and the
map that whitens.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from resonance.models.data import SAMPLERATE, find_recordings
from resonance.models.keyword_data import Corpus, held_out
from resonance.models.keywords import STEP_FRAMES, KeywordSpotter, course, load

#: Directions that are kept, and how far each is whitened: 0 not at all, 1 fully.
DIRECTIONS, WHITENING = 96, 0.7
#: Steps a likeness is averaged over, and steps between two examples that are kept.
AVERAGED, EVERY = 3, 4


def embeddings(model: KeywordSpotter, frames: torch.Tensor) -> NDArray[np.float32]:
    """Of every step of a recording's frames [1, frames, bands], from a fresh start."""
    with torch.no_grad():
        return course(model.seconds(frames)).numpy()


def unheard(corpus: Corpus, hours: float) -> list[int]:
    """Recordings of speech that no spotter trains on: lot 1, and those without transcripts."""
    store, chosen, samples = corpus.speech, [], 0
    lots = [i for i, r in enumerate(store.recordings) if held_out(r) == 1]
    untold = [i for i, r in enumerate(store.recordings) if not r.text and not r.speaker]
    for i in lots + untold:
        if samples < hours * 3600 * SAMPLERATE:
            chosen.append(i)
            samples += store.length(i)
    return chosen


def whitening(found: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], ...]:
    """Mean [features] and map [features, DIRECTIONS] of embeddings."""
    everything = np.concatenate(list(found)).astype(np.float64)
    mean = everything.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(everything.T))
    highest = np.argsort(variances)[::-1][:DIRECTIONS]
    mapped = axes[:, highest] / variances[highest] ** (WHITENING / 2)
    return mean.astype(np.float32), mapped.astype(np.float32)


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    help="Folder for decoded audio.",
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="best.pt of the spotter.",
)
@click.option(
    "--model",
    "path",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="keywords.onnx exported from it; written beside it.",
)
@click.option("--hours", default=1.0, help="How much speech.")
def main(data: Path, work: Path, checkpoint: Path, path: Path, hours: float) -> None:
    """Write keywords-background.npz beside the spotter it belongs to."""
    torch.set_num_threads(1)
    (model, _), corpus = load(checkpoint), Corpus(find_recordings(data), work)
    sounds = (torch.from_numpy(corpus.speech.get(i)[None]) for i in unheard(corpus, hours))
    found = [embeddings(model, corpus.levels(sound)) for sound in sounds]
    mean, mapped = whitening(found)
    kept, step_s = [], STEP_FRAMES * model.config.frame_s
    for each in found:
        places = (each - mean) @ mapped
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        sums = np.cumsum(np.concatenate([np.zeros((1, DIRECTIONS)), places]), axis=0)
        averages = (sums[AVERAGED:] - sums[:-AVERAGED]) / AVERAGED
        kept.append(averages[::EVERY])
    examples = np.concatenate(kept)
    target = path.with_name("keywords-background.npz")
    aside = target.with_suffix(".part.npz")
    np.savez_compressed(
        aside,
        model=hashlib.sha256(path.read_bytes()).hexdigest(),
        mean=mean,
        map=mapped,
        examples=np.rint(127 * examples).astype(np.int8),
        scale=np.float32(1 / 127),
        averaged=AVERAGED,
        hours=sum(len(each) for each in found) * step_s / 3600,
    )
    digest = hashlib.sha256(aside.read_bytes()).hexdigest()
    os.replace(aside, target)
    card = {"file": target.name, "sha256": digest}
    target.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    click.echo(f"{target}: {len(examples)} examples, {target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
