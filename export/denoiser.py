"""Export a trained denoiser: ``python -m export.denoiser --checkpoint FILE --out DIR``."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dsp.features import (
    FEATURE_NAMES,
    FORMAT_VERSION,
    LOG_OFFSET,
    LOG_SCALE,
    POWER_FLOOR,
    hop_edges,
)
from dsp.identity import TRAINING_SAMPLERATE
from dsp.stream import BankStream
from export.onnx_file import (
    check_close,
    export_onnx,
    git_revision,
    open_session,
    write_card,
    write_metadata,
)
from models import denoiser
from models.denoiser import Denoiser
from models.resonant import State

Sound = NDArray[np.float32]

#: Hops per call of the sequence form.
SEQUENCE_HOPS = 64
PROOF_S = 60
SAMPLERATES_VERIFIED = (8000, 16000, 44100, 48000, 96000)


class ExportedForm(nn.Module):
    """A method of the denoiser that takes and gives states, with the states laid flat."""

    def __init__(self, model: Denoiser, method: Literal["step", "sequence"]) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, features: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        """Features, two states a layer → gains, states; shapes as ``Denoiser`` says."""
        states: list[State] = list(zip(flat[::2], flat[1::2], strict=True))
        gain, new = getattr(self.model, self.method)(features, states)
        return gain, *(part for state in new for part in state)


def state_names(layers: int) -> list[str]:
    """Input names of the states; outputs carry ``new_`` before them."""
    return [f"state_{layer}_{part}" for layer in range(layers) for part in ("re", "im")]


def export_forms(model: Denoiser, step_path: Path, sequence_path: Path) -> None:
    """Write both forms, without metadata."""
    names = state_names(model.config.layers)
    states = dict(zip(names, (s for pair in model.first_states() for s in pair), strict=True))
    outputs = ["gain", *(f"new_{name}" for name in names)]
    shape = (model.oscillators, len(FEATURE_NAMES))
    step = {"features": torch.zeros(1, *shape), **states}
    sequence = {"features": torch.zeros(1, SEQUENCE_HOPS, *shape), **states}
    export_onnx(ExportedForm(model, "step"), step, outputs, step_path)
    export_onnx(ExportedForm(model, "sequence"), sequence, outputs, sequence_path)


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
    """Stream ``sound`` through the bank; ``next_gains`` gets each hop's features."""
    config = model.config
    bank = BankStream(
        model.bank.frozen(), TRAINING_SAMPLERATE, config.hop_s,
        carriers=config.carriers(), ramp_s=config.ramp_s,
    )  # fmt: skip
    out, position = np.zeros_like(sound), 0
    while position + bank.samples_left <= len(sound):
        end = position + bank.samples_left
        bank.advance(sound[position:end], out[position:end])
        bank.next_hop(next_gains(bank.features()))
        position = end
    return out[:position]


class Runner:
    """An exported file called again and again, its states fed back; remembers its inputs."""

    def __init__(self, model: Denoiser, path: Path) -> None:
        self.session = open_session(path)
        self.names = state_names(model.config.layers)
        self.states = [np.zeros((1, model.config.states), np.float32) for _ in self.names]
        self.seen: list[Sound] = []

    def __call__(self, features: Sound) -> NDArray[np.complex64]:
        """Features [oscillators, 3] or [hops, oscillators, 3] → complex gains of that shape."""
        self.seen.append(features)
        feed = {"features": features[None], **dict(zip(self.names, self.states, strict=True))}
        gain, *self.states = self.session.run(None, feed)
        return np.asarray(gain[0].view(np.complex64)[..., 0])


def prove(model: Denoiser, step_path: Path, sequence_path: Path) -> dict[str, float]:
    """Largest differences of the sound that torch and both files make; raises if too large."""
    sound = proof_sound()
    step, sequence = Runner(model, step_path), Runner(model, sequence_path)
    played = play(model, sound, step)
    with torch.no_grad():
        trained = model(torch.from_numpy(sound[None]))[0, : len(played)].numpy()
    chunks = np.stack(step.seen[: len(step.seen) // SEQUENCE_HOPS * SEQUENCE_HOPS])
    gains = iter(
        np.concatenate([sequence(c) for c in np.split(chunks, len(chunks) // SEQUENCE_HOPS)])
    )
    edges = hop_edges(len(chunks), model.config.hop_s, TRAINING_SAMPLERATE)
    batch = play(model, sound[: edges[-1]], lambda _: next(gains))
    differences = {
        "torch_and_step": float(np.abs(trained - played).max()),
        "torch_and_sequence": float(np.abs(trained[: len(batch)] - batch).max()),
    }
    for name, difference in differences.items():
        check_close(name, difference)
    return differences


def metadata(model: Denoiser, preset: str, saved: dict[str, Any], data: str) -> dict[str, Any]:
    """What the application checks and uses."""
    bank, config = model.bank.frozen(), model.config
    return {
        "format_version": FORMAT_VERSION,
        "kind": "denoiser",
        "preset": preset,
        "hop_s": config.hop_s,
        "ramp_s": config.ramp_s,
        "lookahead_s": 0.0,
        "f0_hz": bank.f0_hz.tolist(),
        "damping_ratio": bank.damping_ratio.tolist(),
        "carriers": config.carriers().tolist(),
        "features": list(FEATURE_NAMES),
        "feature_normalisation": [POWER_FLOOR, LOG_OFFSET, LOG_SCALE],
        "trained_band_hz": [50.0, float(bank.f0_hz.max())],
        "samplerates_verified": list(SAMPLERATES_VERIFIED),
        "git_revision": git_revision(),
        "training_data": data,
        "scores": saved.get("scores", {}),
    }


@click.command(context_settings={"show_default": True})
@click.option("--checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              required=True, help="best.pt of a training run.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--preset", default="live")
@click.option("--step-only", is_flag=True, help="Leave the sequence form out.")
@click.option("--data", required=True, help="One line on the training data, for the card.")
def main(checkpoint: Path, out: Path, preset: str, step_only: bool, data: str) -> None:
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
        if step_only:
            names = names[:1]
        for name in names:
            write_metadata(Path(aside) / name, facts)
            os.replace(Path(aside) / name, out / name)
    click.echo(json.dumps(differences))
    for name in names:
        card = {
            "kind": "denoiser", "preset": preset,
            "parameters": sum(p.numel() for p in model.parameters()),
            "training_data": data, "training_steps": saved.get("step"),
            "command": f"export.denoiser --checkpoint {checkpoint.name} --preset {preset}",
            "training_scores": saved.get("scores", {}), "parity": differences,
        }  # fmt: skip
        click.echo(str(write_card(out / name, card)))


if __name__ == "__main__":
    main()
