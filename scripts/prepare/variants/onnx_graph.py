"""ONNX graphs of onnx-ir: read from a file, changed in place, written to a file."""

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
    """The model of a file. Nodes have unique names, the same at each reading; weights are no
    inputs. Raises PrepareError for what is not readable as ONNX."""
    return from_proto(onnx_file_io.read(path))


def from_proto(proto: onnx.ModelProto) -> ir.Model:
    """As `read`, without types and shapes between the nodes: a rewritten graph may have others."""
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
    """Write one file; raises PrepareError beyond protobuf's limit of 2 GB."""
    onnx_file_io.save(to_proto(model), path)


def opset(model: ir.Model) -> int:
    """The version of the standard operators; 0 where there is none."""
    return max(model.opset_imports.get(domain, 0) for domain in ("", "ai.onnx"))


def constant(value: ir.Value | None) -> Array | None:
    """The numbers of a weight or Constant, also after Identity and Transpose; else None."""
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
    """As `constant`; raises KeyError instead of None."""
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


def add_weight(node: ir.Node, name: str, array: Any) -> ir.Value:
    """A weight of the node's graph; made of `array` unless one of that name is there."""
    graph = node.graph
    if graph is None:
        raise ValueError(f"{node.name} is in no graph")
    if name not in graph.initializers:
        tensor = ir.tensor(np.asarray(array), name=name)
        graph.register_initializer(ir.val(name, const_value=tensor))
    return graph.initializers[name]


def add_scale(node: ir.Node, name: str, scale: Any, zero: Any) -> list[ir.Value]:
    """A scale and a zero point as weights."""
    return [add_weight(node, f"{name}_scale", scale), add_weight(node, f"{name}_zero", zero)]


def new_node(
    op_type: str, inputs: Sequence[ir.Value | None], *outputs: str, **attributes: Any
) -> ir.Node:
    """A standard operator, named as its first output."""
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
