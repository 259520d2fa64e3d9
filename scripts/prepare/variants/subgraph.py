"""A part of a graph, run. Its weights stay in their file: the part is written beside that file for
the moment in which ONNX Runtime opens it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx_ir as ir
import onnxruntime as ort

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare import onnx_file_io


def run(
    graph: ir.Graph, outputs: Sequence[ir.Value], feeds: Sequence[Mapping[ir.Value, Array]]
) -> Iterator[list[Array]]:
    """The float32 tensors `outputs` for each of `feeds`, whose tensors are where the part begins.
    Raises ValueError or onnxruntime's errors where these do not suffice."""
    part = ir.convenience.extract(graph, list(feeds[0]), outputs)
    kinds = [ir.DataType.from_numpy(array.dtype) for array in feeds[0].values()]
    kinds += [ir.DataType.FLOAT for _ in outputs]
    for value, kind in zip((*part.inputs, *part.outputs), kinds, strict=True):
        value.type, value.shape = ir.TensorType(kind), None
    session = _session(part)
    for feed in feeds:
        yield session.run(None, {value.name: array for value, array in feed.items()})


def _session(part: ir.Graph) -> ort.InferenceSession:
    proto = ir.to_proto(ir.Model(part, ir_version=10))
    model = onnx_file_io.serialised(proto, "a part of the graph")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    tensors = [value.const_value for value in part.initializers.values()]
    folders = {Path(t.base_dir) for t in tensors if isinstance(t, ir.ExternalTensor)}
    if not folders:
        return ort.InferenceSession(model, options, providers=providers)
    (folder,) = folders
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".onnx") as file:
        file.write(model)
        file.flush()
        return ort.InferenceSession(file.name, options, providers=providers)
