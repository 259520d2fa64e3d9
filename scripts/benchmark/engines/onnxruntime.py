"""ONNX Runtime and tokenizers, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from onnxferry.scripts.benchmark.engines import Answer, bare


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.pop("threads", 0)
    path = Path(folder, options.pop("file_name", "model.onnx"))
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return bare.over(folder, task, lambda feeds: session.run(None, feeds), names, **options)
