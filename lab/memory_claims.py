"""What is claimed of wave memories (kerr-engine), measured on a character model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from resonance.lab import kerr_feedforward, text
from resonance.lab.experiment import Run
from resonance.lab.report import Report, Row, Verdict, interval, judge, tally
from resonance.lab.text import Schedule, Text
from resonance.lab.wave_memory import (
    ALPHA,
    HEADER,
    Config,
    KerrCharacters,
    WaveMemory,
    attached,
    empty_memory,
    generate,
)
from resonance.models.kerr import KerrOscillators
from resonance.models.training import load_checkpoint, save_model
from resonance.models.transformer import Transformer

SOURCE = "kerr-engine"


@dataclass(frozen=True)
class Sizes:
    """Of the model, its training, and what is measured with it."""

    model: kerr_feedforward.Sizes
    conversations: int
    length: int  #: characters drawn in a conversation
    draws: int
    windows: int


QUICK = Sizes(
    kerr_feedforward.Sizes(48, 3, 6, Schedule(batch=16, block=32, steps=200, rate=3e-3), 0),
    conversations=20,
    length=60,
    draws=20,
    windows=32,
)
FULL = Sizes(kerr_feedforward.PUBLISHED, conversations=20, length=200, draws=50, windows=512)
STRENGTHS = (0.001, 0.01, 0.05, 0.2)


def run(run: Run) -> Report:
    """File, reset, census, growth, topics, noise."""
    sizes = QUICK if run.quick else FULL
    content = text.characters(run.text)
    model = _model(run, sizes, content)
    noise = {
        str(a): run.measure(f"noise {a}", partial(_noise, model, content, sizes, a))
        for a in STRENGTHS
    }
    drawn = run.measure("noise on drawn text", lambda: _noise_drawn(model, content, sizes))
    growth = run.measure("growth", lambda: _growth(model, content, sizes))
    topics = run.measure("topics", lambda: _topics(model, content, sizes))
    rows = [_file(), _reset(model, content), _caught(), _grown(growth), _apart(topics)]
    rows += [_improves(noise), _drawn(drawn)]
    effect = interval(noise[str(ALPHA)])
    found = f"{tally(rows)}; noise changes held-out perplexity by {effect:+.2f} % (published −8.8)."
    return Report(found, rows, _notes(run, sizes), CAPTION, _figure(noise, drawn, growth))


def _model(run: Run, sizes: Sizes, content: Text) -> Transformer:
    torch.manual_seed(0)
    size, block = sizes.model, sizes.model.schedule.block
    made = KerrCharacters(Config(content.vocabulary, size.width, size.layers, size.maestro, block))
    path = run.folder / "kerr.pt"
    if path.exists():
        made.load_state_dict(load_checkpoint(path)["weights"])
        return made.model.eval()

    def learn() -> float:
        return text.learn(run, "model", 0, made.model, content, size.schedule)

    run.measure("model", learn)
    save_model(made, path, tokenizer=content.tokenizer.to_str())
    return made.model.eval()


def _random(model: nn.Module, seed: int, alpha: float) -> WaveMemory:
    layers = [m for m in model.modules() if isinstance(m, KerrOscillators)]
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((2, len(layers), len(layers[0].frequency)))
    return WaveMemory((parts[0] + 1j * parts[1]).astype(np.complex64), alpha)


def _noise(model: Transformer, content: Text, sizes: Sizes, alpha: float) -> list[float]:
    """Change of held-out perplexity by random memories, percent."""
    block, windows = sizes.model.schedule.block, sizes.windows
    usual = text.held_out_loss(model, content.held, block, windows)
    changes = []
    for seed in range(sizes.draws):
        with attached(model, _random(model, seed, alpha)):
            nats = text.held_out_loss(model, content.held, block, windows)
        changes.append(100 * (float(np.exp(nats - usual)) - 1))
    model.eval()
    return changes


def _noise_drawn(model: Transformer, content: Text, sizes: Sizes) -> list[float]:
    """The same as published: perplexity of 100 characters that the model itself draws."""
    changes = []
    for seed in range(sizes.draws):
        values = []
        for memory in (None, _random(model, seed, ALPHA)):
            with attached(model, memory):
                start = content.held[:16]
                said = torch.cat([start, torch.tensor(list(generate(model, start, 100, seed)))])
                values.append(_surprise(model, said))
        changes.append(100 * (float(np.exp(values[1] - values[0])) - 1))
    return changes


@torch.no_grad()
def _surprise(model: Transformer, tokens: Tensor) -> float:
    """Nats per token of the model's own text."""
    block = model.embedding.position.shape[0]
    windows = tokens[: (len(tokens) - 1) // block * block + 1].unfold(0, block + 1, block)
    return float(text.next_token_loss(model, windows[:, :-1], windows[:, 1:]))


def _talk(model: Transformer, memory: WaveMemory, start: Tensor, length: int, seed: int) -> None:
    with attached(model, memory) as seen:
        for _ in generate(model, start, length, seed):
            pass
    memory.learn(seen.mean())


def _growth(model: Transformer, content: Text, sizes: Sizes) -> list[float]:
    """Size of the memory after each conversation."""
    memory, grown = empty_memory(model), []
    for i in range(sizes.conversations):
        _talk(model, memory, content.held[100 * i : 100 * i + 16], sizes.length, i)
        grown.append(float(np.linalg.norm(memory.state)))
    return grown


def _topics(model: Transformer, content: Text, sizes: Sizes) -> float:
    """Correlation of what five conversations each about love and about war leave."""
    left = []
    for topic in ("My love, sweet heart, kiss ", "The war, the bloody sword, "):
        ids = torch.tensor(content.tokenizer.encode(topic).ids)
        memory = empty_memory(model)
        for seed in range(5):
            _talk(model, memory, ids, sizes.length, seed)
        left.append(np.concatenate([memory.state.real.ravel(), memory.state.imag.ravel()]))
    return float(np.corrcoef(np.stack(left).astype(float))[0, 1])


def _file() -> Row:
    sizes = [HEADER.size + 8 * 3 * bands for bands in (64, 384)]
    return Row(
        "Size of the memory of 3 layers × 64 and × 384 bands, bytes",
        SOURCE,
        "1,568 and 9,248",
        f"{sizes[0]:,} and {sizes[1]:,}, with a checksum",
        Verdict.HOLDS if sizes == [1568, 9248] else Verdict.FAILS,
    )


@torch.no_grad()
def _reset(model: Transformer, content: Text) -> Row:
    tokens = content.held[None, :32]
    plain = model(tokens)
    with attached(model, _random(model, 0, ALPHA)):
        other = model(tokens)
    with attached(model, empty_memory(model)):
        empty = model(tokens)
    same = torch.equal(plain, model(tokens)) and torch.equal(plain, empty)
    changed = not torch.equal(plain, other)
    return Row(
        "Without the file the model is what it was, bit for bit",
        SOURCE,
        "identical",
        "identical" if same and changed else "different",
        Verdict.HOLDS if same and changed else Verdict.FAILS,
    )


def _caught() -> Row:
    rng, caught, false = np.random.default_rng(0), 0, 0
    for _ in range(200):
        parts = rng.standard_normal((2, 3, 64))
        memory = WaveMemory((parts[0] + 1j * parts[1]).astype(np.complex64))
        false += len(memory.census())
        memory.state[1, 32] = 7.0
        caught += (1, 32) in memory.census()
    return Row(
        "A census at three deviations catches a band with 25 times the energy",
        SOURCE,
        "caught",
        f"{caught} of 200 caught, but {false / 200:.1f} of 192 innocent bands suspected each time",
        Verdict.HOLDS if caught == 200 else Verdict.FAILS,
    )


def _grown(sizes: list[float]) -> Row:
    first, last = (100 * (sizes[i] / sizes[i - 1] - 1) for i in (1, -1))
    return Row(
        "Growth settles over 20 conversations (growth of the second and of the last, %)",
        SOURCE,
        "265 → 9.5",
        f"{first:.0f} → {last:.1f}; adding equal shares gives 99 → 4.8",
        Verdict.HOLDS if last < first / 3 else Verdict.FAILS,
    )


def _apart(correlation: float) -> Row:
    return Row(
        "Conversations about love and war leave other memories (correlation)",
        SOURCE,
        "0.9873: they do not, their own finding",
        f"{correlation:.4f}",
        Verdict.FAILS if correlation > 0.9 else Verdict.OPEN,
    )


def _improves(noise: dict[str, list[float]]) -> Row:
    effect = interval(noise[str(ALPHA)])
    others = ", ".join(f"{interval(v).mean:+.2f} (α {a})" for a, v in noise.items())
    return Row(
        "Noise in the memory, α = 0.05, improves perplexity (held-out text, change in %)",
        SOURCE,
        "−8.8 (one draw, 100 drawn characters)",
        f"{effect:.2f}; {others}",
        judge(effect, -8.8),
    )


def _drawn(changes: list[float]) -> Row:
    effect = interval(changes)
    return Row(
        "The same measured as published, on what the model itself draws",
        SOURCE,
        "−8.8 (one draw)",
        f"{effect:.1f}, deviation of one draw {np.std(changes, ddof=1):.1f}",
        judge(effect, -8.8),
    )


CAPTION = (
    "Left: change of perplexity by random memories, on held-out text by strength α, and on the "
    "model's own text, where single draws scatter. Right: size of the memory over conversations."
)


def _figure(noise: dict[str, list[float]], drawn: list[float], growth: list[float]) -> Figure:
    figure = Figure((11, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = [*((f"α = {a}", v) for a, v in noise.items()), ("own text,\nα = 0.05", drawn)]
    for i, (_, values) in enumerate(rows):
        left.plot([i] * len(values), values, "o", alpha=0.5)
    left.axhline(-8.8, color="0.6", ls="--", label="published")
    left.set_xticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    left.set_ylabel("change of perplexity / %")
    left.legend(frameon=False)
    right.plot(range(1, len(growth) + 1), growth, "o-")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="conversations", ylabel="‖M‖")
    return figure


def _notes(run: Run, sizes: Sizes) -> str:
    model = sizes.model
    return f"""\
A Kerr character model with maestro, {model.layers} layers of which {model.layers - 1} have
oscillators, {model.width // 2} bands, {model.schedule.steps} steps (published: 4, 3, 64, 2,000).
The published format has no checksum; version 2 puts a CRC-32 in place of `decay`, which nothing
used, and is as long. Noise: {sizes.draws} random memories on the same {sizes.windows} windows of
held-out text. Writing happens while text is drawn, character by character, as well as in batches;
the same text leaves the same memory. `resonance lab serve {run.folder.name}/kerr.pt --memory FILE`
lets the model talk with the file: read before each answer, written after it."""
