"""Smaller weights: 8 or 4 bits each in blocks of 32, computed with 8-bit integers.

Weights are stored by onnxruntime's block-wise MatMulNBits; the inputs of each product are rounded
to 8 bits on the fly. Everything else, fixed maps included, stays float32.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from resonance.export.onnx_file import save

BLOCK = 32
#: Initialisers with one of these in their name stay as they are: known maps, and probabilities.
FIXED = ("equaliser", "labels", "turning")
#: onnxruntime's accuracy level for products of 8-bit integers.
_INTEGERS = 4


def quantise(path: Path, bits: int) -> None:
    """Replace the ONNX file at ``path`` by one with ``bits`` (8 or 4) per weight."""
    model = _gemms_split(onnx.load(str(path)))
    kept = [n.name for n in model.graph.node if any(f in i for i in n.input for f in FIXED)]
    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.WARNING)
    quantiser = MatMulNBitsQuantizer(
        model,
        bits=bits,
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=_INTEGERS,
        nodes_to_exclude=kept,
    )
    quantiser.process()
    save(quantiser.model.model, path)


def _gemms_split(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every Gemm as MatMul and Add: only MatMul can be quantised block by block."""
    graph = model.graph
    weights = {i.name: i for i in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "Gemm":
            nodes.append(node)
            continue
        x, weight, *bias = node.input
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        values = numpy_helper.to_array(weights[weight])
        turned = np.ascontiguousarray(values.T if transposed else values)
        graph.initializer.append(numpy_helper.from_array(turned, f"{weight}.turned"))
        product = f"{node.output[0]}.product" if bias else node.output[0]
        make = onnx.helper.make_node
        nodes.append(make("MatMul", [x, f"{weight}.turned"], [product], f"{node.name}.product"))
        if bias:
            nodes.append(make("Add", [product, bias[0]], [node.output[0]], f"{node.name}.sum"))
    used = {name for node in nodes for name in node.input} | {o.name for o in graph.output}
    kept = [i for i in graph.initializer if i.name in used]
    for field, content in ((graph.node, nodes), (graph.initializer, kept)):
        del field[:]
        field.extend(content)
    return model
