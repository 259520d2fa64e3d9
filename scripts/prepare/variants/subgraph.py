"""A part of a graph, run in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir
import onnxruntime as ort

from onnxferry.scoring.engine import Array

_IR_VERSION = 10


def run(
    graph: ir.Graph, outputs: Sequence[ir.Value], feeds: Mapping[ir.Value, Array]
) -> list[Array]:
    """The float32 tensors `outputs` of the part that begins at the tensors of `feeds`.

    Raises ValueError or an error of onnxruntime where they do not depend on those alone.
    """
    runner = session(graph, {v: ir.DataType.from_numpy(a.dtype) for v, a in feeds.items()}, outputs)
    named = {value.name: array for value, array in feeds.items()}
    result: list[Array] = runner.run(None, named)
    return result


def session(
    graph: ir.Graph, inputs: Mapping[ir.Value, ir.DataType | None], outputs: Sequence[ir.Value]
) -> Any:
    """An onnxruntime session of the part from `inputs` to the float32 tensors `outputs`, which must
    be smaller than 2 GB."""
    part = ir.convenience.extract(graph, list(inputs), outputs)
    kinds = [*inputs.values(), *(ir.DataType.FLOAT for _ in outputs)]
    for value, kind in zip((*part.inputs, *part.outputs), kinds, strict=True):
        value.shape = None
        value.type = ir.TensorType(kind) if kind else value.type
    model = ir.to_proto(ir.Model(part, ir_version=_IR_VERSION))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
