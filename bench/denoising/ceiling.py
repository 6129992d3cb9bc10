"""What perfect knowledge would reach: ``python -m bench.denoising.ceiling --data DIR``.

The gain of every band is taken from the speech and the noise apart, as no network can, and played
by the same oscillators. What then still differs is due to what is listened to, to how gains become
weights, and to how much of the future is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.denoising.scores import estoi, sdr_db, wideband_pesq
from bench.report import table, write_section
from resonance.dsp.bank import hz_to_erb
from resonance.dsp.features import hop_edges
from resonance.dsp.identity import TRAINING_SAMPLERATE
from resonance.models.bank import listen, play, poles_from, rewind
from resonance.models.data import find_recordings
from resonance.models.denoiser import Denoiser, DenoiserConfig
from resonance.models.options import DATA, WORK
from resonance.models.train_denoiser import dev_batches

FLOOR_DB = -30.0
WINDOW = 320
#: Real and imaginary parts [oscillators].
Poles = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Ceiling:
    """One way to know and to play."""

    name: str
    hears: str  #: power or contrast of the oscillators, or a Fourier transform over 20 ms
    late_s: float = 0.0
    two_sided: bool = False
    phase_share: float = 0.5

    def clean(self, noisy: Tensor, speech: Tensor) -> Tensor:
        """The mixture [batch, samples] cleaned with perfect knowledge."""
        late_s = self.late_s if self.two_sided else 0.0
        config = DenoiserConfig(lookahead_s=late_s, parts=1, ramp_s=0.002)
        model = Denoiser(config).eval()
        late, samples = round(self.late_s * TRAINING_SAMPLERATE), noisy.shape[-1]
        hops = int(np.ceil((samples + late) / (config.hop_s * TRAINING_SAMPLERATE)))
        edges = torch.from_numpy(hop_edges(hops, config.hop_s, TRAINING_SAMPLERATE))
        noisy, speech = (F.pad(s, (0, int(edges[-1]) - samples)) for s in (noisy, speech))
        f0_hz, damping_ratio = model.bank()
        pole_re, pole_im = poles_from(f0_hz, damping_ratio, TRAINING_SAMPLERATE)
        poles = pole_re.float(), pole_im.float()
        powers = [self._power(model, s, edges, poles) for s in (speech, noisy - speech)]
        passed = (powers[0] / (powers[0] + powers[1] + 1e-12)).sqrt()
        attenuation = torch.log(2.0 / passed.clamp(10 ** (FLOOR_DB / 20), 1.0) - 1.0)
        if not self.two_sided:
            model.controller.equaliser.phase_share.fill_(self.phase_share)
            attenuation = torch.cat([attenuation, torch.zeros_like(attenuation)], -1)
        gains = F.pad(model.controller.equaliser(attenuation), (0, 0, 0, config.narrow))
        gains[..., 0] += 1.0
        weights = model.weights(gains, *poles)
        ramp = round(config.ramp_s * TRAINING_SAMPLERATE)
        delayed = F.pad(noisy, (late, 0))
        out = play(delayed, edges, ramp, *poles, *weights)
        if self.two_sided:
            out = out + rewind(delayed, edges, ramp, late, *poles, *weights)
        return out[:, late : late + samples]

    def _power(self, model: Denoiser, sound: Tensor, edges: Tensor, poles: Poles) -> Tensor:
        """Power of each hop in every band [batch, hops, bands]."""
        bands = model.config.broad
        if self.hears != "Fourier transform":
            power, contrast, *_ = listen(sound, edges, *poles, model.neighbours())
            if self.hears == "power":
                return power[..., :bands]
            return contrast[..., model.pairs[:bands]]
        frames = F.pad(sound, (WINDOW, 0)).unfold(-1, WINDOW, 1)[:, edges[1:]]
        spectrum: Tensor = torch.fft.rfft(frames * torch.hann_window(WINDOW), 512).abs().square()
        erb = hz_to_erb(np.fft.rfftfreq(512, 1 / TRAINING_SAMPLERATE))
        places = hz_to_erb(model.config.first_bank().f0_hz[:bands])
        near = np.abs(erb[:, None] - places[None, :]) / (1.5 * (places[1] - places[0]))
        weights = torch.tensor(np.clip(1 - near, 0, None), dtype=torch.float32)
        return torch.matmul(spectrum, weights)


CEILINGS = (
    Ceiling("oscillators as they are", "power"),
    Ceiling("differences of neighbours", "contrast"),
    Ceiling("no turn of phase", "Fourier transform", phase_share=0.0),
    Ceiling("half of the least phase", "Fourier transform"),
    Ceiling("all of the least phase", "Fourier transform", phase_share=1.0),
    Ceiling("8 ms late", "Fourier transform", late_s=0.008),
    Ceiling("20 ms late", "Fourier transform", late_s=0.02),
    Ceiling("20 ms late, and backwards in time", "Fourier transform", late_s=0.02, two_sided=True),
)


def scores(estimates: list[Tensor], batches: list[tuple[float, Tensor, Tensor]]) -> list[str]:
    """Mean SI-SDR, PESQ-WB and ESTOI."""
    rows = []
    for sounds, (_, _, clean) in zip(estimates, batches, strict=True):
        for sound, target in zip(sounds.numpy(), clean.numpy(), strict=True):
            rows.append((sdr_db(sound, target), wideband_pesq(sound, target), estoi(sound, target)))
    sdr, pesq, intelligibility = np.mean(rows, axis=0)
    return [f"{sdr:.2f}", f"{pesq:.2f}", f"{intelligibility:.3f}"]


@click.command(context_settings={"show_default": True})
@DATA
@WORK
@click.option("--count", default=6, help="Mixtures at each SNR.")
def main(data: Path, work: Path, count: int) -> None:
    """Measure and write the table into docs/benchmarks.md."""
    mixed = dev_batches(find_recordings(data), work, count)
    batches = [(snr, torch.from_numpy(n), torch.from_numpy(c)) for snr, n, c in mixed]
    rows = [("noisy", "", *scores([n for _, n, _ in batches], batches))]
    with torch.no_grad():
        for ceiling in CEILINGS:
            cleaned = [ceiling.clean(noisy, clean) for _, noisy, clean in batches]
            rows.append((ceiling.name, ceiling.hears, *scores(cleaned, batches)))
    header = ("played", "levels from", "SI-SDR / dB", "PESQ-WB", "ESTOI")
    write_section(
        "ceiling",
        "## What perfect knowledge would reach\n\nSpeech and noise of every band known apart "
        "up to the beginning of each hop of 8 ms, gains √(speech / both), played by the 64 broad "
        f"oscillators; {5 * count} dev mixtures of 4 s "
        "(`python -m bench.denoising.ceiling --data DIR`). A "
        f"network knows less, but may set weights more freely.\n\n{table(header, rows)}",
    )


if __name__ == "__main__":
    main()
