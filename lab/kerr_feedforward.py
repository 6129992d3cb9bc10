"""Kerr oscillators as feed-forward part (Wave Coherence, kerr-engine): integrators, size, worth.

The published engine integrates the equation numerically; ``models/kerr.py`` solves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from resonance.lab import clips, text
from resonance.lab.experiment import Run
from resonance.lab.harmonic_embeddings import harmonic_table
from resonance.lab.report import Report, Row, Verdict, at_most, judge, paired, spread, tally
from resonance.lab.synchronisation import spotter
from resonance.lab.text import Schedule
from resonance.models.kerr import KerrFeedForward, KerrOscillators
from resonance.models.keywords import KeywordSpotter, sinusoids
from resonance.models.transformer import (
    CausalAttention,
    FeedForward,
    TokenEmbedding,
    Transformer,
    trainable,
)

SOURCE = "Wave Coherence"
#: What the engines start from: γ, α, β.
DAMPING, COUPLING = 0.1, 0.1
#: Share of the bands that the curriculum shows in each third of the training.
SHOWN = (8 / 64, 24 / 64, 1.0)
Waves = NDArray[np.complex128]


@dataclass(frozen=True)
class Sizes:
    """Of the character model and of the spotter's training."""

    width: int
    layers: int
    maestro: int
    schedule: Schedule
    epochs: int


QUICK = Sizes(48, 3, 6, Schedule(batch=16, block=32, steps=200, rate=3e-3), 4)
PUBLISHED = Sizes(128, 4, 16, Schedule(batch=64, block=256, steps=2000, rate=3e-4, windows=512), 30)

# The equation and its integrators ----------------------------------------------------------------


def speed(z: Waves) -> Waves:
    """Ż at the engine's first parameters [inputs, bands]."""
    power = np.abs(z) ** 2
    return (-DAMPING + 1j * (_frequency(z) + COUPLING * (power + _beside(power)))) * z


def runge_kutta(z: Waves, steps: int) -> Waves:
    """After one unit of time by the classical fourth-order method."""
    h = 1 / steps
    for _ in range(steps):
        a = speed(z)
        b = speed(z + h / 2 * a)
        c = speed(z + h / 2 * b)
        z = z + h / 6 * (a + 2 * b + 2 * c + speed(z + h * c))
    return z


def perturbative(z: Waves) -> Waves:
    """wave-engine's form: linear, then turned to first order."""
    linear = z * np.exp(-DAMPING + 1j * _frequency(z))
    power = np.abs(linear) ** 2
    return linear * (1 + 1j * COUPLING * (power + _beside(power)))


def exact(z: Waves) -> Waves:
    """The closed form, by the module that models use."""
    oscillators = KerrOscillators(z.shape[-1]).double()
    x = torch.from_numpy(np.stack([z.real, z.imag], -1).reshape(len(z), -1))
    y = oscillators(x).detach().numpy()
    return np.asarray(y[:, 0::2] + 1j * y[:, 1::2])


def _frequency(z: Waves) -> NDArray[np.float64]:
    return np.arange(1, z.shape[-1] + 1) / z.shape[-1]


def _beside(power: NDArray[np.float64]) -> NDArray[np.float64]:
    padded, bands = np.pad(power, ((0, 0), (2, 2))), power.shape[1]
    return sum(padded[:, i : i + bands] for i in (0, 1, 3, 4))  # type: ignore[return-value]


METHODS: dict[str, Callable[[Waves], Waves]] = {
    "Runge-Kutta, 4 steps": lambda z: runge_kutta(z, 4),
    "Runge-Kutta, 8 steps": lambda z: runge_kutta(z, 8),
    "Runge-Kutta, 16 steps": lambda z: runge_kutta(z, 16),
    "Runge-Kutta, 64 steps": lambda z: runge_kutta(z, 64),
    "perturbative": perturbative,
}
AMPLITUDES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4)


def errors() -> dict[str, list[float]]:
    """Mean squared error against the closed form, by the inputs' deviation, of each method."""
    rng = np.random.default_rng(0)
    shape = (500, 64)
    noise: Waves = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(complex)
    with np.errstate(all="ignore"):
        return {
            name: [
                float(np.mean(np.abs(method(a * noise) - exact(a * noise)) ** 2) / 2)
                for a in AMPLITUDES
            ]
            for name, method in METHODS.items()
        }


# Models -----------------------------------------------------------------------------------------


class BandLinear(nn.Module):
    """First layer's feed-forward part: each pair of features by a matrix of its own, then all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.matrices = nn.Parameter(torch.eye(2).repeat(width // 2, 1, 1))
        self.bias = nn.Parameter(torch.zeros(width // 2, 2))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → the same shape."""
        pairs = x.unflatten(-1, (-1, 2))
        turned = torch.einsum("...bi,boi->...bo", pairs, self.matrices) + self.bias
        return self.out(turned.flatten(-2))  # type: ignore[no-any-return]


def feed(kind: str, sizes: Sizes) -> Callable[[int], nn.Module]:
    """Makes a layer's feed-forward part from its number."""
    width = sizes.width
    if kind.startswith("MLP of equal size"):
        return lambda _: FeedForward(width, equal_hidden(sizes))
    if kind.startswith("MLP"):
        return lambda _: FeedForward(width, 4 * width)
    maestro = sizes.maestro if "maestro" in kind else 0
    coupling: Any = "full" if "full" in kind else "neighbours"
    return lambda layer: (
        BandLinear(width) if layer == 0 else KerrFeedForward(width, maestro, coupling)
    )


def equal_hidden(sizes: Sizes) -> int:
    """Hidden width of an MLP with as many numbers as Kerr with maestro, all layers together."""
    make = feed("Kerr, maestro", sizes)
    wanted = sum(trainable(make(layer)) for layer in range(sizes.layers)) / sizes.layers
    return round((wanted - sizes.width) / (2 * sizes.width + 1))


def character_model(kind: str, vocabulary: int, sizes: Sizes) -> Transformer:
    """As published: frozen harmonic embeddings, ordinary attention, a head of its own.

    Parameters
    ----------
    kind
        Of the feed-forward part.
    vocabulary
        Number of characters.
    sizes
        Of the model.

    Returns
    -------
    Transformer
        At its first weights.
    """
    width, block = sizes.width, sizes.schedule.block
    position = sinusoids(block, width) / (width / 2) ** 0.5
    return Transformer(
        TokenEmbedding(
            harmonic_table(vocabulary, width), position, learned=False, learned_position=False
        ),
        vocabulary,
        sizes.layers,
        attention=lambda _: CausalAttention(width, 4),
        feed=feed(kind, sizes),
    )


KINDS = (
    "MLP",
    "MLP of equal size",
    "Kerr",
    "Kerr, maestro",
    "Kerr, full coupling",
    "Kerr, maestro, curriculum",
)


def character_loss(run: Run, sizes: Sizes, content: text.Text, kind: str, seed: int) -> float:
    """Held-out nats per character.

    Parameters
    ----------
    run
        Keeps checkpoints.
    sizes
        Of model and training.
    content
        To learn from and to be tested on.
    kind
        Of the feed-forward part.
    seed
        Of weights and batches.

    Returns
    -------
    float
        After training.
    """
    torch.manual_seed(seed)
    model = character_model(kind, content.vocabulary, sizes)
    if "curriculum" not in kind:
        return text.learn(run, f"{kind} {seed}", seed, model, content, sizes.schedule)
    begun = 0

    def hide(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        nonlocal begun
        if not model.training:
            return output
        third = min(2, 3 * begun // sizes.schedule.steps)
        begun += 1
        shown = torch.arange(sizes.width, device=output.device) < SHOWN[third] * sizes.width
        return output * shown

    begun = run.done(f"{kind} {seed}")
    model.embedding.register_forward_hook(hide)
    return text.learn(run, f"{kind} {seed}", seed, model, content, sizes.schedule)


# The spotter ------------------------------------------------------------------------------------


def kerr_spotter() -> nn.Module:
    """The published keyword spotter with Kerr oscillators for its feed-forward part."""
    model = spotter({})()
    assert isinstance(model, KeywordSpotter)
    width = model.config.width
    for layer in model.layers:
        layer.feed = KerrFeedForward(width, maestro=8)
    return model


def spotting(run: Run, sizes: Sizes) -> list[Row]:
    """Whether it earns its place there."""
    if run.data is None:
        return []
    material = clips.load(run.data, run.folder.parent)
    right = {
        name: [
            clips.accuracy(
                run, f"keywords {name} {s}", clips.fold(*material, s), make, s, sizes.epochs
            )
            for s in run.seeds(5)
        ]
        for name, make in (("MLP", spotter({})), ("Kerr", kerr_spotter))
    }
    loss = paired(right["MLP"], right["Kerr"])
    part = [trainable(m.layers[0].feed) for m in (kerr_spotter(), spotter({})())]  # type: ignore[index,union-attr]
    return [
        Row(
            f"In the keyword spotter Kerr oscillators with maestro ({part[0]:,} numbers) replace "
            f"the MLP ({part[1]:,}) at a cost below 0.5 percentage points, {sizes.epochs} epochs",
            "ours",
            "not measured",
            f"{loss:.2f} lost ({spread(right['Kerr'], '.2f')} against "
            f"{spread(right['MLP'], '.2f')})",
            at_most(loss, 0.5),
        )
    ]


# Report -----------------------------------------------------------------------------------------


def run(run: Run) -> Report:
    """Integrators, counts, the character model and the spotter."""
    sizes = QUICK if run.quick else PUBLISHED
    content = text.characters(run.text)
    losses = {
        kind: [
            run.measure(f"{kind} {s}", partial(character_loss, run, sizes, content, kind, s))
            for s in run.seeds(3)
        ]
        for kind in KINDS
    }
    wrong = errors()
    rows = [*_solved(wrong), counts(), *_compared(losses), *spotting(run, sizes)]
    best = min(KINDS, key=lambda kind: sum(losses[kind]))
    found = f"{tally(rows)}; the equation has an exact solution; lowest loss: {best}."
    return Report(found, rows, _notes(sizes), CAPTION, _figure(wrong, losses))


def counts() -> Row:
    """Trained numbers at the published size, 65 characters."""
    have = [
        trainable(character_model(kind, 65, PUBLISHED)) for kind in ("MLP", "Kerr", "Kerr, maestro")
    ]
    shown = " / ".join(f"{n:,}" for n in have)
    published = "801,664 / 341,638 / 354,358"
    return Row(
        "Trained numbers: MLP, Kerr, Kerr with maestro",
        SOURCE,
        published,
        shown,
        Verdict.HOLDS if shown == published else Verdict.FAILS,
    )


def _solved(wrong: dict[str, list[float]]) -> list[Row]:
    at = AMPLITUDES.index
    fine = max(wrong["Runge-Kutta, 64 steps"][: at(1.0) + 1])
    perturbed = wrong["perturbative"]
    return [
        Row(
            "The equation must be integrated in steps",
            SOURCE,
            "Runge-Kutta, 8 or 16 steps",
            f"closed form; 64 steps agree with it to a mean square of {fine:.0e}",
            Verdict.FAILS if fine < 1e-10 else Verdict.OPEN,
        ),
        Row(
            "The perturbative form is as good (mean squared error)",
            "wave-engine",
            "5e-6, amplitude not stated",
            f"{perturbed[at(0.2)]:.0e} at inputs of deviation 0.2, {perturbed[at(1.0)]:.1g} at 1, "
            "what a normalised layer gives",
            Verdict.FAILS,
        ),
    ]


def _compared(losses: dict[str, list[float]]) -> list[Row]:
    def gap(a: str, b: str) -> list[float]:
        """Loss of a above b, percent."""
        return [100 * (x / y - 1) for x, y in zip(losses[a], losses[b], strict=True)]

    zero = [0.0] * len(losses["MLP"])
    best = paired(gap("Kerr, maestro, curriculum", "MLP"), zero)
    equal = paired(gap("MLP of equal size", "Kerr, maestro"), zero)
    maestro = paired(gap("Kerr", "Kerr, maestro"), zero)
    full = paired(gap("Kerr", "Kerr, full coupling"), zero)
    course = paired(gap("Kerr, maestro", "Kerr, maestro, curriculum"), zero)
    return [
        Row(
            "Kerr with maestro and curriculum reaches 98.1 % of the MLP (loss above its, %)",
            SOURCE,
            "1.91 (1 seed)",
            f"{best:.2f}",
            at_most(best, 1.91),
        ),
        Row(
            "It is the oscillators: an MLP with as few numbers does worse (loss above Kerr's, %)",
            "control",
            "not measured",
            f"{equal:.2f}",
            judge(equal, 1.0),
        ),
        Row(
            "The maestro helps (loss above it without, %)",
            SOURCE,
            "1.7 (1 seed)",
            f"{maestro:.2f}",
            judge(maestro, 1.7),
        ),
        Row(
            "The curriculum helps (loss above it without, %)",
            SOURCE,
            "1.2 (1 seed)",
            f"{course:.2f}",
            judge(course, 1.2),
        ),
        Row(
            "Coupling all bands instead of neighbours helps (loss above it with neighbours, %)",
            "ours",
            "not measured",
            f"{full:.2f}",
            judge(full, 1.0),
        ),
    ]


CAPTION = (
    "Left: error of the published integrators against the exact solution, by the inputs' "
    "amplitude. Right: held-out loss of every seed for each kind of feed-forward part."
)


def _figure(wrong: dict[str, list[float]], losses: dict[str, list[float]]) -> Figure:
    figure = Figure((11, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, values in wrong.items():
        left.loglog(AMPLITUDES, values, "o-", ms=3, label=name)
    left.axvline(1.0, color="0.8", lw=1)
    left.set(xlabel="deviation of the inputs (1: after a norm)", ylabel="mean squared error")
    left.legend(frameon=False, fontsize=8)
    for i, (_, values) in enumerate(losses.items()):
        right.plot(values, [i] * len(values), "o", alpha=0.7, color="C0" if i < 2 else "C1")
        right.plot(np.mean(values), i, "|", ms=16, color="0.2")
    right.set_yticks(range(len(losses)), list(losses))
    right.invert_yaxis()
    right.set_xlabel("held-out nats per character")
    return figure


def _notes(sizes: Sizes) -> str:
    schedule = sizes.schedule
    return f"""\
The phase never changes an amplitude, so `d|Z|²/dt = -2γ|Z|²` and the equation is solved by
`Z(1) = Z(0) e^(-γ) exp(i[ω + Σ_j K_j ℓ_j |Z_j(0)|²])`, `ℓ = (1 - e^(-2γ))/2γ`: exact for any
coupling, stable for any input, with an exact inverse (`models/kerr.py`). Characters;
{sizes.layers} layers, {sizes.width} features, {schedule.steps} steps of {schedule.batch} ×
{schedule.block} (published: 4, 128, 2,000 of 64 × 256, one seed). *MLP of equal size* has
{equal_hidden(sizes)} hidden features, so as many numbers as Kerr with maestro. The curriculum
shows 1/8, then 3/8, then all of the bands. The spotter is that of *Attention by synchronisation*
and trained as there."""
