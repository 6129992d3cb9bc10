"""The sequence form made from the step form: many hops per call, the same samples to the last bit.

``python -m resonance.export.sequence --models DIR`` does it for the files in a folder.

What a step computes from one hop's features alone is computed for all hops at once: they take the
place of the batch. What goes from hop to hop, the slow levels and the layers' oscillators, is
written out hop after hop, in the order of the step's own sums. Nothing is rounded differently, so
8-bit weights do no harm: a doubling scan would differ in the last bit, and rounding the inputs of
the next product to 8 bits would make that a hundred thousand times larger.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from resonance.export.onnx_file import ParityError, check_close, open_session, write_card

#: Hops per call.
SEQUENCE_HOPS = 64
#: Hops of random features that both forms must answer alike.
_PROOF_HOPS = 8 * SEQUENCE_HOPS

Sound = NDArray[np.float32]


def make_sequence(step_path: Path, sequence_path: Path, hops: int = SEQUENCE_HOPS) -> None:
    """Write the sequence form of the step form at ``step_path``, metadata included."""
    model = onnx.load(str(step_path))
    _Unroller(model, hops).rewrite()
    onnx.checker.check_model(model)
    aside = sequence_path.with_suffix(".part")
    onnx.save(model, str(aside))
    os.replace(aside, sequence_path)


class _Unroller:
    """Rewrites the graph of a step form, one hop [1, …], as one of many hops [hops, …]."""

    def __init__(self, model: onnx.ModelProto, hops: int) -> None:
        self.graph, self.hops = model.graph, hops
        self.nodes = list(model.graph.node)
        self.made = {name: node for node in self.nodes for name in node.output}
        self.constants = {c.name: c for c in self.graph.initializer}
        self.gone: list[NodeProto] = []

    def rewrite(self) -> None:
        self._spread()
        count = sum(i.name.endswith("_re") for i in self.graph.input)
        added = self._levels() + [n for k in range(1, count) for n in self._layer(k)]
        kept = [n for n in self.nodes if not any(n is g for g in self.gone)]
        nodes = self._ordered(kept + added)
        read = {name for node in nodes for name in node.input}
        used = [c for c in self.graph.initializer if c.name in read]
        del self.graph.node[:], self.graph.value_info[:], self.graph.initializer[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(used)

    def _spread(self) -> None:
        """Shapes that say one hop say many."""
        for value in (*self.graph.input, *self.graph.output):
            if "state_" not in value.name:
                value.type.tensor_type.shape.dim[0].dim_value = self.hops
        for node in self.nodes:
            if node.op_type == "Reshape":
                shape = numpy_helper.to_array(self.constants[node.input[1]])
                node.input[1] = self._constant([self.hops, *shape[1:]])

    def _constant(self, numbers: list[int]) -> str:
        name = "of_" + "_".join(str(n) for n in numbers)
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.array(numbers, np.int64), name)
            self.graph.initializer.append(self.constants[name])
        return name

    def _levels(self) -> list[NodeProto]:
        """The slow levels: ``h ← keep h + drive``."""
        split = self.made["new_state_0_re"]
        total = self.made[split.input[0]]
        product, drive = self.made[total.input[0]], total.input[1]
        keep, joined = product.input
        self.gone += [split, total, product]
        rows, first = self._split(drive, "levels"), joined
        nodes = [rows]
        for hop, row in enumerate(rows.output):
            nodes += [
                helper.make_node("Mul", [keep, first], [f"levels_kept_{hop}"]),
                helper.make_node("Add", [f"levels_kept_{hop}", row], [f"levels_{hop}"]),
            ]
            first = f"levels_{hop}"
        everything = ["levels_all_fast", "levels_all_slow"]
        nodes.append(self._joined("levels", total.output[0]))
        for source, parts in ((first, list(split.output)), (total.output[0], everything)):
            nodes.append(helper.make_node("Split", [source], parts, axis=1, num_outputs=2))
        self._read_from(dict(zip(split.output, everything, strict=True)))
        return nodes

    def _layer(self, number: int) -> list[NodeProto]:
        """A layer's oscillators: ``h ← λ h + u``, real and imaginary part side by side."""
        names = [f"state_{number}_re", f"state_{number}_im"]
        ends = [self.made[f"new_{name}"] for name in names]
        sums = [self.made[end.input[0]] for end in ends]
        products = [self.made[name] for node in sums for name in node.input]
        if [n.op_type for n in (*ends, *sums, *products)] != ["Add", "Add", "Sub", "Add"] + [
            "Mul"
        ] * 4:
            raise ParityError(f"the step form's layer {number} is not the recurrence it should be")
        self.gone += [*ends, *sums, *products]
        pole_re, pole_im = (self.made[sums[0].input[i]].input[0] for i in (0, 1))
        width = self._width(names[0])
        tag = f"layer_{number}"
        make = helper.make_node
        nodes = [
            make("Neg", [pole_im], [f"{tag}_minus"]),
            make("Concat", [pole_re, f"{tag}_minus", pole_im, pole_re], [f"{tag}_turn"], axis=1),
            make(
                "Reshape",
                [f"{tag}_turn", self._constant([self.hops, 2, 2, width])],
                [f"{tag}_turns"],
            ),
            make("Concat", [end.input[1] for end in ends], [f"{tag}_push"], axis=1),
            make(
                "Reshape", [f"{tag}_push", self._constant([self.hops, 2, width])], [f"{tag}_pushes"]
            ),
            make("Concat", names, [f"{tag}_rest"], axis=1),
            make("Reshape", [f"{tag}_rest", self._constant([1, 2, width])], [f"{tag}_before"]),
        ]
        turns, pushes = self._split(f"{tag}_turns", tag), self._split(f"{tag}_pushes", f"{tag}_u")
        nodes += [turns, pushes]
        before = f"{tag}_before"
        for hop in range(self.hops):
            nodes += [
                make("Mul", [turns.output[hop], before], [f"{tag}_parts_{hop}"]),
                make(
                    "ReduceSum",
                    [f"{tag}_parts_{hop}", self._constant([2])],
                    [f"{tag}_turned_{hop}"],
                    keepdims=0,
                ),
                make("Add", [f"{tag}_turned_{hop}", pushes.output[hop]], [f"{tag}_{hop}"]),
            ]
            before = f"{tag}_{hop}"
        everything = [f"{tag}_all_re", f"{tag}_all_im"]
        nodes.append(self._joined(tag, f"{tag}_all"))
        for source, targets in ((f"{tag}_all", everything), (before, [f"new_{n}" for n in names])):
            parts = [f"{t}_part" for t in targets]
            nodes.append(make("Split", [source], parts, axis=1, num_outputs=2))
            for part, target in zip(parts, targets, strict=True):
                shape = self._constant([-1, width])
                nodes.append(make("Reshape", [part, shape], [target]))
        self._read_from({f"new_{n}": a for n, a in zip(names, everything, strict=True)})
        return nodes

    def _width(self, state: str) -> int:
        value = next(i for i in self.graph.input if i.name == state)
        return int(value.type.tensor_type.shape.dim[1].dim_value)

    def _split(self, name: str, tag: str) -> NodeProto:
        rows = [f"{tag}_at_{hop}" for hop in range(self.hops)]
        return helper.make_node("Split", [name], rows, axis=0, num_outputs=self.hops)

    def _joined(self, tag: str, name: str) -> NodeProto:
        rows = [f"{tag}_{hop}" for hop in range(self.hops)]
        return helper.make_node("Concat", rows, [name], axis=0)

    def _read_from(self, names: dict[str, str]) -> None:
        """Whoever read a step's new state reads that of every hop."""
        for node in self.nodes:
            for place, name in enumerate(node.input):
                node.input[place] = names.get(name, name)

    def _ordered(self, nodes: list[NodeProto]) -> list[NodeProto]:
        """Each node after those it reads from."""
        there = {i.name for i in self.graph.input} | set(self.constants) | {""}
        ordered: list[NodeProto] = []
        while nodes:
            waiting = []
            for node in nodes:
                if all(name in there for name in node.input):
                    ordered.append(node)
                    there.update(node.output)
                else:
                    waiting.append(node)
            nodes = waiting
        return ordered


def prove_same(step_path: Path, sequence_path: Path) -> float:
    """Largest difference between the two forms' gains on random features; raises if too large."""
    step, sequence = open_session(step_path), open_session(sequence_path)
    inputs = {i.name: np.zeros(i.shape, np.float32) for i in step.get_inputs()}
    shape = inputs.pop("features").shape
    rng = np.random.default_rng(0)
    features = rng.standard_normal((_PROOF_HOPS, *shape[1:])).astype(np.float32)
    one = _gains(step, features, dict(inputs), 1)
    many = _gains(sequence, features, dict(inputs), sequence.get_inputs()[0].shape[0])
    difference = float(np.abs(one - many).max())
    check_close("gains of step and sequence", difference)
    return difference


def _gains(
    session: onnxruntime.InferenceSession, features: Sound, states: dict[str, Sound], hops: int
) -> Sound:
    gains = []
    for start in range(0, len(features), hops):
        gain, _, *new = session.run(None, {"features": features[start : start + hops], **states})
        states = dict(zip(states, new, strict=True))
        gains.append(gain)
    return np.concatenate(gains)


@click.command()
@click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with denoiser-PRESET.onnx.",
)
@click.argument("presets", nargs=-1, required=True)
def main(models: Path, presets: tuple[str, ...]) -> None:
    """Make the sequence form of each of PRESETS from its step form, with its card."""
    for preset in presets:
        step = models / f"denoiser-{preset}.onnx"
        sequence = models / f"denoiser-{preset}-sequence.onnx"
        make_sequence(step, sequence)
        card = json.loads(step.with_suffix(".json").read_text(encoding="utf-8"))
        parity = {**card["parity"], "step_and_sequence": prove_same(step, sequence)}
        for name in ("file", "sha256", "bytes"):
            del card[name]
        click.echo(str(write_card(sequence, {**card, "parity": parity})))


if __name__ == "__main__":
    main()
