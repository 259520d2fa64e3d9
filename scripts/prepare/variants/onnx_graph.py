"""ONNX graphs as onnx-ir holds them: read from a file, changed in place, written to a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare import onnx_file_io

MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators


def read(path: Path) -> ir.Model:
    """The model of a file. Every node has a unique name, the same one each time that the same file
    is read; weights are no inputs.

    Raises PrepareError for a file that is not readable as ONNX.
    """
    return from_proto(onnx_file_io.read(path))


def from_proto(proto: onnx.ModelProto) -> ir.Model:
    """As `read`. Types and shapes between the nodes are dropped: a rewritten graph may have
    others."""
    model: ir.Model = ir.from_proto(proto)
    common.RemoveInitializersFromInputsPass()(model)
    uses = Counter(node.name for node in model.graph)
    for i, node in enumerate(model.graph):
        if not node.name or uses[node.name] > 1:
            node.name = f"{node.name or node.op_type}_{i}"
        for value in node.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    return model


def to_proto(model: ir.Model) -> onnx.ModelProto:
    """The model without the nodes and weights that no output needs."""
    common.RemoveUnusedNodesPass()(model)
    if any(node.domain == MICROSOFT for node in model.graph):
        model.opset_imports.setdefault(MICROSOFT, 1)
    return ir.to_proto(model)


def save(model: ir.Model, path: Path) -> None:
    """Write one file. Raises PrepareError when it would be larger than protobuf's 2 GB."""
    onnx_file_io.save(to_proto(model), path)


def opset(model: ir.Model) -> int:
    """The version of the standard operators; 0 where there is none."""
    return max(model.opset_imports.get(domain, 0) for domain in ("", "ai.onnx"))


def constant(value: ir.Value | None) -> Array | None:
    """The numbers of a tensor that does not depend on the inputs, None for others; Constant,
    Identity and Transpose nodes are followed."""
    tensor = ir.convenience.get_const_tensor(value) if value else None
    if tensor is not None:
        return tensor.numpy()
    node = value.producer() if value else None
    if node is None or node.op_type not in ("Identity", "Transpose"):
        return None
    source = constant(node.inputs[0])
    if source is None or node.op_type == "Identity":
        return source
    return source.transpose(node.attributes.get_ints("perm"))


def known(value: ir.Value | None) -> Array:
    """The numbers of a tensor that is a constant; raises KeyError for others."""
    array = constant(value)
    if array is None:
        raise KeyError(f"{value} is no constant")
    return array


def operand(node: ir.Node, index: int) -> ir.Value:
    """An input that the operator always has."""
    value = node.inputs[index]
    if value is None:
        raise ValueError(f"{node.name}: input {index} is missing")
    return value


def is_matrix(value: ir.Value | None) -> bool:
    """Whether a tensor is a constant float32 matrix."""
    array = constant(value)
    return array is not None and array.ndim == 2 and array.dtype == np.float32


def add_weight(graph: ir.Graph, name: str, array: Any) -> ir.Value:
    """An array or a numpy number as a weight; one that is there under the name is kept."""
    if name not in graph.initializers:
        tensor = ir.tensor(np.asarray(array), name=name)
        graph.register_initializer(ir.val(name, const_value=tensor))
    return graph.initializers[name]


def add_scale(graph: ir.Graph, name: str, scale: Any, zero: Any) -> list[ir.Value]:
    """The scale and the zero point of a quantised tensor as weights."""
    return [add_weight(graph, f"{name}_scale", scale), add_weight(graph, f"{name}_zero", zero)]


def new_node(
    op_type: str, inputs: Sequence[ir.Value | None], *outputs: str, **attributes: Any
) -> ir.Node:
    """A node of the standard operators, named as its first output."""
    values = [ir.val(name) for name in outputs]
    return ir.node(op_type, inputs, attributes, outputs=values, name=outputs[0])


def rewrite(
    node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], domain: str, **attributes: Any
) -> None:
    """Make a node another operator that gives the same outputs."""
    node.op_type, node.domain = op_type, domain
    node.resize_inputs(len(inputs))
    for i, value in enumerate(inputs):
        node.replace_input_with(i, value)
    node.attributes.clear()
    for attribute in ir.convenience.convert_attributes(attributes):
        node.attributes.add(attribute)


def prepend(node: ir.Node, *args: Any, **attributes: Any) -> Sequence[ir.Value]:
    """The outputs of a `new_node`, put before `node`."""
    added = new_node(*args, **attributes)
    node.prepend(added)
    return added.outputs
