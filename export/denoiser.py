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

from resonance.dsp.controller import Controller
from resonance.dsp.features import (
    FEATURE_NAMES,
    FORMAT_VERSION,
    LOG_OFFSET,
    LOG_SCALE,
    SILENT_POWER,
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
    show_weights,
    weights_of,
    write_card,
    write_metadata,
)
from resonance.export.quantise import quantise
from resonance.models import denoiser
from resonance.models.denoiser import Denoiser

Sound = NDArray[np.float32]
#: From features of a part [2, oscillators, 4], whether it ends an update → gains [oscillators].
NextGains = Callable[[Sound, bool], NDArray[np.complex64]]

PROOF_S = 60
#: Of it, what quantised weights are judged by.
QUANTISED_S = 10
#: Noise where the proof's sound is next to silent (-100 dBFS), and how far its samples may differ.
FLOOR, CLOSE = 1e-5, 2e-5
#: How much of the sound quantising may change, dB of its level, for each number of bits.
QUANTISATION_NOISE_DB = {8: -30.0, 4: -15.0}
SAMPLERATES_VERIFIED = (8000, 16000, 44100, 48000, 96000)


def export_step(model: Denoiser, path: Path, *, weights: bool = True) -> None:
    """Write the step form, without metadata.

    Parameters
    ----------
    model
        Trained.
    path
        File to write.
    weights
        Whether they are outputs, too, for the compiled loop.
    """
    step = DenoiserStep(model)
    states = step.first_states()
    outputs = ["gain", "reading", *(f"new_{name}" for name in states)]
    inputs = {
        "features": torch.zeros(1, 2, model.oscillators, len(FEATURE_NAMES)),
        "ended": torch.zeros(1, 1, 1),
        **states,
    }
    export_onnx(step, inputs, outputs, path)
    if weights:
        show_weights(path, weights_of(step))


def proof_sound() -> Sound:
    """A minute that moves: chirps, bursts of noise and next to silence [samples].

    Never digital silence: what oscillators ring on with there is rounding, and so are its phases,
    which the network sees.
    """
    rng = np.random.default_rng(0)
    t = np.arange(PROOF_S * TRAINING_SAMPLERATE) / TRAINING_SAMPLERATE
    chirp = np.sin(2 * np.pi * (200 * t + 120 * np.sin(0.7 * t)))
    gate = (np.sin(2 * np.pi * 0.4 * t) > -0.3) * np.abs(np.sin(2 * np.pi * 2.1 * t))
    noise = rng.standard_normal(len(t)) * np.where(t % 7 < 5, 0.03, FLOOR)
    return (0.1 * chirp * gate + noise).astype(np.float32)


def play(model: Denoiser, sound: Sound, next_gains: NextGains) -> Sound:
    """Stream ``sound`` through the bank; ``next_gains`` gets the features of each part of a hop.

    Parameters
    ----------
    model
        Gives the bank.
    sound
        At the model's samplerate [samples].
    next_gains
        Gets the features of each part, gives gains for the next [oscillators].

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
        parts=config.parts,
        updates=config.updates,
    )
    out, position = np.zeros_like(sound), 0
    while position + bank.samples_left <= len(sound):
        end = position + bank.samples_left
        bank.advance(sound[position:end], out[position:end])
        bank.next_part(next_gains(bank.features(), bank.ends_update))
        position = end
    return out[bank.latency_samples : position]


class Runner:
    """An exported file called part after part, its states fed back."""

    def __init__(self, path: Path) -> None:
        self.session = open_session(path)
        states = self.session.get_inputs()[2:]
        self.states = {state.name: np.zeros(state.shape, np.float32) for state in states}
        self.outputs = ["gain", *(f"new_{name}" for name in self.states)]

    def __call__(self, features: Sound, ended: bool) -> NDArray[np.complex64]:
        """Features of a part [2, oscillators, 4] → complex gains [oscillators]."""
        whole = np.full((1, 1, 1), ended, np.float32)
        feed = {"features": features[None], "ended": whole, **self.states}
        gain, *new = self.session.run(self.outputs, feed)
        self.states = dict(zip(self.states, new, strict=True))
        return np.asarray(gain.view(np.complex64)[0, :, 0])


def compiled(model: Denoiser) -> NextGains:
    """The same by the application's own loop (``dsp/controller.py``)."""
    controller = Controller(weights_of(DenoiserStep(model)))
    gains = np.empty((1, controller.oscillators), np.complex64)

    def next_gains(features: Sound, ended: bool) -> NDArray[np.complex64]:
        controller.respond(features[None], np.array([ended]), gains)
        return gains[0]

    return next_gains


def prove(model: Denoiser, path: Path) -> dict[str, float]:
    """Largest differences of the sound that torch, the file and the compiled loop make.

    Parameters
    ----------
    model
        The original.
    path
        The step form.

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
    differences = {}
    for name, next_gains in (("step", Runner(path)), ("compiled", compiled(model))):
        played = play(model, sound, next_gains)
        differences[f"torch_and_{name}"] = float(np.abs(trained[: len(played)] - played).max())
    for name, difference in differences.items():
        check_close(name, difference, CLOSE)
    return differences


def make_smaller(model: Denoiser, path: Path, bits: int) -> dict[str, float]:
    """Quantise the step form in place; how far the sound moved.

    Parameters
    ----------
    model
        The original.
    path
        The step form; replaced.
    bits
        Of each weight.

    Returns
    -------
    dict
        The difference by name, dB.

    Raises
    ------
    ParityError
        If the sound moved too far.
    """
    sound = proof_sound()[: QUANTISED_S * TRAINING_SAMPLERATE]
    before = play(model, sound, Runner(path))
    quantise(path, bits)
    after = play(model, sound, Runner(path))
    noise_db = float(10 * np.log10(np.sum((after - before) ** 2.0) / np.sum(before**2.0)))
    if not noise_db <= QUANTISATION_NOISE_DB[bits]:
        raise ParityError(
            f"{bits} bits change the sound by {noise_db:.1f} dB of its level, "
            f"allowed: {QUANTISATION_NOISE_DB[bits]}"
        )
    return {"quantisation_noise_db": noise_db}


def metadata(
    model: Denoiser, preset: str, saved: dict[str, Any], data: str, both_ways: bool = False
) -> dict[str, Any]:
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
    both_ways
        Whether recordings are to be cleaned backwards in time, too.

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
        "parts": config.parts,
        "updates": config.updates,
        "both_ways": both_ways,
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
@click.option(
    "--both-ways",
    is_flag=True,
    help="Recordings are to be cleaned backwards in time, too.",
)
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
    both_ways: bool,
    data: str,
) -> None:
    """Export the step form with metadata and card; fail if it differs from torch."""
    torch.set_num_threads(1)
    model, saved = denoiser.load(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    name = f"denoiser-{preset}.onnx"
    with tempfile.TemporaryDirectory(dir=out) as aside:
        step = Path(aside) / name
        export_step(model, step)
        differences = prove(model, step)
        if bits != "32":
            export_step(model, step, weights=False)
            differences |= make_smaller(model, step, int(bits))
        write_metadata(step, metadata(model, preset, saved, data, both_ways))
        os.replace(step, out / name)
    click.echo(json.dumps(differences))
    card = {
        "kind": "denoiser",
        "preset": preset,
        "title": title or preset.capitalize(),
        "summary": summary,
        "task": task,
        "lookahead_s": model.config.lookahead_s,
        "both_ways": both_ways,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bits_per_weight": int(bits),
        "training_data": data,
        "training_steps": saved.get("step"),
        "command": (
            f"python -m resonance.export.denoiser --checkpoint {checkpoint.name} "
            f"--preset {preset} --bits {bits}{' --both-ways' * both_ways}"
        ),
        "training_scores": saved.get("scores", {}),
        "parity": differences,
        "scores": json.loads(scores.read_text()).get(preset) if scores else None,
    }
    click.echo(str(write_card(out / name, card)))


if __name__ == "__main__":
    main()
