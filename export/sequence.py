"""The sequence form made from the step form: many hops per call, the same samples to the last bit.

``python -m resonance.export.sequence --models DIR`` does it for the files in a folder.

What a step computes from one hop's features alone is computed for all hops at once: they take the
place of the batch. What goes from hop to hop, between a state and its next value, is written out
hop after hop, in the order of the step's own sums. Nothing is rounded differently, so 8-bit
weights do no harm: a doubling scan would differ in the last bit, and rounding the inputs of the
next product to 8 bits would make that a hundred thousand times larger.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from resonance.export.onnx_file import check_close, open_session, save, write_card

#: Hops per call.
SEQUENCE_HOPS = 64
#: Hops of random features that both forms must answer alike.
_PROOF_HOPS = 8 * SEQUENCE_HOPS

#: What rounds otherwise for many numbers than for one: vectors, and what is left of them.
_PER_HOP = ("Log",)

Sound = NDArray[np.float32]


def make_sequence(step_path: Path, sequence_path: Path, hops: int = SEQUENCE_HOPS) -> None:
    """Write the sequence form of the step form at ``step_path``, metadata included.

    Parameters
    ----------
    step_path
        The step form.
    sequence_path
        File to write.
    hops
        How many one call takes.
    """
    model = onnx.load(str(step_path))
    _Unroller(model, hops).rewrite()
    onnx.checker.check_model(model)
    save(model, sequence_path)


class _Unroller:
    """Rewrites the graph of a step form, one hop [1, …], as one of many hops [hops, …]."""

    def __init__(self, model: onnx.ModelProto, hops: int) -> None:
        self.graph, self.hops = model.graph, hops
        self.nodes = list(model.graph.node)
        self.constants = {c.name: c for c in self.graph.initializer}
        self.states = [i.name for i in self.graph.input if i.name.startswith("state_")]

    def rewrite(self) -> None:
        self._spread()
        moving = self._after({i.name for i in self.graph.input})
        for name in self.states:
            self._unroll(name, moving)
        for node in [n for n in self.nodes if n.op_type in _PER_HOP]:
            self._take_apart(node)
        nodes = self._ordered(self.nodes)
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

    def _after(self, names: set[str]) -> set[str]:
        """These names, and all that is computed from them."""
        found = set(names)
        for node in self.nodes:  # in the order of computation
            if found.intersection(node.input):
                found.update(node.output)
        return found

    def _before(self, names: set[str]) -> set[str]:
        """These names, and all that they are computed from."""
        found = set(names)
        for node in reversed(self.nodes):
            if found.intersection(node.output):
                found.update(node.input)
        return found

    def _unroll(self, state: str, moving: set[str]) -> None:
        """Write out what lies between this state and its next value, hop after hop."""
        end = f"new_{state}"
        between = self._after({state}) & self._before({end})
        core = [n for n in self.nodes if between.intersection(n.output)]
        inner = {name for node in core for name in node.output}
        outer = {i for n in core for i in n.input if i in moving and i not in inner | {state}}
        added = [self._rows(name) for name in sorted(outer)]
        for hop in range(self.hops):
            renamed = {name: _at(name, hop) for name in inner | outer}
            renamed[state] = _at(end, hop - 1) if hop else state
            added += [_copy(node, renamed) for node in core]
        others = [n for n in self.nodes if n not in core]
        for name in sorted({i for n in others for i in n.input} & inner):
            rows = [_at(name, hop) for hop in range(self.hops)]
            added.append(helper.make_node("Concat", rows, [f"{name}_all"], axis=0))
            for node in others:
                node.input[:] = [f"{name}_all" if i == name else i for i in node.input]
        added.append(helper.make_node("Identity", [_at(end, self.hops - 1)], [end]))
        self.nodes = self._ordered(others + added)

    def _take_apart(self, node: NodeProto) -> None:
        """Compute this node's output hop after hop."""
        before, after = node.input[0], node.output[0]
        rows = [_at(after, hop) for hop in range(self.hops)]
        renamed = ({before: _at(before, hop), after: row} for hop, row in enumerate(rows))
        each = [_copy(node, names) for names in renamed]
        joined = helper.make_node("Concat", rows, [after], axis=0)
        others = [n for n in self.nodes if n is not node]
        self.nodes = [*others, self._rows(before), *each, joined]

    def _rows(self, name: str) -> NodeProto:
        rows = [_at(name, hop) for hop in range(self.hops)]
        return helper.make_node("Split", [name], rows, axis=0, num_outputs=self.hops)

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


def _at(name: str, hop: int) -> str:
    return f"{name}_at_{hop}"


def _copy(node: NodeProto, renamed: dict[str, str]) -> NodeProto:
    """The node with its inputs and outputs under other names."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.name = renamed[node.output[0]]
    copy.input[:] = [renamed.get(name, name) for name in node.input]
    copy.output[:] = [renamed[name] for name in node.output]
    return copy


def prove_same(step_path: Path, sequence_path: Path) -> float:
    """Largest relative difference of the two forms' gains on random features; raises if large."""
    step, sequence = open_session(step_path), open_session(sequence_path)
    inputs = {i.name: np.zeros(i.shape, np.float32) for i in step.get_inputs()}
    shape = inputs.pop("features").shape
    rng = np.random.default_rng(0)
    features = rng.standard_normal((_PROOF_HOPS, *shape[1:])).astype(np.float32)
    one = _gains(step, features, dict(inputs), 1)
    many = _gains(sequence, features, dict(inputs), sequence.get_inputs()[0].shape[0])
    difference = float(np.abs(one - many).max() / max(1.0, np.abs(one).max()))
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
