"""Train the denoiser: ``python -m resonance.models.train_denoiser --data DIR --work DIR``."""

from __future__ import annotations

import json
import time
from collections.abc import Set
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from tqdm import tqdm

from resonance.models.controller import ControllerConfig
from resonance.models.data import SAMPLERATE, AudioStore, Recording, chosen, find_recordings
from resonance.models.denoiser import Denoiser, DenoiserConfig, at_pace
from resonance.models.losses import (
    TERMS,
    Loss,
    denoising_loss,
    error_db,
    estoi,
    readings_loss,
    si_sdr_db,
    waveform_loss,
)
from resonance.models.mixing import Mixer, MixingRecipe
from resonance.models.opinion import Opinion, taught
from resonance.models.options import FOLDERS, RUN
from resonance.models.perception import perceptual_distance, wideband_pesq
from resonance.models.rooms import room_responses
from resonance.models.training import (
    Average,
    Recorded,
    load_checkpoint,
    numbered_batches,
    save_atomically,
    save_model,
    seed_everything,
    warm_hold_decay,
)

#: Steps between figures on the progress bar.
SHOW_EVERY = 10
DEV_SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0)
VOWELS_ONLY = MixingRecipe(
    seconds=0.512,
    snr_db=(7.8, 7.8),
    p_vowel=1.0,
    p_no_noise=0.0,
    p_no_speech=0.0,
    p_band_limit=0.0,
    p_clip=0.0,
    speech_dbfs=(-20.0, -20.0),
    p_speed=0.0,
    p_colour=0.0,
    p_level_step=0.0,
    p_16_bit=0.0,
    p_rumble=0.0,
    p_whistle=0.0,
)


def stores(recordings: list[Recording], split: str, cache: Path) -> tuple[AudioStore, AudioStore]:
    """Speech and noise of one split.

    Parameters
    ----------
    recordings
        All there are.
    split
        Such as "train".
    cache
        Folder of the decoded sound.

    Returns
    -------
    tuple of AudioStore
        Speech and noise.
    """
    speech, noise = (chosen(recordings, kind, split) for kind in ("speech", "noise"))
    return AudioStore(speech, cache), AudioStore(noise, cache)


def dev_batches(recordings: list[Recording], cache: Path, count: int) -> list[Any]:
    """Fixed mixtures of held-out speakers and noises at each SNR: (snr_db, noisy, clean).

    Parameters
    ----------
    recordings
        All there are.
    cache
        Folder of the decoded sound.
    count
        Mixtures at each SNR.

    Returns
    -------
    list
        SNR, dB, noisy and clean sound [batch, samples].
    """
    speech, noise = stores(recordings, "dev", cache)
    batches = []
    for number, snr_db in enumerate(DEV_SNRS_DB):
        recipe = MixingRecipe(
            seconds=4.0,
            snr_db=(snr_db, snr_db),
            p_no_noise=0.0,
            p_no_speech=0.0,
            p_vowel=0.0,
            p_synthetic_noise=0.0,
            p_babble=0.0,
            p_second_noise=0.0,
            p_room=0.0,
            p_band_limit=0.0,
            p_clip=0.0,
            speech_dbfs=(-30.0, -20.0),
            p_speed=0.0,
            p_colour=0.0,
            p_level_step=0.0,
            p_16_bit=0.0,
            p_rumble=0.0,
            p_whistle=0.0,
        )
        mixer = Mixer(speech, noise, [], recipe, seed=10_000 + number)
        batches.append((snr_db, *mixer.batch(0, count)))
    return batches


def dev_vowels(recordings: list[Recording], cache: Path, count: int) -> list[Any]:
    """The same for the vowel task: (snr_db, noisy, clean).

    Parameters
    ----------
    recordings
        All there are.
    cache
        Folder of the decoded sound.
    count
        Mixtures at each SNR.

    Returns
    -------
    list
        SNR, dB, noisy and clean sound [batch, samples].
    """
    mixer = Mixer(*stores(recordings, "dev", cache), [], VOWELS_ONLY, seed=10_000)
    return [(VOWELS_ONLY.snr_db[0], *mixer.batch(0, count))]


def evaluate(model: Denoiser, batches: list[Any], loss: Loss) -> dict[str, float]:
    """Mean loss, ESTOI, PESQ, SI-SDR improvement (also per SNR), SI-SDR of clean speech passed.

    Parameters
    ----------
    model
        Left in training mode.
    batches
        From :func:`dev_batches`.
    loss
        What is averaged.

    Returns
    -------
    dict
        Figures by name.
    """
    model.eval()
    device = next(model.parameters()).device
    gains: dict[str, float] = {}
    losses, intelligibility, quality = [], [], []
    with torch.no_grad():
        for snr_db, noisy, clean in batches:
            x, target = (torch.from_numpy(sound).to(device) for sound in (noisy, clean))
            estimate, _ = model(x)
            losses.append(float(loss(estimate, target, x)))
            intelligibility.append(float(estoi(estimate, target).mean()))
            quality.append(float(wideband_pesq(perceptual_distance(estimate, target)).mean()))
            gain = si_sdr_db(estimate, target) - si_sdr_db(x, target)
            gains[f"{snr_db:g}"] = float(gain.mean())
        clean_db = float(si_sdr_db(model(target)[0], target).mean())
    model.train()
    return {
        "loss": float(np.mean(losses)),
        "estoi": float(np.mean(intelligibility)),
        "pesq": float(np.mean(quality)),
        "improvement": float(np.mean(list(gains.values()))),
        "clean": clean_db,
        **gains,
    }


@click.command(context_settings={"show_default": True})
@FOLDERS
@RUN
@click.option("--task", type=click.Choice(["speech", "vowels"]), default="speech")
@click.option(
    "--lookahead-s",
    default=0.0,
    help="Delay of the output, s; 0 or at least a hop.",
)
@click.option("--name", help="Folder of the run inside WORK; denoiser-TASK by default.")
@click.option(
    "--start-from",
    type=click.Path(exists=True, path_type=Path),
    help="Model whose weights a new run begins with.",
)
@click.option("--steps", default=10_000, help="Training steps in all.")
@click.option(
    "--minutes", type=float, help="Train for so long instead of for --steps, at each call anew."
)
@click.option("--batch", default=8, help="Mixtures per step.")
@click.option("--learning-rate", default=3e-3)
@click.option(
    "--decay-steps",
    type=int,
    help="Over how many last steps the learning rate falls; 40 % by default.",
)
@click.option(
    "--opinion",
    type=click.Path(exists=True, path_type=Path),
    help="DNSMOS network (sig_bak_ovr.onnx) whose opinion counts, too.",
)
@click.option("--opinion-weight", default=0.5, help="Of a point of that opinion.")
@click.option(
    "--weigh",
    multiple=True,
    type=(click.Choice([*TERMS]), click.FloatRange(0.0)),
    metavar="TERM FACTOR",
    help=f"A term of the loss counts so many times as much, 0: not at all; {', '.join(TERMS)}.",
)
@click.option(
    "--layers",
    type=click.IntRange(1),
    help="Coupled layers; by default as many as the run or --start-from has, else "
    f"{ControllerConfig.layers}.",
)
@click.option(
    "--parts",
    type=click.IntRange(1, 8),
    default=DenoiserConfig.parts,
    help="Of a hop, each with new gains.",
)
@click.option(
    "--updates",
    type=click.IntRange(1, 8),
    default=DenoiserConfig.updates,
    help="Of a hop, with each of which the network hears all anew; divides --parts.",
)
@click.option("--bank-steps", default=0, help="Steps during which the bank learns too.")
@click.option("--seed", default=0)
@click.option("--device", default="cpu")
@click.option(
    "--fuse",
    is_flag=True,
    help="Compile parts of the model; needs a C++ compiler (on a GPU: Triton).",
)
@click.option("--threads", default=2, help="CPU threads of the training itself.")
@click.option("--workers", default=1, help="Processes that mix ahead.")
@click.option("--check-every", default=500, help="Steps between scores on the dev split.")
@click.option("--save-every-s", default=180.0, help="Seconds between checkpoints.")
def main(
    folders: tuple[Path, ...],
    work: Path,
    task: str,
    lookahead_s: float,
    name: str | None,
    start_from: Path | None,
    steps: int,
    minutes: float | None,
    batch: int,
    learning_rate: float,
    decay_steps: int | None,
    opinion: Path | None,
    opinion_weight: float,
    weigh: tuple[tuple[str, float], ...],
    layers: int | None,
    parts: int,
    updates: int,
    bank_steps: int,
    seed: int,
    device: str,
    fuse: bool,
    threads: int,
    workers: int,
    check_every: int,
    save_every_s: float,
) -> None:
    """Train a denoiser; call again to resume where it stopped, with the same result."""
    factors = dict(weigh)
    _check(task, weigh, parts, updates)
    torch.set_num_threads(threads)
    seed_everything(seed)
    recordings = [r for folder in folders for r in find_recordings(folder)]
    recipe = VOWELS_ONLY if task == "vowels" else MixingRecipe()
    mixer = Mixer(*stores(recordings, "train", work), room_responses(200, seed), recipe, seed)
    dev = (dev_vowels if task == "vowels" else dev_batches)(recordings, work, 16)
    loss_of: Loss = waveform_loss if task == "vowels" else denoising_loss(factors)
    if opinion:
        loss_of = taught(loss_of, Opinion(opinion).to(device), opinion_weight)
    last = 10**9 if minutes else steps
    folder = work / (name or f"denoiser-{task}")
    run = Run(
        folder,
        DenoiserConfig(
            lookahead_s=lookahead_s,
            parts=parts,
            updates=updates,
            controller=ControllerConfig(layers=layers or layers_of(folder / "last.pt", start_from)),
        ),
        last,
        learning_rate,
        decay_steps,
        device,
        bank_steps,
        start_from,
        loss_of,
    )
    if fuse:
        run.model.controller.fuse()
    pinned = device != "cpu"
    make = partial(mixer.batch, size=batch)
    loader = numbered_batches(make, run.step, last, workers, pinned=pinned)
    first, started = run.step, time.monotonic()
    saved = started
    progress = tqdm(loader, initial=run.step, total=steps, unit="step", mininterval=5)
    for noisy, clean in progress:
        sounds = (sound.to(device, non_blocking=True) for sound in (noisy, clean))
        loss, gain_db = run.train_step(*sounds)
        if run.step % SHOW_EVERY == 0:
            figures = {"loss": f"{float(loss):.3f}", "gain_db": f"{float(gain_db):.2f}"}
            progress.set_postfix(figures, refresh=False)
        if minutes and run.step > first + 5:  # the first ones compile
            took_s = time.monotonic() - started
            progress.total = run.steps = run.step + steps_within(
                60.0 * minutes - took_s, run.step - first, took_s
            )
        if run.step % check_every == 0 or run.step == run.steps:
            tqdm.write(run.check(dev))
        if time.monotonic() - saved > save_every_s or run.step == run.steps:
            run.save()
            saved = time.monotonic()
        if run.step == run.steps:
            break


def _check(task: str, weigh: tuple[tuple[str, float], ...], parts: int, updates: int) -> None:
    factors = dict(weigh)
    if weigh and task == "vowels":
        raise click.UsageError("--weigh is for --task speech: vowels know one term only")
    for term, _ in weigh:
        if sum(term == other for other, _ in weigh) > 1:
            raise click.UsageError(f"--weigh {term} is given more than once")
    if not any(factors.get(term, 1.0) for term in TERMS):
        raise click.UsageError("--weigh leaves no term of the loss")
    if parts % updates:
        raise click.UsageError(f"--parts {parts} is no multiple of --updates {updates}")


def layers_of(last: Path, start: Path | None) -> int:
    """Coupled layers of a run that goes on, of what a new one begins with, or of a new model.

    Parameters
    ----------
    last
        The run's checkpoint; need not exist.
    start
        Another model's, if a new run begins with one.

    Returns
    -------
    int
        Layers.
    """
    path = last if last.exists() else start
    saved = load_checkpoint(path).get("config", {}) if path else {}
    return int(saved.get("controller", {}).get("layers", ControllerConfig.layers))


def steps_within(left_s: float, steps: int, took_s: float) -> int:
    """How many steps the time left allows, when so many ``took_s``; none when it is over.

    Parameters
    ----------
    left_s
        Time left, s.
    steps, took_s
        Steps made, and their time, s.

    Returns
    -------
    int
        Steps.
    """
    return max(0, int(left_s * steps / took_s))


def _listed(names: Set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


class Run:
    """A training in progress: model, optimiser, average and best so far."""

    def __init__(
        self,
        folder: Path,
        config: DenoiserConfig,
        steps: int,
        learning_rate: float,
        decay_steps: int | None,
        device: str,
        bank_steps: int,
        start_from: Path | None,
        loss: Loss,
    ) -> None:
        self.folder, self.steps, self.loss = folder, steps, loss
        self.learning_rate, self.bank_steps, self.device = learning_rate, bank_steps, device
        self.decay_steps = decay_steps
        self.model = Denoiser(config).to(device)
        if start_from:
            self._begin_with(start_from)
        self.average = Average(self.model)
        on_gpu = next(self.model.parameters()).is_cuda
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=0.01, fused=on_gpu)
        self.step, self.sound_s, self.best = 0, 0.0, np.inf
        if (folder / "last.pt").exists():
            self._resume()
        # A bank that learns renews its neighbours' weights on the CPU in every step.
        self.learn = Recorded(self._learn) if on_gpu and not bank_steps else self._learn
        for group in self.optimiser.param_groups:
            group["lr"] = torch.zeros((), device=device) if on_gpu else learning_rate
            group["fused"] = group["capturable"] = on_gpu
        for state in self.optimiser.state.values():
            state["step"] = state["step"].to(device)

    def _begin_with(self, path: Path) -> None:
        """Take over every weight of another model that fits; say which do not."""
        saved = load_checkpoint(path)
        mine, theirs = self.model.state_dict(), saved.get("weights", {})
        times = self.model.config.updates / saved.get("config", {}).get(
            "updates", DenoiserConfig.updates
        )
        if times != 1:
            click.echo(f"{path} updates {1 / times:g} times as often; its weights are converted")
            theirs = at_pace(theirs, times)
        fitting = {k: v for k, v in theirs.items() if k in mine and v.shape == mine[k].shape}
        if not fitting:
            raise click.ClickException(f"{path} holds no weights that fit; give a run's best.pt")
        self.model.load_state_dict(mine | fitting)
        new, left = _listed(mine.keys() - fitting.keys()), _listed(theirs.keys() - fitting.keys())
        click.echo(f"beginning with {path}; from scratch: {new}; not taken over: {left}")

    def _resume(self) -> None:
        saved = load_checkpoint(self.folder / "last.pt")
        if {"updates": DenoiserConfig.updates, **saved["config"]} != asdict(self.model.config):
            raise click.ClickException(
                f"{self.folder} was trained with {saved['config']}, not "
                f"{asdict(self.model.config)}; give the same options, or another --name"
            )
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.restore(saved["average"])
        self.step = saved["step"]
        if saved.get("loss") == self.loss.__name__:  # another one's values say nothing
            self.best = saved["best"]
        self.sound_s = saved["heard_s"]
        click.echo(f"resuming {self.folder} at step {self.step}")

    def save(self) -> None:
        """Write everything needed to go on exactly."""
        content = {
            "config": asdict(self.model.config),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.weights,
            "step": self.step,
            "heard_s": self.sound_s,
            "best": self.best,
            "loss": self.loss.__name__,
        }
        save_atomically(content, self.folder / "last.pt")

    def train_step(self, noisy: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """One step; returns its loss, and the gain in dB [scalars]."""
        decay = self.decay_steps / self.steps if self.decay_steps else 0.4
        rate = self.learning_rate * warm_hold_decay(self.step, self.steps, decay=decay)
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self.model.bank.requires_grad_(self.step < self.bank_steps)
        figures = self.learn(noisy, clean)
        self.average.update(self.model, self.step)
        self.step += 1
        self.sound_s += noisy.numel() / SAMPLERATE
        return figures

    def _learn(self, noisy: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, ...]:
        estimate, readings = self.model(noisy)
        level = 20.0 * noisy.square().mean(-1, keepdim=True).sqrt() + 1e-9  # about -26 dBFS
        loss = self.loss(estimate / level, clean / level, noisy / level)
        loss = loss + 0.1 * readings_loss(readings, noisy, clean)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        gain = error_db(noisy, clean, noisy) - error_db(estimate, clean, noisy)
        return loss.detach(), gain.mean().detach()

    def check(self, dev: list[Any]) -> str:
        """Score the averaged weights on the dev mixtures; keep them if they are the best."""
        averaged = Denoiser(self.model.config).to(self.device)
        averaged.load_state_dict(self.average.weights)
        scores = evaluate(averaged, dev, self.loss)
        kept = scores["loss"] < self.best
        if kept:
            self.best = scores["loss"]
            save_model(averaged, self.folder / "best.pt", step=self.step, scores=scores)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "scores.jsonl").open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"step": self.step, "hours": self.sound_s / 3600, **scores}) + "\n"
            )
        figures = " ".join(f"{name}:{value:.3f}" for name, value in scores.items())
        return f"step {self.step} {figures}{' (best)' if kept else ''}"


if __name__ == "__main__":
    main()
