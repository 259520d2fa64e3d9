"""Normalisation and padding folded into convolutions, and constants computed, by onnxruntime's
optimiser at its basic level: the same on every machine, standard ONNX."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import version_converter

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.onnx_file_io import LEAST_MOVED
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.system.errors import PrepareError

MIN_OPSET = 13  # from which on DequantizeLinear knows channels
OLD_OPSET = f"opset {{}}: int8 convolutions need {MIN_OPSET} or more; export the model again"


def fold(path: Path, folder: Path) -> ir.Model:
    """The folded graph of a file, its weights in `folder`; an opset below MIN_OPSET is converted
    where onnx can. Raises PrepareError for a graph that onnxruntime does not load."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    folded = folder / "folded.onnx"
    options.optimized_model_filepath = str(folded)
    beside = {"file_name": f"{folded.name}.data", "min_size_in_bytes": LEAST_MOVED}
    for key, value in beside.items():
        name = f"session.optimized_model_external_initializers_{key}"
        options.add_session_config_entry(name, str(value))
    model = str(_modern(path, folder / "modern.onnx"))
    try:
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's errors have no other base
        raise PrepareError(f"{path}: cannot be folded: {type(e).__name__}: {e}") from e
    return onnx_graph.read(folded)


def _modern(path: Path, target: Path) -> Path:
    """The graph, or its form of a newer opset as `target`."""
    if onnx_file_io.opset(onnx_file_io.read(path)) >= MIN_OPSET:
        return path
    try:
        model = onnx.load(path)  # the converter reads no other files
        onnx.save(version_converter.convert_version(model, MIN_OPSET), target)
    except Exception:  # nor have onnx's
        return path
    return target
