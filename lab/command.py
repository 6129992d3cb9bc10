"""``resonance lab``: ten experiments on published oscillator systems, each settled by a command."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

out = Console(highlight=False)


@dataclass(frozen=True)
class Experiment:
    """What can be known of an experiment before it is imported."""

    title: str
    module: str
    claimed: str
    full: str  #: what the published budget takes


EXPERIMENTS = {
    "denoiser": Experiment(
        "Oscillator-bank denoiser on vowels",
        "vowel_denoiser",
        "128 oscillators and four attention layers turn 7.8 dB into 10.8 dB",
        "2 GPU hours",
    ),
    "language": Experiment(
        "Causal oscillator language model",
        "oscillator_language",
        "oscillators instead of positions: 1.34 bits per byte, robust to 8 and 4 bits",
        "3 GPU hours",
    ),
    "phase": Experiment(
        "Phase as a second modality",
        "phase_modality",
        "a phase beside each token makes a transformer 60 % smarter",
        "60 GPU hours",
    ),
    "synchronisation": Experiment(
        "Attention by synchronisation",
        "synchronisation",
        "settled oscillators attend as well as softmax, or better",
        "12 GPU hours",
    ),
    "coherence": Experiment(
        "Wave coherence",
        "wave_coherence",
        "variance of spectral coherence tells synonyms from antonyms",
        "1 minute, no GPU",
    ),
    "harmonic": Experiment(
        "Harmonic embeddings",
        "harmonic_embeddings",
        "characters on a circle and its overtones embed better than learned vectors",
        "2 GPU hours",
    ),
    "kerr": Experiment(
        "Kerr oscillators as feed-forward part",
        "kerr_feedforward",
        "98.1 % of the quality at 44 % of the parameters",
        "3 GPU hours",
    ),
    "memory": Experiment(
        "Wave memory",
        "memory_claims",
        "1,568 bytes remember conversations, and noise improves perplexity by 8.8 %",
        "1 GPU hour",
    ),
    "server": Experiment(
        "Server",
        "server_claims",
        "any OpenAI client can talk to an oscillator model",
        "1 minute, no GPU",
    ),
    "frequencies": Experiment(
        "One equation, other frequencies",
        "other_frequencies",
        "the same bank hears bearings, hearts and radio",
        "1 minute, no GPU",
    ),
}


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Published oscillator systems, and what became of their claims."""
    if context.invoked_subcommand is None:
        listing()


def listing() -> None:
    """One line for each experiment."""
    from resonance.lab.report import load

    found = load()
    rows = Table("experiment", "claimed", "found", "quick", "full", box=None, pad_edge=False)
    for name, experiment in EXPERIMENTS.items():
        entry = found.get(name, {})
        time = f"{entry['cpu_minutes']:g} min" if entry else ""
        rows.add_row(
            name, experiment.claimed, entry.get("found", "not run yet"), time, experiment.full
        )
    out.print(rows)


def _add(name: str, experiment: Experiment) -> None:
    @main.command(name, help=f"{experiment.title}: {experiment.claimed}?")
    @click.option(
        "--text",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Text to learn language from; its last tenth is held out.",
    )
    @click.option(
        "--data",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with recordings and a pronouncing dictionary.",
    )
    @click.option("--seeds", type=click.IntRange(2), default=None, help="How many; at least 2.")
    @click.option(
        "--budget",
        type=click.Choice(["quick", "full"]),
        default="quick",
        show_default=True,
        help=f"quick: minutes on two cores; full, as published: {experiment.full}.",
    )
    @click.option(
        "--device", default="cpu", show_default=True, help="Torch device: cpu, cuda, mps."
    )
    @click.option(
        "--work",
        type=click.Path(path_type=Path),
        default=Path("runs/lab"),
        show_default=True,
        help="Folder for results so far: an interrupted run goes on.",
    )
    @click.option("--write", is_flag=True, help="Put table and figure into docs/science.md.")
    def run(
        text: Path | None,
        data: Path | None,
        seeds: int | None,
        budget: Any,
        device: str,
        work: Path,
        write: bool,
    ) -> None:
        _run(name, experiment, text, data, seeds, budget, device, work, write)


def _run(
    name: str,
    experiment: Experiment,
    text: Path | None,
    data: Path | None,
    seeds: int | None,
    budget: Any,
    device: str,
    work: Path,
    write: bool,
) -> None:
    from resonance.lab import report
    from resonance.lab.experiment import Run

    run = Run(name, budget, seeds or 0, device, text, data, work)
    found = importlib.import_module(f"resonance.lab.{experiment.module}").run(run)
    shown = Table("claim", "published", "ours", "verdict", box=None, pad_edge=False)
    for row in found.rows:
        shown.add_row(row.claim, row.published, row.ours, row.verdict)
    out.print(shown)
    figure = run.folder / f"{name}.png"
    run.folder.mkdir(parents=True, exist_ok=True)
    report.save_figure(found.figure, figure)
    out.print(f"{found.found} Figure: {figure}", markup=False)
    if write:
        report.write(name, found, _command(name, run), run.cpu_minutes, EXPERIMENTS)
        out.print(f"written into {report.PAGE}", markup=False)


def _command(name: str, run: Any) -> str:
    """What to type to get the same."""
    words = ["resonance lab", name]
    words += ["--text FILE"] if run.reads_text else []
    words += ["--data DIR"] if run.data else []
    words += [] if run.quick else ["--budget full"]
    return " ".join(words)


for _name, _experiment in EXPERIMENTS.items():
    _add(_name, _experiment)


@main.command()
@click.argument("checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: everybody.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--token", envvar="RESONANCE_LAB_TOKEN", help="Clients must send it as bearer.")
@click.option(
    "--memory",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Wave memory of a model of `lab memory`: read before each answer, written after it.",
)
def serve(checkpoint: Path, host: str, port: int, token: str | None, memory: Path | None) -> None:
    """Serve a model of `resonance lab language` or `memory` to OpenAI clients."""
    from resonance.lab import server

    server.serve(checkpoint, host, port, token, memory)


if __name__ == "__main__":
    main()
