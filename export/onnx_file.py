"""Writing ONNX files, their metadata and their cards."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

#: Largest difference between torch, ONNX and the stream, in parts of full scale.
TOLERANCE = 1e-4


class ParityError(RuntimeError):
    """The exported model does not compute what the trained one does."""


def export_onnx(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str], path: Path
) -> None:
    """Export ``module`` for exactly these input shapes (batch 1, no dynamic sizes).

    Parameters
    ----------
    module
        In evaluation mode.
    inputs
        Examples by name.
    outputs
        Names.
    path
        File to write.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            dynamo=True,
            external_data=False,
            input_names=list(inputs),
            output_names=outputs,
            verbose=False,
        )
    without_traces(path)


def without_traces(path: Path) -> None:
    """Take out where in the source each node came from: half of the file, and this computer's."""
    model = onnx.load(str(path))
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    save(model, path)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write an ONNX file aside, then rename: a crash leaves the old one."""
    aside = path.with_suffix(".part")
    onnx.save(model, str(aside))
    os.replace(aside, path)


def weights_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Parameters and buffers of floats by name."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: t.detach().numpy() for name, t in named if t.is_floating_point()}


def show_weights(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Make weights outputs of the ONNX file, so that whoever runs it can read them.

    Parameters
    ----------
    path
        File to change.
    weights
        By name; those that the exporter kept under their names are not written twice.
    """
    model = onnx.load(str(path))
    there = {w.name for w in model.graph.initializer}
    for name, value in weights.items():
        if name not in there:
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        kind = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape)
        model.graph.output.append(kind)
    save(model, path)


def write_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Put ``metadata`` (values as JSON) into the ONNX file."""
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {k: json.dumps(v) for k, v in metadata.items()})
    save(model, path)


def identity(path: Path) -> str:
    """What words learned with a spotter remember of it: its hash, or that of an earlier export."""
    props = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    return str(json.loads(props.get("identity", json.dumps(own))))


def write_card(path: Path, card: Mapping[str, Any]) -> Path:
    """Write the card of the ONNX file at ``path`` beside it, with the file's hash and size."""
    content = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        **card,
    }
    target = path.with_suffix(".json")
    aside = target.with_suffix(".part")
    aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, target)
    return target


def git_revision() -> str:
    """The commit the export was made from, or "unknown"."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or "unknown"


def open_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """A one-thread session on the CPU, as the application opens it, of a file or its content."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def check_close(name: str, difference: float, allowed: float = TOLERANCE) -> None:
    """Raise :class:`ParityError` if ``difference`` exceeds ``allowed``, naming what differed.

    Parameters
    ----------
    name
        What is compared.
    difference
        Largest difference.
    allowed
        Largest that is allowed.

    Raises
    ------
    ParityError
        If it is larger, or no number.
    """
    if not difference <= allowed:
        raise ParityError(f"{name} differ by {difference:.2e}, allowed: {allowed:g}")
