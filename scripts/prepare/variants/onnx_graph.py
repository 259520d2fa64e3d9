"""ONNX graphs of onnx-ir: read from a file, changed in place, written to a file. Weights stay in
their files, mapped into memory, and new ones may be computed while they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.onnx_file_io import LEAST_MOVED, Tensors

MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators


def read(path: Path) -> ir.Model:
    """The model of a file. Nodes have unique names, the same at each reading; weights are no
    inputs. Raises PrepareError for what is not readable as ONNX."""
    model = from_proto(onnx_file_io.read(path))
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model


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


def detached(model: ir.Model, least: int = LEAST_MOVED) -> tuple[onnx.ModelProto, Tensors]:
    """The model without the nodes and weights that no output needs, as a protobuf in which weights
    of at least `least` bytes are only named, and all weights."""
    common.RemoveUnusedNodesPass()(model)
    if any(node.domain == MICROSOFT for node in model.graph):
        model.opset_imports.setdefault(MICROSOFT, 1)
    weights = {n: v.const_value for n, v in model.graph.initializers.items() if v.const_value}
    try:
        for name, tensor in weights.items():
            model.graph.initializers[name].const_value = _stored(name, tensor, least)
        return ir.to_proto(model), weights
    finally:
        for name, tensor in weights.items():
            model.graph.initializers[name].const_value = tensor


def attached(proto: onnx.ModelProto, weights: Tensors) -> ir.Model:
    """As `from_proto`, with the weights that `detached` only named."""
    model = from_proto(proto)
    for name, value in model.graph.initializers.items():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = weights[name]
    return model


def _stored(name: str, tensor: ir.TensorProtocol, least: int) -> ir.TensorProtocol:
    """A name in the place of a large tensor; a small one with its numbers."""
    if tensor.dtype == ir.DataType.STRING:
        return tensor
    if tensor.nbytes < least:
        inside = not isinstance(tensor, ir.ExternalTensor)
        return tensor if inside else ir.Tensor(tensor.numpy().copy(), tensor.dtype, name=name)
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(name, 0, tensor.nbytes, tensor.dtype, shape=shape, name=name)


def save(model: ir.Model, path: Path) -> None:
    """Write the graph, its weights as onnx_file_io.copy does."""
    onnx_file_io.write(*detached(model), path)


def opset(model: ir.Model) -> int:
    """The version of the standard operators; 0 where there is none."""
    return max(model.opset_imports.get(domain, 0) for domain in ("", "ai.onnx"))


def of_rank(model: ir.Model, rank: int) -> frozenset[str]:
    """The names of the tensors that have so many dimensions for sure, as onnx infers it: not what
    operators of other domains make."""
    inferred = onnx.shape_inference.infer_shapes(detached(model)[0], data_prop=True).graph
    found = {v.name: v.type.tensor_type for v in (*inferred.input, *inferred.value_info)}
    shapes = {name: kind.shape for name, kind in found.items() if kind.HasField("shape")}
    return frozenset(name for name, shape in shapes.items() if len(shape.dim) == rank)


@dataclass(frozen=True)
class Weight:
    """The numbers of a `tensor`, transposed by each of `axes`."""

    tensor: ir.TensorProtocol
    axes: tuple[Sequence[int] | None, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy has it."""
        shape: tuple[int, ...] = tuple(self.tensor.shape.numpy())
        for axes in self.axes:
            shape = tuple(shape[i] for i in axes) if axes else shape[::-1]
        return shape

    def numpy(self) -> Array:
        """Mapped into memory, where they are in a file."""
        return self._transposed(self.tensor.numpy())

    def read(self) -> Array:
        """In memory that is free again when the array is no longer needed."""
        tensor = self.tensor
        if not isinstance(tensor, ir.ExternalTensor):
            return self.numpy()
        dtype, start = tensor.dtype.numpy(), tensor.offset or 0
        array = np.fromfile(tensor.path, dtype, count=tensor.size, offset=start)
        return self._transposed(array.reshape(tensor.shape.numpy()))

    def _transposed(self, array: Array) -> Array:
        for axes in self.axes:
            array = array.transpose(axes)
        return array


def weight(value: ir.Value | None) -> Weight | None:
    """A weight or Constant, also after Identity and Transpose; else None. It stays as it is when
    the graph is rewritten."""
    tensor = ir.convenience.get_const_tensor(value) if value else None
    if tensor is not None:
        return Weight(tensor)
    node = value.producer() if value else None
    if node is None or node.op_type not in ("Identity", "Transpose"):
        return None
    source = weight(node.inputs[0])
    if source is None or node.op_type == "Identity":
        return source
    return Weight(source.tensor, (*source.axes, node.attributes.get_ints("perm")))


def constant(value: ir.Value | None) -> Array | None:
    """The numbers of a `weight`; else None."""
    found = weight(value)
    return found.numpy() if found else None


def held_by(value: ir.Value | None) -> Weight:
    """As `weight`; raises KeyError instead of None."""
    found = weight(value)
    if found is None:
        raise KeyError(f"{value} is no constant")
    return found


def known(value: ir.Value | None) -> Array:
    """As `constant`; raises KeyError instead of None."""
    return held_by(value).numpy()


def operand(node: ir.Node, index: int) -> ir.Value:
    """An input that the operator always has."""
    value = node.inputs[index]
    if value is None:
        raise ValueError(f"{node.name}: input {index} is missing")
    return value


def is_matrix(value: ir.Value | None) -> bool:
    """Whether a tensor is a constant float32 matrix."""
    found = weight(value)
    return found is not None and len(found.shape) == 2 and found.tensor.dtype == ir.DataType.FLOAT


def add_weight(node: ir.Node, name: str, array: Any) -> ir.Value:
    """A weight of the node's graph; made of `array` unless one of that name is there."""
    return _registered(node, name, lambda: ir.tensor(np.asarray(array), name=name))


def add_computed(
    node: ir.Node, name: str, compute: Callable[[], Array], shape: Sequence[int], dtype: Any
) -> ir.Value:
    """As add_weight; `compute` makes the array of this shape and dtype each time that its numbers
    are needed."""
    tensor = partial(ir.LazyTensor, lambda: ir.tensor(compute()), name=name)
    kind = ir.DataType.from_numpy(np.dtype(dtype))
    return _registered(node, name, lambda: tensor(dtype=kind, shape=ir.Shape(shape)))


def _registered(node: ir.Node, name: str, make: Callable[[], ir.TensorProtocol]) -> ir.Value:
    graph = node.graph
    if graph is None:
        raise ValueError(f"{node.name} is in no graph")
    if name not in graph.initializers:
        graph.register_initializer(ir.val(name, const_value=make()))
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
