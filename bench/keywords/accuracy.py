"""What the shipped spotter detects: ``python -m bench.keywords.accuracy --data DIR``.

Clips of held-out speakers one by one; the same clips embedded in noise, and running speech of
held-out readers, whose transcripts decide what was really said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray

from bench.keywords.detection import (
    FalsePeaks,
    FloatArray,
    Heard,
    Listener,
    TwiceListener,
    distinct,
    embedded,
    false_peaks,
    running_speech,
    sensitivity,
)
from bench.live.speed import step_times
from bench.report import DOCS, table, write_section
from resonance.app.onnx_models import DenoiserModel, SpotterModel
from resonance.app.presets import LIVE_PRESET
from resonance.app.spotter import HIGHEST
from resonance.dsp.trigger import APART_ODDS, ONCE, TWICE, Trigger
from resonance.models.data import AudioStore, find_recordings
from resonance.models.keyword_data import NOISY_DB, Corpus, Examples, held_out, held_out_noise
from resonance.models.keyword_frames import resampled
from resonance.models.keywords import CORE_WORDS, LABELS
from resonance.models.mixing import Sound, noise_scale, speech_rms
from resonance.models.options import DATA, WORK

#: False accepts per hour and word that are asked for.
WISHES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SNRS_DB = (0.0, 5.0, 10.0, 20.0)


class Around(NamedTuple):
    """What dev clips in streams are heard in."""

    title: str
    sounds: Callable[[Corpus], AudioStore | None]  #: one of these; None: silence
    snr_db: float = 0.0


EMBEDDED = {
    "clean": Around("clean", lambda corpus: None),
    "noisy": Around(f"{NOISY_DB:g} dB", lambda corpus: corpus.dev_noise, NOISY_DB),
    "noisier": Around("5 dB", lambda corpus: corpus.dev_noise, 5.0),
    "spoken_over": Around("a reader 10 dB below", lambda corpus: corpus.dev_speech, 10.0),
}
#: Where it is counted what fires.
FIRED = ("clean", "noisy")
#: How they are heard.
HOW = ("as it came", "cleaned", "both")
#: Levels at which clips must be heard alike, dB of full scale.
LEVELS_DBFS = (-20.0, -50.0)
#: What thresholds are set on, besides readers as recorded: at another speed, in noise.
CIRCUMSTANCES: tuple[tuple[float, float | None], ...] = (
    (1.0, NOISY_DB),
    (1.12, None),
    (0.9, 5.0),
)


def answers(listener: Listener, examples: Examples) -> FloatArray:
    """Probabilities [examples, labels] at the end of each example."""
    return np.array([listener.follow(frames.float().numpy())[-1] for frames in examples.frames])


def accuracy(found: FloatArray, labels: NDArray[np.int64]) -> dict[str, float]:
    """Percent right over all labels, and on the ten words when only they are possible."""
    core = labels < len(CORE_WORDS)
    ten = found[core][:, : len(CORE_WORDS)].argmax(1) == labels[core]
    return {
        "all": 100 * float(np.mean(found.argmax(1) == labels)),
        "ten": 100 * float(np.mean(ten)),
    }


def draw_confusion(found: FloatArray, labels: NDArray[np.int64], target: Path) -> None:
    """What was said against what was heard, percent of what was said.

    Parameters
    ----------
    found
        Scores [clips, labels].
    labels
        What was said [clips].
    target
        The picture.
    """
    counts = np.zeros((len(LABELS), len(LABELS)))
    np.add.at(counts, (labels, found.argmax(1)), 1)
    share = 100 * counts / counts.sum(1, keepdims=True)
    figure, axes = plt.subplots(figsize=(7, 6), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    names = [name.strip("_") for name in LABELS]
    axes.set_xticks(range(len(names)), names, rotation=60)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("heard")
    axes.set_ylabel("said")
    for row, column in np.argwhere(share >= 0.5):
        shade = "white" if share[row, column] > 50 else "black"
        axes.text(
            column,
            row,
            f"{share[row, column]:.0f}",
            ha="center",
            va="center",
            color=shade,
            fontsize=8,
        )
    axes.set_title("Dev clips, percent of each word")
    figure.savefig(target, dpi=80)


def background(corpus: Corpus) -> Iterator[tuple[Sound, str]]:
    """Sounds and transcripts that set thresholds: lot 1 in several circumstances, and noise."""
    rng, speech, noise = np.random.default_rng(6), corpus.speech, corpus.noise
    readers = [i for i, r in enumerate(speech.recordings) if r.text and held_out(r) == 1]
    kept = [i for i, r in enumerate(noise.recordings) if held_out_noise(r)]
    for speed, snr_db in ((1.0, None), *CIRCUMSTANCES):
        for i in readers:
            sound = resampled(speech.get(i), speed)
            if snr_db is not None:
                around = np.resize(noise.get(int(rng.choice(kept))), len(sound))
                sound = sound + around * noise_scale(sound, around, snr_db)
            yield sound, speech.recordings[i].text
    for i in kept:
        yield noise.get(i), ""


def at_level(level_dbfs: float) -> Callable[[Sound], Sound]:
    """Makes a sound's spoken parts that loud."""
    return lambda sound: np.asarray(
        sound * np.float32(10 ** (level_dbfs / 20) / max(speech_rms(sound), 1e-9))
    )


class Detection:
    """Everything about running for hours: threshold curves, misses, false accepts."""

    def __init__(self, listener: Listener, corpus: Corpus) -> None:
        step_s = listener.model.step_s
        tuning = ((listener.scores(sound), text) for sound, text in background(corpus))
        self.tuned = false_peaks(tuning, step_s)
        self.curve = sensitivity(self.tuned)
        judging = running_speech(listener, corpus.judged_on())
        self.false = false_peaks(judging, step_s)
        noises = [corpus.dev_noise.get(i) for i in range(len(corpus.dev_noise))]
        silent = [(listener.scores(noises[i]), "") for i in distinct(noises)]
        self.noise = false_peaks(silent, step_s)
        labels = [recording.label for recording in corpus.dev_words.recordings]
        words = [i for i, label in enumerate(labels) if label in CORE_WORDS]
        others = [i for i, label in enumerate(labels) if label not in LABELS]
        self.said = np.array([CORE_WORDS.index(labels[i]) for i in words])
        self.settings, self.step_s = listener.settings, step_s
        #: What the trigger takes of every clip.
        self.heard = {
            name: _heard(listener, corpus, words, around) for name, around in EMBEDDED.items()
        }
        #: And of clips of other words, where it is counted what fires.
        self.others = {name: _heard(listener, corpus, others, EMBEDDED[name]) for name in FIRED}
        #: Highest score of each clip's own word.
        self.best = {
            name: np.array(
                [
                    listener.scored(*given)[:, word].max()
                    for given, word in zip(heard, self.said, strict=True)
                ]
            )
            for name, heard in self.heard.items()
        }

    def thresholds(self, wish: float) -> FloatArray:
        """Of the ten words for a wished rate."""
        starts, slopes = np.array([self.curve[word] for word in CORE_WORDS]).T
        odds = (np.log(wish) - starts) / slopes
        return np.asarray(np.clip(1 / (1 + np.exp(-odds)), self.settings.lowest, HIGHEST))

    def at(self, wish: float) -> dict[str, float]:
        """What a wished rate of false accepts really gives."""
        thresholds = self.thresholds(wish)

        def rate(false: FalsePeaks) -> float:
            return float(np.mean([false.rate(w, t) for w, t in enumerate(thresholds)]))

        return {
            "threshold": float(thresholds.mean()),
            "false_accepts_per_hour_and_word": rate(self.false),
            "in_noise_per_hour_and_word": rate(self.noise),
            **{
                f"missed_percent_{name}": 100 * float(np.mean(best < thresholds[self.said]))
                for name, best in self.best.items()
            },
        }

    def events(self, wish: float, name: str) -> tuple[float, float]:
        """Percent of the clips whose own word fires first, and in which another one does."""
        fired = self._fired(wish, self.heard[name])
        pairs = list(zip(fired, self.said, strict=True))
        right = np.mean([first == word for first, word in pairs])
        wrong = np.mean([first not in (word, None) for first, word in pairs])
        return 100 * float(right), 100 * float(wrong)

    def others_fired(self, wish: float, name: str) -> float:
        """Percent of the clips of other words in which one of the ten fires."""
        fired = self._fired(wish, self.others[name])
        return 100 * float(np.mean([first is not None for first in fired]))

    def _fired(self, wish: float, heard: Sequence[Heard]) -> list[int | None]:
        """What fires first in each of what was heard."""
        thresholds, fired = self.thresholds(wish), []
        for found, odds in heard:
            trigger = Trigger(thresholds, self.settings)
            steps = enumerate(zip(found, odds, strict=True))
            events = (trigger.update(step * self.step_s, *given) for step, given in steps)
            fired.append(next((event for event in events if event is not None), None))
        return fired


def _heard(listener: Listener, corpus: Corpus, words: Sequence[int], around: Around) -> list[Heard]:
    """What the trigger takes of each clip, embedded."""
    sounds, rng = around.sounds(corpus), np.random.default_rng(3)
    clips = (corpus.dev_words.get(i) for i in words)
    return [listener.heard(embedded(rng, clip, sounds, around.snr_db)) for clip in clips]


def draw_detection(once: Detection, twice: Detection, target: Path) -> None:
    """Misses against false accepts, one threshold in log odds shift for all words.

    Parameters
    ----------
    once, twice
        Of the sound as it came, and of the cleaned one, too.
    target
        The picture.
    """
    figure, axes = plt.subplots(figsize=(6, 4.6), layout="constrained")
    wishes = np.geomspace(0.05, 40, 60)
    for detection, style in ((once, ":"), (twice, "-")):
        found = [detection.at(float(wish)) for wish in wishes]
        rates = [f["false_accepts_per_hour_and_word"] for f in found]
        for number, (name, around) in enumerate(EMBEDDED.items()):
            label = around.title + (", heard cleaned, too" if detection is twice else "")
            missed = [f[f"missed_percent_{name}"] for f in found]
            axes.plot(rates, missed, style, color=f"C{number}", label=label)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.axvline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes.axhline(10, color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"false accepts per hour and word ({once.false.hours:.2f} h of speech)")
    axes.set_ylabel("words missed / %")
    axes.set_ylim(0, 100)
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    figure.savefig(target, dpi=80)


def before_and_after(listener: TwiceListener, corpus: Corpus) -> list[tuple[str, ...]]:
    """Accuracy in the sound as it came, in the cleaned one, and in both, by SNR."""
    rows = []
    for snr_db in (*SNRS_DB, None):
        cells = ["as recorded" if snr_db is None else f"{snr_db:g}"]
        examples = corpus.dev(snr_db), corpus.dev(snr_db, listener.cleaned)
        before, after = (answers(listener, each) for each in examples)
        for found in (before, after, (before + after) / 2):
            right = accuracy(found, examples[0].labels.numpy())
            cells += [f"{right['all']:.2f}", f"{right['ten']:.2f}"]
        rows.append(tuple(cells))
    return rows


def draw_learning(runs: Sequence[Path], target: Path) -> None:
    """Dev accuracy by step, one run after the other."""
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    lines = [json.loads(line) for run in runs for line in (run / "scores.jsonl").open()]
    for name, label in (
        ("all", "12 labels"),
        ("ten", "ten words"),
        ("noisy_all", "12 labels, 10 dB noise"),
        ("noisy_ten", "ten words, 10 dB noise"),
    ):
        axes.plot([line["step"] for line in lines], [line[name] for line in lines], label=label)
    axes.set_xlabel("steps of 64 examples")
    axes.set_ylabel("dev clips right / %")
    axes.set_ylim(70, 100)
    axes.legend(loc="lower right")
    figure.savefig(target, dpi=80)


def curve_of(detection: Detection) -> dict[str, dict[str, float]]:
    """What every wished rate gives."""
    return {f"{wish:g}": detection.at(wish) for wish in WISHES}


def left_running(detection: Detection) -> str:
    """Table of what every wished rate gives."""
    rows = [
        (
            wish,
            f"{r['threshold']:.2f}",
            f"{r['false_accepts_per_hour_and_word']:.2f}",
            f"{r['in_noise_per_hour_and_word']:.2f}",
            *(f"{r[f'missed_percent_{name}']:.1f}" for name in EMBEDDED),
            *(
                " · ".join(f"{e:.1f}" for e in detection.events(float(wish), name))
                for name in FIRED
            ),
            *(f"{detection.others_fired(float(wish), name):.1f}" for name in FIRED),
        )
        for wish, r in curve_of(detection).items()
    ]
    header = (
        "asked for",
        "mean threshold",
        "measured",
        "in noise alone",
        *(f"missed, {around.title} / %" for around in EMBEDDED.values()),
        *(f"fired as itself · as another, {EMBEDDED[name].title} / %" for name in FIRED),
        *(f"other words fired, {EMBEDDED[name].title} / %" for name in FIRED),
    )
    return table(header, rows)


def compare_bits(paths: Sequence[Path], corpus: Corpus) -> None:
    """Write a table of other exports of the same weights."""
    examples, rows = corpus.dev(), []
    for path in paths:
        model = SpotterModel(path)
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        found = accuracy(answers(Listener(model), examples), examples.labels.numpy())
        median_us = 1e6 * np.median(step_times(model))
        rows.append(
            (
                str(card["bits"]),
                f"{card['bytes'] / 1000:.0f}",
                f"{found['all']:.2f}",
                f"{found['ten']:.2f}",
                f"{median_us:.0f}",
            )
        )
    header = ("bits per weight", "kB", "12 labels", "ten words", "step / µs")
    write_section(
        "keyword-bits",
        "### The spotter in fewer bits\n\nThe same weights, dev clips right, percent "
        f"(`python -m bench.keywords.accuracy --data DIR --bits FILE …`):\n\n{table(header, rows)}",
    )


@click.command(context_settings={"show_default": True})
@DATA
@click.option(
    "--model",
    "model_path",
    type=click.Path(exists=True, path_type=Path),
    help="Another keywords.onnx than the shipped one.",
)
@WORK
@click.option(
    "--bits",
    "exports",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="Only compare these exports of the same weights with other --bits.",
)
@click.option(
    "--run",
    "runs",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="Folder of a training run, to draw how it learned; in order.",
)
@click.option(
    "--scores",
    "scores_path",
    type=click.Path(path_type=Path),
    help="Write the scores here as well, for python -m resonance.export.keywords.",
)
def main(
    data: Path,
    model_path: Path | None,
    work: Path,
    exports: tuple[Path, ...],
    runs: tuple[Path, ...],
    scores_path: Path | None,
) -> None:
    """Measure the shipped spotter and write the tables into docs/benchmarks.md."""
    torch.set_num_threads(1)
    corpus = Corpus(find_recordings(data), work)
    if exports:
        compare_bits(exports, corpus)
        return
    model = SpotterModel(model_path) if model_path else SpotterModel()
    listener = Listener(model)
    clips: dict[str, dict[str, float]] = {}
    examples = {"as recorded": corpus.dev()}
    examples |= {f"in noise at {snr:g} dB": corpus.dev(snr) for snr in (NOISY_DB, 5.0)}
    examples |= {f"at {dbfs:g} dBFS": corpus.dev(change=at_level(dbfs)) for dbfs in LEVELS_DBFS}
    for name, some in examples.items():
        found, labels = answers(listener, some), some.labels.numpy()
        clips[name] = accuracy(found, labels)
        if name == "as recorded":
            draw_confusion(found, labels, DOCS / "confusion.png")
    detection = Detection(listener, corpus)
    twice = TwiceListener(model, DenoiserModel.preset(LIVE_PRESET))
    detection_twice = Detection(twice, corpus)
    if scores_path:
        scores = {
            "accuracy": clips,
            "detection": curve_of(detection),
            "detection_twice": curve_of(detection_twice),
            "sensitivity": detection.curve,
            "sensitivity_twice": detection_twice.curve,
            "apart_odds": APART_ODDS,
        }
        scores_path.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    draw_detection(detection, detection_twice, DOCS / "detection.png")
    if runs:
        draw_learning(runs, DOCS / "keywords-learning.png")
    accuracies = [(name, f"{s['all']:.2f}", f"{s['ten']:.2f}") for name, s in clips.items()]
    write_section(
        "keywords",
        "## Keywords\n\nClips of held-out speakers, percent right "
        f"(`python -m bench.keywords.accuracy --data DIR`):\n\n"
        f"{table(('dev clips', '12 labels', 'ten words'), accuracies)}\n\n"
        "![what was said and what was heard](confusion.png)\n\n"
        "### Left running\n\nFalse accepts per hour and word, asked for (`--false-accepts`) and "
        f"measured on {detection.false.hours:.2f} h of running speech by readers who were never "
        f"heard in training, and on {detection.noise.hours:.2f} h of noise, recordings that are "
        "there twice counted once; dev clips missed (their word's score stays below its "
        "threshold), with a second of nothing around them, in noise, and over another reader's "
        "speech; as what clips fire first, which may be another of the ten; and of how many clips "
        f"of other words, {len(detection.others[FIRED[0]])} with as much around them, one of the "
        "ten fires. The "
        f"thresholds were set on {detection.tuned.hours:.2f} h: other held-out readers as "
        "recorded, faster, slower and in noise, and other noise; the smoothing of "
        f"{ONCE.smoothing} steps was chosen on these, that of {TWICE.smoothing} and what else is "
        "for words said apart on what they are measured by. Heard twice, in the sound as it came "
        "and as `call` cleans it, as in `spot` "
        "(elsewhere: as the preset in use cleans it), a word said apart counting for more "
        "than one amid speech:\n\n"
        f"{left_running(detection_twice)}\n\n"
        "In the sound as it came only (`spot --fast`):\n\n"
        f"{left_running(detection)}\n\n"
        "![misses against false accepts](detection.png)\n\n"
        "### Before or after the denoiser\n\nDev clips in noise, heard as they came, "
        "as `call` cleans them, and both, the mean of the probabilities:\n\n"
        + table(
            ("SNR / dB", *(f"{how}: {of}" for how in HOW for of in ("12 labels", "ten words"))),
            before_and_after(twice, corpus),
        ),
    )


if __name__ == "__main__":
    main()
