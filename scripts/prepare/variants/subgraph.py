"""A part of a graph, run in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.onnx_graph import Graph


def run(graph: Graph, outputs: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
    """The float32 tensors `outputs` of a graph that begins at the tensors of `feeds`."""
    nodes, leaves = graph.ancestors(outputs, feeds)
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feeds.items()}
    inputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    weights = [t for t in graph.model.graph.initializer if t.name in leaves]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    part = helper.make_graph(nodes, "part", inputs, ends, weights)
    model = helper.make_model(
        part, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version
    )
    result: list[Array] = session(model).run(list(outputs), dict(feeds))
    return result


def session(model: ModelProto) -> Any:
    """An onnxruntime session of a model in memory, which must be smaller than 2 GB."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def fed(runner: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What a session takes of `feeds`, in the dtypes that it declares."""
    kinds = {value.name: _DTYPES.get(value.type) for value in runner.get_inputs()}
    return {
        name: array.astype(kinds[name] or array.dtype, copy=False)
        for name, array in feeds.items()
        if name in kinds
    }


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}
