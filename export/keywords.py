"""Export a trained spotter: ``python -m resonance.export.keywords --checkpoint FILE --out DIR``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from resonance.dsp.arrays import Float32Array
from resonance.dsp.bank import broad_bank
from resonance.dsp.features import FORMAT_VERSION, LOG_OFFSET, LOG_SCALE, POWER_FLOOR, band_pooling
from resonance.dsp.keyword_step import KeywordStep
from resonance.export.keyword_step import SpotterStep
from resonance.export.onnx_file import (
    check_close,
    export_onnx,
    git_revision,
    identity,
    open_session,
    show_weights,
    weights_of,
    write_card,
    write_metadata,
)
from resonance.export.quantise import quantise
from resonance.models import keywords
from resonance.models.keywords import CORE_WORDS, LABELS, STEP_FRAMES, KeywordSpotter, label_scores

#: What the window shows, besides what the program listens to.
VIEW = ["settled", "anchors", "order", "pull", "attention"]
OUTPUTS = ["logits", "embedding", *VIEW]
PROOF_STEPS = 200
#: How much quantising may change a label's probability, for each number of bits.
QUANTISATION_CHANGE = {8: 0.1, 4: 0.5}


def first_state(step: SpotterStep) -> dict[str, Tensor]:
    """At rest, by input name; outputs carry ``new_`` before it."""
    return {f"state_{number}": state for number, state in enumerate(step.first_state())}


#: From frames [2, bands] → logits [labels], states kept.
Step = Callable[[Float32Array], Float32Array]


def exported(step: SpotterStep, path: Path) -> Step:
    """The file called step after step, its states fed back."""
    session, state = open_session(path), {n: s.numpy() for n, s in first_state(step).items()}
    names = ["logits", *(f"new_{name}" for name in state)]

    def follow(frames: Float32Array) -> Float32Array:
        logits, *new = session.run(names, {"frames": frames[None], **state})
        state.update(zip(state, new, strict=True))
        return np.asarray(logits[0])

    return follow


def compiled(step: SpotterStep) -> Step:
    """The same by the application's own loop (``dsp/keyword_step.py``)."""
    run = KeywordStep(weights_of(step), step.config.bands)

    def follow(frames: Float32Array) -> Float32Array:
        run.run(frames)
        return run.outputs["logits"][0]

    return follow


def prove(model: KeywordSpotter, path: Path) -> dict[str, float]:
    """Largest differences of the probabilities between torch at once and the rest step by step."""
    rng, step = np.random.default_rng(0), SpotterStep(model)
    steps_of = rng.normal(0.0, 0.3, (PROOF_STEPS * STEP_FRAMES, model.config.bands))
    frames = steps_of.cumsum(0).astype(np.float32)  # moves slowly, as levels do
    steps = {"onnx": exported(step, path)}
    if step.shown:
        steps["compiled"] = compiled(step)
    worst = dict.fromkeys(steps, 0.0)
    for end in range(STEP_FRAMES, len(frames) + 1, STEP_FRAMES):
        found = {name: follow(frames[end - STEP_FRAMES : end]) for name, follow in steps.items()}
        if end % 50 == 0:
            with torch.no_grad():
                expected = label_scores(model(torch.from_numpy(frames[None, :end]))).softmax(-1)[0]
            for name, logits in found.items():
                difference = float(np.abs(np.exp(logits) - expected.numpy()).max())
                worst[name] = max(worst[name], difference)
    return {f"torch_and_{name}_probabilities": value for name, value in worst.items()}


def metadata(model: KeywordSpotter, scores: dict[str, Any], data: str) -> dict[str, Any]:
    """What the application checks and uses.

    Parameters
    ----------
    model
        The original.
    scores
        Measured on held-out recordings.
    data
        What it was trained on, in words.

    Returns
    -------
    dict
        Facts of the card and the file.
    """
    config, bank = model.config, broad_bank()
    return {
        "format_version": FORMAT_VERSION,
        "kind": "keywords",
        "labels": list(LABELS),
        "words": len(CORE_WORDS),
        "hop_s": config.frame_s / 2,
        "frame_s": config.frame_s,
        "step_frames": STEP_FRAMES,
        "bands": config.bands,
        "tokens": config.tokens,
        "f0_hz": bank.f0_hz.tolist(),
        "damping_ratio": bank.damping_ratio.tolist(),
        "pooling": band_pooling(bank, config.bands).tolist(),
        "feature_normalisation": [POWER_FLOOR, LOG_OFFSET, LOG_SCALE],
        "sensitivity": scores.get("sensitivity", {}),
        "sensitivity_twice": scores.get("sensitivity_twice", {}),
        "apart_odds": scores.get("apart_odds", 0.0),
        "git_revision": git_revision(),
        "training_data": data,
        "scores": scores.get("accuracy", scores),
    }


@click.command(context_settings={"show_default": True})
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="best.pt of a training run.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option(
    "--bits",
    type=click.Choice(["32", "8", "4"]),
    default="32",
    help="Per weight of the matrix products.",
)
@click.option(
    "--scores",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON written by python -m bench.keywords.accuracy --scores.",
)
@click.option(
    "--same-as",
    "earlier",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An earlier export of the same weights: words learned with it stay valid.",
)
@click.option("--data", required=True, help="One line on the training data, for the card.")
def main(
    checkpoint: Path, out: Path, bits: str, scores: Path | None, earlier: Path | None, data: str
) -> None:
    """Export the spotter with metadata and card; fail if it differs from torch."""
    model, saved = keywords.load(checkpoint)
    measured = json.loads(scores.read_text()) if scores else {"dev": saved.get("scores", {})}
    facts = metadata(model, measured, data)
    if earlier:
        check_close("probabilities of both exports", max(prove(model, earlier).values()))
        facts["identity"] = identity(earlier)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as aside:
        path = Path(aside) / "keywords.onnx"
        step = SpotterStep(model)
        state, frames = first_state(step), torch.zeros(1, STEP_FRAMES, model.config.bands)
        outputs = [*OUTPUTS, *(f"new_{name}" for name in state)]
        export_onnx(step, {"frames": frames, **state}, outputs, path)
        if bits == "32" and step.shown:
            show_weights(path, weights_of(step))
        differences = prove(model, path)
        check_close("probabilities of torch and the exported forms", max(differences.values()))
        if bits != "32":
            quantise(path, int(bits))
            change = prove(model, path)["torch_and_onnx_probabilities"]
            check_close(f"{bits}-bit probabilities", change, QUANTISATION_CHANGE[int(bits)])
            differences["change_by_quantising"] = change
        write_metadata(path, facts)
        os.replace(path, out / path.name)
    click.echo(json.dumps(differences))
    card = {
        "kind": "keywords",
        "labels": list(LABELS),
        "bits": int(bits),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_data": data,
        "command": f"python -m resonance.export.keywords --checkpoint {checkpoint.name} "
        f"--bits {bits}",
        "scores": measured,
        "parity": differences,
    }
    click.echo(str(write_card(out / "keywords.onnx", card)))


if __name__ == "__main__":
    main()
