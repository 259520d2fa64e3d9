"""Graphs with convolutions: normalisation and padding become part of the convolution, and what is
constant is computed.

By onnxruntime's own optimiser at its basic level, which is the same on every machine and writes
standard ONNX only.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime as ort
from onnx import version_converter

from onnxferry.system.errors import PrepareError

OPSET = 13  # from which on DequantizeLinear knows channels


def fold(source: Path, target: Path) -> None:
    """Write `source` folded; with opset OPSET where it has an older one that onnx can convert."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    try:
        model = _modern(onnx.load(source))
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except (
        Exception
    ) as e:  # onnx and onnxruntime raise one class an error code, with no common base but Exception
        raise PrepareError(
            f"{source}: its padding and constants cannot be folded: {type(e).__name__}: {e}"
        ) from e


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    old = any(
        entry.domain in ("", "ai.onnx") and entry.version < OPSET for entry in model.opset_import
    )
    try:
        return version_converter.convert_version(model, OPSET) if old else model
    except (
        Exception
    ):  # onnx's C++ errors, for an operator that it cannot convert: the model stays as old as it is
        return model
