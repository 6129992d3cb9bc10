"""Export a denoiser: ``python -m resonance.export.denoiser --checkpoint FILE --out DIR``."""

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
from numpy.typing import NDArray

from resonance.dsp.features import (
    FEATURE_NAMES,
    FORMAT_VERSION,
    LOG_OFFSET,
    LOG_SCALE,
    SILENT_POWER,
    hop_edges,
)
from resonance.dsp.identity import TRAINING_SAMPLERATE
from resonance.dsp.stream import BankStream
from resonance.export.denoiser_step import DenoiserStep
from resonance.export.onnx_file import (
    ParityError,
    check_close,
    export_onnx,
    git_revision,
    open_session,
    write_card,
    write_metadata,
)
from resonance.export.quantise import quantise
from resonance.export.sequence import SEQUENCE_HOPS, make_sequence
from resonance.models import denoiser
from resonance.models.denoiser import Denoiser

Sound = NDArray[np.float32]

PROOF_S = 60
#: How much of the sound quantising may change, dB of its level, for each number of bits.
QUANTISATION_NOISE_DB = {8: -30.0, 4: -15.0}
SAMPLERATES_VERIFIED = (8000, 16000, 44100, 48000, 96000)


def export_forms(model: Denoiser, step_path: Path, sequence_path: Path) -> None:
    """Write both forms, without metadata.

    Parameters
    ----------
    model
        Trained.
    step_path, sequence_path
        Where the step form and the sequence form go.
    """
    step = DenoiserStep(model)
    states = step.first_states()
    outputs = ["gain", "reading", *(f"new_{name}" for name in states)]
    inputs = {"features": torch.zeros(1, model.oscillators, len(FEATURE_NAMES)), **states}
    export_onnx(step, inputs, outputs, step_path)
    make_sequence(step_path, sequence_path)


def proof_sound() -> Sound:
    """A minute that moves: chirps, bursts of noise and silence [samples]."""
    rng = np.random.default_rng(0)
    t = np.arange(PROOF_S * TRAINING_SAMPLERATE) / TRAINING_SAMPLERATE
    chirp = np.sin(2 * np.pi * (200 * t + 120 * np.sin(0.7 * t)))
    gate = (np.sin(2 * np.pi * 0.4 * t) > -0.3) * np.abs(np.sin(2 * np.pi * 2.1 * t))
    return (0.1 * chirp * gate + 0.03 * rng.standard_normal(len(t)) * (t % 7 < 5)).astype(
        np.float32
    )


def play(
    model: Denoiser, sound: Sound, next_gains: Callable[[Sound], NDArray[np.complex64]]
) -> Sound:
    """Stream ``sound`` through the bank; ``next_gains`` gets each hop's features.

    Parameters
    ----------
    model
        Gives the bank.
    sound
        At the model's samplerate [samples].
    next_gains
        Gets each hop's features, gives its gains [oscillators].

    Returns
    -------
    array
        Cleaned sound [samples].
    """
    config = model.config
    bank = BankStream(
        model.bank.frozen(),
        TRAINING_SAMPLERATE,
        config.hop_s,
        carriers=config.carriers(),
        ramp_s=config.ramp_s,
        lookahead_s=config.lookahead_s,
        rewinds=config.rewinds,
    )
    out, position = np.zeros_like(sound), 0
    while position + bank.samples_left <= len(sound):
        end = position + bank.samples_left
        bank.advance(sound[position:end], out[position:end])
        bank.next_hop(next_gains(bank.features()))
        position = end
    return out[bank.latency_samples : position]


class Runner:
    """An exported file called again and again, its states fed back; remembers its inputs."""

    def __init__(self, path: Path) -> None:
        self.session = open_session(path)
        states = self.session.get_inputs()[1:]
        self.names = [state.name for state in states]
        self.states = [np.zeros(state.shape, np.float32) for state in states]
        self.seen: list[Sound] = []

    def __call__(self, features: Sound) -> NDArray[np.complex64]:
        """Features [hops, oscillators, 4], as many hops as the form takes → complex gains."""
        self.seen.append(features)
        feed = {"features": features, **dict(zip(self.names, self.states, strict=True))}
        gain, _, *self.states = self.session.run(None, feed)
        return np.asarray(gain.view(np.complex64)[..., 0])


def prove(model: Denoiser, step_path: Path, sequence_path: Path) -> dict[str, float]:
    """Largest differences of the sound that torch and both files make; raises if too large.

    Parameters
    ----------
    model
        The original.
    step_path, sequence_path
        Both forms.

    Returns
    -------
    dict
        Largest differences by name.

    Raises
    ------
    ParityError
        If one is too large.
    """
    sound = proof_sound()
    with torch.no_grad():
        trained = model(torch.from_numpy(sound[None]))[0][0].numpy()
    stepped, batched = played_by(model, step_path, sequence_path, sound)
    differences = {
        "torch_and_step": float(np.abs(trained[: len(stepped)] - stepped).max()),
        "torch_and_sequence": float(np.abs(trained[: len(batched)] - batched).max()),
    }
    for name, difference in differences.items():
        check_close(name, difference)
    return differences


def played_by(
    model: Denoiser, step_path: Path, sequence_path: Path, sound: Sound
) -> tuple[Sound, Sound]:
    """What the two files make of a sound, each as long as whole hops and calls allow.

    Parameters
    ----------
    model
        Gives the bank.
    step_path, sequence_path
        Both forms.
    sound
        At the model's samplerate [samples].

    Returns
    -------
    tuple of array
        Cleaned by the step form, by the sequence form [samples].
    """
    step, sequence = Runner(step_path), Runner(sequence_path)
    stepped = play(model, sound, lambda features: step(features[None])[0])
    chunks = np.concatenate(step.seen[: len(step.seen) // SEQUENCE_HOPS * SEQUENCE_HOPS])
    gains = iter(
        np.concatenate([sequence(c) for c in np.split(chunks, len(chunks) // SEQUENCE_HOPS)])
    )
    edges = hop_edges(len(chunks), model.config.hop_s, TRAINING_SAMPLERATE)
    return stepped, play(model, sound[: edges[-1]], lambda _: next(gains))


def make_smaller(
    model: Denoiser, step_path: Path, sequence_path: Path, bits: int
) -> dict[str, float]:
    """Quantise both files in place; how far the sound moved, and how far they are apart.

    Parameters
    ----------
    model
        The original.
    step_path, sequence_path
        Both forms; replaced.
    bits
        Of each weight.

    Returns
    -------
    dict
        Differences by name, dB.

    Raises
    ------
    ParityError
        If both forms no longer agree.
    """
    sound = proof_sound()
    before, _ = played_by(model, step_path, sequence_path, sound)
    quantise(step_path, bits)
    make_sequence(step_path, sequence_path)
    stepped, batched = played_by(model, step_path, sequence_path, sound)
    moved = np.sum((stepped - before) ** 2.0) / np.sum(before**2.0)
    apart = float(np.abs(stepped[: len(batched)] - batched).max())
    check_close("step and sequence", apart)
    noise_db = float(10 * np.log10(moved))
    if not noise_db <= QUANTISATION_NOISE_DB[bits]:
        raise ParityError(
            f"{bits} bits change the sound by {noise_db:.1f} dB of its level, "
            f"allowed: {QUANTISATION_NOISE_DB[bits]}"
        )
    return {"quantisation_noise_db": noise_db, "step_and_sequence": apart}


def metadata(model: Denoiser, preset: str, saved: dict[str, Any], data: str) -> dict[str, Any]:
    """What the application checks and uses.

    Parameters
    ----------
    model
        The original.
    preset
        Name.
    saved
        The checkpoint.
    data
        What it was trained on, in words.

    Returns
    -------
    dict
        Facts of the card and the file.
    """
    bank, config = model.bank.frozen(), model.config
    return {
        "format_version": FORMAT_VERSION,
        "kind": "denoiser",
        "preset": preset,
        "hop_s": config.hop_s,
        "ramp_s": config.ramp_s,
        "lookahead_s": config.lookahead_s,
        "rewinds": config.rewinds,
        "f0_hz": bank.f0_hz.tolist(),
        "damping_ratio": bank.damping_ratio.tolist(),
        "carriers": config.carriers().tolist(),
        "features": list(FEATURE_NAMES),
        "feature_normalisation": [SILENT_POWER, LOG_OFFSET, LOG_SCALE],
        "trained_band_hz": [50.0, float(bank.f0_hz.max())],
        "samplerates_verified": list(SAMPLERATES_VERIFIED),
        "git_revision": git_revision(),
        "training_data": data,
        "scores": saved.get("scores", {}),
    }


@click.command(context_settings={"show_default": True})
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="best.pt of a training run.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--preset", required=True, help="Name of the files: live, call, or your own.")
@click.option("--title", help="What people call it; PRESET by default.")
@click.option("--summary", default="", help="What it is good for, in a few words.")
@click.option("--task", default="speech", help="What it cleans.")
@click.option(
    "--bits",
    type=click.Choice(["32", "8", "4"]),
    default="32",
    help="Per weight; 8 and 4 are block-wise integers.",
)
@click.option(
    "--scores",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What bench.denoising.quality --json wrote, for the card.",
)
@click.option("--step-only", is_flag=True, help="Leave the sequence form out.")
@click.option("--data", required=True, help="One line on the training data, for the card.")
def main(
    checkpoint: Path,
    out: Path,
    preset: str,
    title: str | None,
    summary: str,
    task: str,
    bits: str,
    scores: Path | None,
    step_only: bool,
    data: str,
) -> None:
    """Export step and sequence form with metadata and card; fail if they differ from torch."""
    torch.set_num_threads(1)
    model, saved = denoiser.load(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    facts = metadata(model, preset, saved, data)
    names = [f"denoiser-{preset}.onnx", f"denoiser-{preset}-sequence.onnx"]
    with tempfile.TemporaryDirectory(dir=out) as aside:
        step, sequence = (Path(aside) / name for name in names)
        export_forms(model, step, sequence)
        differences = prove(model, step, sequence)
        if bits != "32":
            differences |= make_smaller(model, step, sequence, int(bits))
        if step_only:
            names = names[:1]
        for name in names:
            write_metadata(Path(aside) / name, facts)
            os.replace(Path(aside) / name, out / name)
    click.echo(json.dumps(differences))
    for name in names:
        card = {
            "kind": "denoiser",
            "preset": preset,
            "title": title or preset.capitalize(),
            "summary": summary,
            "task": task,
            "lookahead_s": model.config.lookahead_s,
            "parameters": sum(p.numel() for p in model.parameters()),
            "bits_per_weight": int(bits),
            "training_data": data,
            "training_steps": saved.get("step"),
            "command": (
                f"python -m resonance.export.denoiser --checkpoint {checkpoint.name} "
                f"--preset {preset} --bits {bits}"
            ),
            "training_scores": saved.get("scores", {}),
            "parity": differences,
            "scores": json.loads(scores.read_text()).get(preset) if scores else None,
        }
        click.echo(str(write_card(out / name, card)))


if __name__ == "__main__":
    main()
