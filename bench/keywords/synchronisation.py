"""How robust synchronisation is: ``python -m bench.keywords.synchronisation --data DIR``.

The trained spotter's oscillators are given what a physical machine would give them: couplings
that are off, positions that jitter, frequencies of their own, too little time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.report import table, write_section
from resonance.models.attention import OscillatorAttention, trajectory
from resonance.models.data import find_recordings
from resonance.models.keyword_data import Corpus, Examples
from resonance.models.keywords import KeywordSpotter, load
from resonance.models.options import DATA, WORK
from resonance.models.train_keywords import scores

#: An oscillator this near where it would come to rest has settled, rad.
NEAR = 0.1
TIMES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
#: Integration of oscillators with frequencies of their own: time and steps.
DRIFT_TIME, DRIFT_STEPS = 10.0, 400


def layers(model: KeywordSpotter) -> Iterator[OscillatorAttention]:
    """The model's oscillator attentions."""
    for module in model.modules():
        if isinstance(module, OscillatorAttention):
            yield module


@contextmanager
def disturbed(
    model: KeywordSpotter, what: str, change: Callable[[Tensor, Tensor], Tensor]
) -> Iterator[None]:
    """``change(input, output)`` replaces what method ``what`` of every attention returns.

    Parameters
    ----------
    model
        Whose attention is disturbed.
    what
        Name of the method.
    change
        Gives the new output from input and output.

    Yields
    ------
    None
        While it is disturbed.
    """
    attentions = list(layers(model))
    for attention in attentions:
        usual = getattr(attention, what)
        setattr(attention, what, lambda x, usual=usual: change(x, usual(x)))
    try:
        yield
    finally:
        for attention in attentions:
            delattr(attention, what)


def coupling_noise(spread: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Couplings times log-normal factors of median 1."""
    return lambda _, coupling: coupling * torch.exp(spread * torch.randn_like(coupling))


def state_noise(spread: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Gaussian noise on the settled positions, put back onto the sphere."""
    return lambda _, z: F.normalize(z + spread * torch.randn_like(z), dim=-1)


def random_starts(like: Tensor) -> Tensor:
    """Uniform on the sphere [..., d_osc]."""
    return F.normalize(torch.randn_like(like), dim=-1)


def settling(time: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Positions after ``time`` from random starts."""
    return lambda drive, z: trajectory(random_starts(z), drive, time)


def disorder(spread: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Every oscillator turns at a frequency of its own, Gaussian, while it is pulled (d_osc 2)."""

    def change(drive: Tensor, z: Tensor) -> Tensor:
        own = spread * torch.randn(z.shape[:-1])
        pull, goal = drive.norm(dim=-1), torch.atan2(drive[..., 1], drive[..., 0])
        start = random_starts(z)
        angle = torch.atan2(start[..., 1], start[..., 0])
        step = DRIFT_TIME / DRIFT_STEPS
        for _ in range(DRIFT_STEPS):
            half = angle + step / 2 * (own - pull * torch.sin(angle - goal))
            angle = angle + step * (own - pull * torch.sin(half - goal))
        return torch.stack([torch.cos(angle), torch.sin(angle)], -1)

    return change


def settled_share(model: KeywordSpotter, frames: Tensor, time: float) -> float:
    """Share of all oscillators within NEAR of their rest after ``time`` from random starts.

    Parameters
    ----------
    model
        Whose oscillators they are.
    frames
        Of the clips [clips, frames, bands].
    time
        In units of the model's own.

    Returns
    -------
    float
        Percent.
    """
    near: list[Tensor] = []

    def look(drive: Tensor, z: Tensor) -> Tensor:
        now = trajectory(random_starts(z), drive, time)
        near.append((now * F.normalize(drive, dim=-1)).sum(-1) > torch.cos(torch.tensor(NEAR)))
        return z

    with disturbed(model, "settle", look), torch.no_grad():
        model(frames)
    return 100 * float(torch.cat([n.flatten() for n in near]).float().mean())


def accuracy(model: KeywordSpotter, examples: Examples) -> str:
    """On the ten words, percent."""
    return f"{scores(model, examples)['ten']:.2f}"


def physics(model: KeywordSpotter, dev: Examples) -> list[tuple[str, str]]:
    """Ten-word accuracy under each disturbance."""
    rows = [("none", accuracy(model, dev))]
    cases: list[tuple[str, str, Callable[[Tensor, Tensor], Tensor]]] = []
    for s in (0.2, 0.5, 1.0):
        cases.append((f"coupling noise, log-normal {s:g}", "couple", coupling_noise(s)))
    for s in (0.2, 0.5, 1.0):
        cases.append((f"state noise {s:g}", "settle", state_noise(s)))
    if model.config.d_osc == 2:
        for s in (0.5, 2.0):
            cases.append((f"own frequencies, spread {s:g}", "settle", disorder(s)))
    for time in TIMES:
        cases.append((f"time {time:g} to settle from random starts", "settle", settling(time)))
    for name, what, change in cases:
        with disturbed(model, what, change):
            rows.append((name, accuracy(model, dev)))
    return rows


@click.command()
@DATA
@click.option(
    "--checkpoint",
    "checkpoints",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="The shipped spotter's first.",
)
@WORK
def main(data: Path, checkpoints: tuple[Path, ...], work: Path) -> None:
    """Disturb the first spotter; show how fast the oscillators of all of them settle."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    models = [load(path)[0] for path in checkpoints]
    dev = Corpus(find_recordings(data), work).dev()
    disturbances = table(("disturbance", "ten words / %"), physics(models[0], dev))
    some = dev.frames[:200].float()
    shares = [
        (
            str(model.config.d_osc),
            f"{scores(model.eval(), dev)['ten']:.1f}",
            *(f"{settled_share(model.eval(), some, time):.1f}" for time in TIMES),
        )
        for model in models
    ]
    header = ("d_osc", "ten words / %", *(f"T = {time:g}" for time in TIMES))
    write_section(
        "synchronisation",
        "## Robustness of synchronisation\n\nThe shipped spotter on the dev clips while its "
        "oscillators are disturbed "
        "(`python -m bench.keywords.synchronisation --data DIR --checkpoint "
        f"FILE …`):\n\n{disturbances}\n\nShare of the oscillators that are within {NEAR} rad of "
        "where they come to rest, after a time T from random starts, percent, by the dimension of "
        f"the space they live in:\n\n{table(header, shares)}",
    )


if __name__ == "__main__":
    main()
