"""Train the denoiser: ``python -m models.train_denoiser --data DIR --work DIR``."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from tqdm import tqdm

from models.data import AudioStore, Recording, chosen, find_recordings
from models.denoiser import Denoiser, DenoiserConfig
from models.losses import denoising_loss, error_db, si_sdr_db
from models.mixing import Mixer, MixingRecipe
from models.rooms import room_responses
from models.training import (
    Average,
    load_checkpoint,
    numbered_batches,
    save_atomically,
    save_model,
    seed_everything,
    warm_hold_decay,
)

DEV_SNRS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0)
VOWELS_ONLY = MixingRecipe(
    seconds=0.512, snr_db=(7.8, 7.8), p_vowel=1.0, p_no_noise=0.0, p_no_speech=0.0,
    p_band_limit=0.0, p_clip=0.0, speech_dbfs=(-20.0, -20.0),
)  # fmt: skip


def stores(recordings: list[Recording], split: str, cache: Path) -> tuple[AudioStore, AudioStore]:
    """Speech and noise of one split."""
    speech, noise = (chosen(recordings, kind, split) for kind in ("speech", "noise"))
    return AudioStore(speech, cache), AudioStore(noise, cache)


def dev_batches(recordings: list[Recording], cache: Path, count: int) -> list[Any]:
    """Fixed mixtures of held-out speakers and noises at each SNR: (snr_db, noisy, clean)."""
    speech, noise = stores(recordings, "dev", cache)
    batches = []
    for number, snr_db in enumerate(DEV_SNRS_DB):
        recipe = MixingRecipe(
            seconds=4.0, snr_db=(snr_db, snr_db), p_no_noise=0.0, p_no_speech=0.0, p_vowel=0.0,
            p_synthetic_noise=0.0, p_babble=0.0, p_second_noise=0.0, p_room=0.0,
            p_band_limit=0.0, p_clip=0.0, speech_dbfs=(-30.0, -20.0),
        )  # fmt: skip
        mixer = Mixer(speech, noise, [], recipe, seed=10_000 + number)
        batches.append((snr_db, *mixer.batch(0, count)))
    return batches


def evaluate(model: Denoiser, batches: list[Any]) -> dict[str, float]:
    """SI-SDR improvement per SNR and on average, and SI-SDR of clean speech passed, dB."""
    model.eval()
    gains = {}
    with torch.no_grad():
        for snr_db, noisy, clean in batches:
            x, target = torch.from_numpy(noisy), torch.from_numpy(clean)
            gain = si_sdr_db(model(x), target) - si_sdr_db(x, target)
            gains[f"{snr_db:g}"] = float(gain.mean())
        clean_db = float(si_sdr_db(model(target), target).mean())
    model.train()
    return {"improvement": float(np.mean(list(gains.values()))), "clean": clean_db, **gains}


@click.command(context_settings={"show_default": True})
@click.option("--data", "folders", type=click.Path(path_type=Path), multiple=True, required=True,
              help="Folder of recordings; may be given several times.")  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path), required=True,
              help="Folder for checkpoints and decoded audio.")  # fmt: skip
@click.option("--task", type=click.Choice(["speech", "vowels"]), default="speech")
@click.option("--steps", default=10_000, help="Training steps in all.")
@click.option("--batch", default=8, help="Mixtures per step.")
@click.option("--learning-rate", default=1e-3)
@click.option("--bank-steps", default=1500, help="Steps during which the bank learns too.")
@click.option("--seed", default=0)
@click.option("--device", default="cpu")
@click.option("--threads", default=2, help="CPU threads of the training itself.")
@click.option("--workers", default=1, help="Processes that mix ahead.")
@click.option("--check-every", default=500, help="Steps between scores on the dev split.")
@click.option("--save-every-s", default=180.0, help="Seconds between checkpoints.")
def main(
    folders: tuple[Path, ...], work: Path, task: str, steps: int, batch: int,
    learning_rate: float, bank_steps: int, seed: int, device: str, threads: int, workers: int,
    check_every: int, save_every_s: float,
) -> None:  # fmt: skip
    """Train a denoiser; call again to resume where it stopped, with the same result."""
    torch.set_num_threads(threads)
    seed_everything(seed)
    recordings = [r for folder in folders for r in find_recordings(folder)]
    recipe = VOWELS_ONLY if task == "vowels" else MixingRecipe()
    mixer = Mixer(*stores(recordings, "train", work), room_responses(200, seed), recipe, seed)
    dev = dev_batches(recordings, work, 16)
    run = Run(work / f"denoiser-{task}", steps, learning_rate, device, bank_steps)
    loader = numbered_batches(partial(mixer.batch, size=batch), run.step, steps, workers)
    saved = time.monotonic()
    progress = tqdm(loader, initial=run.step, total=steps, unit="step", mininterval=5)
    for noisy, clean in progress:
        progress.set_postfix(run.train_step(noisy.to(device), clean.to(device)), refresh=False)
        if run.step % check_every == 0 or run.step == steps:
            tqdm.write(run.check(dev))
        if time.monotonic() - saved > save_every_s or run.step == steps:
            run.save()
            saved = time.monotonic()


class Run:
    """A training in progress: model, optimiser, average and best so far."""

    def __init__(
        self, folder: Path, steps: int, learning_rate: float, device: str, bank_steps: int
    ) -> None:
        self.folder, self.steps = folder, steps
        self.learning_rate, self.bank_steps = learning_rate, bank_steps
        self.model = Denoiser(DenoiserConfig()).to(device)
        self.average = Average(self.model)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=0.01)
        self.step, self.best = 0, -np.inf
        if (folder / "last.pt").exists():
            self._resume()

    def _resume(self) -> None:
        saved = load_checkpoint(self.folder / "last.pt")
        self.model.load_state_dict(saved["model"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average.weights = saved["average"]
        self.step, self.best = saved["step"], saved["best"]
        click.echo(f"resuming {self.folder} at step {self.step}")

    def save(self) -> None:
        """Write everything needed to go on exactly."""
        content = {
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
            "average": self.average.weights, "step": self.step, "best": self.best,
        }  # fmt: skip
        save_atomically(content, self.folder / "last.pt")

    def train_step(self, noisy: torch.Tensor, clean: torch.Tensor) -> dict[str, str]:
        """One step; returns what the progress bar shows."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * warm_hold_decay(self.step, self.steps)
        self.model.bank.requires_grad_(self.step < self.bank_steps)
        estimate = self.model(noisy)
        loss = denoising_loss(estimate, clean, noisy)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.model, self.step)
        self.step += 1
        gain = error_db(noisy, clean, noisy) - error_db(estimate, clean, noisy)
        return {"loss": f"{loss.item():.3f}", "gain_db": f"{gain.mean().item():.2f}"}

    def check(self, dev: list[Any]) -> str:
        """Score the averaged weights on the dev mixtures; keep them if they are the best."""
        averaged = Denoiser(self.model.config)
        averaged.load_state_dict(self.average.weights)
        scores = evaluate(averaged, dev)
        kept = scores["improvement"] > self.best
        if kept:
            self.best = scores["improvement"]
            self.folder.mkdir(parents=True, exist_ok=True)
            save_model(averaged, self.folder / "best.pt", step=self.step, scores=scores)
        figures = " ".join(f"{name}:{value:.2f}" for name, value in scores.items())
        return f"step {self.step} {figures}{' (best)' if kept else ''}"


if __name__ == "__main__":
    main()
