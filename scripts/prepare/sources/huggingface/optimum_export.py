"""The ONNX graph of a transformers model, by optimum: the second way, for architectures that it
knows better. It needs transformers 4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optimum.exporters.onnx as exporters

from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest
from onnxferry.scripts.prepare.sources.source import prepare_errors
from onnxferry.system.errors import PrepareError

_EXPORTED_AS = {  # where optimum has another name for the graph
    "zero-shot-classification": "text-classification",
    "text-ranking": "text-classification",
    "sentence-similarity": "feature-extraction",
    "image-feature-extraction": "feature-extraction",
}


def export(model: Any, path: Path, wanted: GraphRequest) -> None:
    """Write `model` to `path`, weights beyond 2 GB beside it. Raises PrepareError."""
    name = type(model).__name__
    if hasattr(model, "onnx_outputs"):
        what = "the folder's modules after the model cannot be exported by optimum"
        raise PrepareError(f"{what}; leave --exporter out")
    folder = path.parent / "optimum"
    task = _EXPORTED_AS.get(wanted.task, wanted.task)
    how = {"task": task, "opset": wanted.opset or 17, "do_validation": False}
    with prepare_errors(f"export of {name} by optimum"):
        exporters.onnx_export_from_model(model, folder, **how)
    for file in folder.glob(f"{path.name}*"):
        file.replace(path.with_name(file.name))
