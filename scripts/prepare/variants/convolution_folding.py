"""Graphs with convolutions: normalisation and padding become part of the convolution, and what is
constant is computed.

By onnxruntime's own optimiser at its basic level, which is the same on every machine and writes
standard ONNX only.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import version_converter

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.system.errors import PrepareError

MIN_OPSET = 13  # from which on DequantizeLinear knows channels


def fold(path: Path) -> ir.Model:
    """The folded graph of a file; with opset MIN_OPSET where it has an older one that onnx can
    convert.

    Raises PrepareError for a graph that onnxruntime does not load.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        folded = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(folded)
        model = _modern(onnx_file_io.read(path)).SerializeToString()
        try:
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime's errors have no other base
            raise PrepareError(
                f"{path}: its padding and constants cannot be folded: {type(e).__name__}: {e}"
            ) from e
        return onnx_graph.read(folded)


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with opset MIN_OPSET or more; as it is where onnx cannot convert an operator."""
    if onnx_file_io.opset(model) >= MIN_OPSET:
        return model
    try:
        return version_converter.convert_version(model, MIN_OPSET)
    except Exception:  # nor have onnx's
        return model
