"""Measure a trained spotter on held-out speakers, as clips and in running speech.

``python -m models.evaluate_keywords --data DIR --work DIR --checkpoint FILE --out scores.json``
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from dsp.trigger import Trigger, TriggerSettings
from models import keywords
from models.data import SAMPLERATE, find_recordings
from models.keywords import CORE_WORDS, STRIDE, KeywordSpotter
from models.mixing import Sound
from models.train_keywords import NOISY_DB, Corpus, scores

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def probabilities(model: KeywordSpotter, corpus: Corpus, sound: Sound) -> torch.Tensor:
    """Of every window as the sound streams by [evaluations, labels]."""
    config = model.config
    padded = np.concatenate([np.zeros(SAMPLERATE, np.float32), sound])
    frame = round(config.frame_s * SAMPLERATE)
    frames = len(padded) // frame
    windows = corpus.window.frames(torch.from_numpy(padded[None, : frames * frame]))[0]
    stacked = windows.unfold(0, config.frames, STRIDE).transpose(1, 2)
    with torch.no_grad():
        return model(stacked).softmax(-1)  # type: ignore[no-any-return]


def events(posteriors: torch.Tensor, frame_s: float, settings: TriggerSettings) -> list[str]:
    """Words that fire, in order."""
    trigger = Trigger(len(CORE_WORDS), settings)
    fired = (trigger.update(i * STRIDE * frame_s, row) for i, row in enumerate(posteriors.numpy()))
    return [CORE_WORDS[f[0]] for f in fired if f]


def spoken(text: str) -> list[str]:
    """Core words of a transcript."""
    return [w for w in re.findall(r"[a-z']+", text.lower()) if w in CORE_WORDS]


def running_speech(model: KeywordSpotter, corpus: Corpus) -> dict[str, dict[str, float]]:
    """False accepts per hour over held-out running speech, all words together, per threshold."""
    recordings = corpus.dev_speech.recordings
    hours = sum(corpus.dev_speech.length(i) for i in range(len(recordings))) / SAMPLERATE / 3600
    every = [probabilities(model, corpus, corpus.dev_speech.get(i)) for i in range(len(recordings))]
    results = {}
    for threshold in THRESHOLDS:
        false = 0
        for recording, posteriors in zip(recordings, every, strict=True):
            left = spoken(recording.text)
            for word in events(posteriors, model.config.frame_s, TriggerSettings(threshold)):
                if word in left:
                    left.remove(word)
                else:
                    false += 1
        results[f"{threshold:g}"] = {"false_accepts_per_hour": false / hours, "hours": hours}
    return results


def streamed_clips(model: KeywordSpotter, corpus: Corpus) -> dict[str, float]:
    """Share of held-out keyword clips whose word fires while streaming, percent, per threshold."""
    heard: dict[str, list[bool]] = {f"{t:g}": [] for t in THRESHOLDS}
    for i, recording in enumerate(corpus.dev_words.recordings):
        if recording.label not in CORE_WORDS:
            continue
        tail = np.zeros(SAMPLERATE // 2, np.float32)
        sound = np.concatenate([corpus.dev_words.get(i), tail])
        posteriors = probabilities(model, corpus, sound)
        for name, hits in heard.items():
            settings = TriggerSettings(float(name))
            hits.append(recording.label in events(posteriors, model.config.frame_s, settings))
    return {name: 100 * float(np.mean(hits)) for name, hits in heard.items()}


def measure(model: KeywordSpotter, corpus: Corpus) -> dict[str, Any]:
    """All scores of one spotter."""
    hits, false = streamed_clips(model, corpus), running_speech(model, corpus)
    return {
        "dev": scores(model, corpus.dev()),
        f"dev_noise_{NOISY_DB:g}_db": scores(model, corpus.dev(NOISY_DB)),
        "thresholds": {
            name: {"hits_percent": hits[name], **false[name]} for name in hits
        },
    }  # fmt: skip


@click.command(context_settings={"show_default": True})
@click.option("--data", "folders", type=click.Path(path_type=Path), multiple=True, required=True)
@click.option("--work", type=click.Path(path_type=Path), required=True,
              help="Folder for decoded audio.")  # fmt: skip
@click.option("--checkpoint", type=click.Path(exists=True, dir_okay=False), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the scores here as JSON.")
def main(folders: tuple[Path, ...], work: Path, checkpoint: str, out: Path | None) -> None:
    """Print accuracy, hits while streaming and false accepts per hour."""
    recordings = [r for folder in folders for r in find_recordings(folder)]
    model, _ = keywords.load(checkpoint)
    torch.set_num_threads(1)
    result = measure(model.eval(), Corpus(recordings, work, model.config))
    text = json.dumps(result, indent=2)
    click.echo(text)
    if out:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
