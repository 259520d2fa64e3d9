"""ONNX Runtime and tokenizers, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime

from onnxferry.scripts.benchmark.engines import bare


def load(folder: str, task: str, options: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """What answers a list of items, each by one answer."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.pop("threads", 0)
    path = Path(folder, options.pop("file_name", "model.onnx"))
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    known = {node.name for node in session.get_inputs()}

    def run(feeds: dict[str, Any]) -> list[Any]:
        outputs: list[Any] = session.run(
            None, {name: array for name, array in feeds.items() if name in known}
        )
        return outputs

    return bare.over(folder, task, run, **options)
