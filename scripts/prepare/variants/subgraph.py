"""A part of a graph, run in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir
import onnxruntime as ort

from onnxferry.scoring.engine import Array


def run(
    graph: ir.Graph, outputs: Sequence[ir.Value], feeds: Sequence[Mapping[ir.Value, Array]]
) -> Iterator[list[Array]]:
    """The float32 tensors `outputs` for each of `feeds`, whose tensors are where the part begins.
    Raises ValueError or onnxruntime's errors where these do not suffice, or at 2 GB."""
    part = ir.convenience.extract(graph, list(feeds[0]), outputs)
    kinds = [ir.DataType.from_numpy(array.dtype) for array in feeds[0].values()]
    kinds += [ir.DataType.FLOAT for _ in outputs]
    for value, kind in zip((*part.inputs, *part.outputs), kinds, strict=True):
        value.type, value.shape = ir.TensorType(kind), None
    model = ir.to_proto(ir.Model(part, ir_version=10)).SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for feed in feeds:
        yield session.run(None, {value.name: array for value, array in feed.items()})
