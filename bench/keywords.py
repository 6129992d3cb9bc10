"""How well the shipped spotter hears: ``python -m bench.keywords --data DIR``.

Clips of held-out speakers one by one, the same clips streamed, and held-out running speech, whose
transcripts decide what was really said.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from app.pipeline import Pipeline
from app.sessions import SpotterModel
from bench.report import table, write_section
from dsp.trigger import TriggerSettings
from models.data import SAMPLERATE, find_recordings
from models.keywords import CORE_WORDS, SpotterConfig
from models.mixing import Sound
from models.train_keywords import NOISY_DB, Corpus, Examples

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
TAIL = np.zeros(SAMPLERATE // 2, np.float32)


def accuracy(model: SpotterModel, examples: Examples) -> tuple[float, float]:
    """Percent right over all labels, and on the ten words when only they are possible."""
    answers = np.stack([model.evaluate(window) for window in examples.windows.numpy()])
    labels = examples.labels.numpy()
    core = labels < len(CORE_WORDS)
    ten = answers[core][:, : len(CORE_WORDS)].argmax(1) == labels[core]
    return 100 * float(np.mean(answers.argmax(1) == labels)), 100 * float(np.mean(ten))


def heard(model: SpotterModel, threshold: float, sound: Sound) -> list[str]:
    """Keywords that fire in a sound, through the streaming pipeline."""
    settings = TriggerSettings(threshold=threshold)
    pipeline = Pipeline(SAMPLERATE, spotter=model, trigger=settings)
    return [event.keyword for event in pipeline.process(np.concatenate([sound, TAIL]))]


def streaming(model: SpotterModel, corpus: Corpus) -> dict[str, dict[str, float]]:
    """Hits on clips and false accepts per hour of running speech, by threshold."""
    words, speech = corpus.dev_words, corpus.dev_speech
    clips = [i for i, r in enumerate(words.recordings) if r.label in CORE_WORDS]
    hours = sum(speech.length(i) for i in range(len(speech))) / SAMPLERATE / 3600
    results = {}
    for threshold in THRESHOLDS:
        hits = [words.recordings[i].label in heard(model, threshold, words.get(i)) for i in clips]
        false = sum(
            len(not_said(heard(model, threshold, speech.get(i)), recording.text))
            for i, recording in enumerate(speech.recordings)
        )
        results[f"{threshold:g}"] = {
            "hits_percent": 100 * float(np.mean(hits)),
            "false_accepts_per_hour": false / hours,
            "hours": hours,
        }
    return results


def not_said(fired: list[str], text: str) -> list[str]:
    """Events that the transcript does not account for."""
    said = re.findall(r"[a-z']+", text.lower())
    false = []
    for word in fired:
        if word in said:
            said.remove(word)
        else:
            false.append(word)
    return false


def compared(path: Path) -> str:
    """Table of ``train_keywords --compare``'s results."""
    results = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for attention, runs in results["runs"].items():
        cells = [
            f"{np.mean([r[s] for r in runs]):.2f} ± {np.std([r[s] for r in runs], ddof=1):.2f}"
            for s in ("all", "ten", "noisy_all", "noisy_ten")
        ]
        rows.append((attention, str(results["parameters"][attention]), *cells))
    header = ("attention", "parameters", "12 labels", "ten words", "12 labels, noise", "ten, noise")
    return (
        f"\n\n### Oscillator against softmax attention\n\nSame network, same clips, "
        f"{results['epochs']} epochs, {len(runs)} seeds each, best epoch by dev score; "
        f"mean ± deviation, percent (`{results['command']}`):\n\n{table(header, rows)}"
    )


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs"),
              help="Folder for decoded audio.")  # fmt: skip
@click.option("--compared", "comparison", type=click.Path(exists=True, path_type=Path),
              help="JSON written by train_keywords --compare.")  # fmt: skip
@click.option("--scores", "scores_path", type=click.Path(path_type=Path),
              help="Write the scores here, for python -m export.keywords --scores.")  # fmt: skip
def main(data: Path, work: Path, comparison: Path | None, scores_path: Path | None) -> None:
    """Measure the shipped spotter and write the tables into docs/benchmarks.md."""
    torch.set_num_threads(1)
    model, corpus = SpotterModel(), Corpus(find_recordings(data), work, SpotterConfig())
    scores: dict[str, Any] = {
        name: dict(zip(("all", "ten"), accuracy(model, corpus.dev(snr_db)), strict=True))
        for name, snr_db in (("as recorded", None), (f"in noise at {NOISY_DB:g} dB", NOISY_DB))
    }
    clips = [(name, f"{s['all']:.2f}", f"{s['ten']:.2f}") for name, s in scores.items()]
    scores["thresholds"] = streaming(model, corpus)
    rates = [
        (
            threshold,
            f"{s['hits_percent']:.1f}",
            f"{s['false_accepts_per_hour']:.1f}",
            f"{s['false_accepts_per_hour'] / len(CORE_WORDS):.2f}",
        )
        for threshold, s in scores["thresholds"].items()
    ]
    hours = next(iter(scores["thresholds"].values()))["hours"]
    text = (
        "## Keywords\n\nClips of held-out speakers, percent right "
        f"(`python -m bench.keywords --data DIR`):\n\n"
        f"{table(('dev clips', '12 labels', 'ten words'), clips)}\n\n"
        "Streaming, by threshold: ten-word clips that fire their word, and false accepts per hour "
        f"of held-out running speech ({hours:.2f} h), all ten words together and per word:\n\n"
        + table(("threshold", "hits / %", "false accepts / h", "per word / h"), rates)
    )
    write_section("keywords", text + (compared(comparison) if comparison else ""))
    if scores_path:
        scores_path.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
