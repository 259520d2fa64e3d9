"""OpenVINO and tokenizers, and nothing else. Each thread that asks has an inference request of its
own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino

from onnxferry.scripts.benchmark.engines import bare


def load(folder: str, task: str, options: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """What answers a list of items, each by one answer."""
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads := options.pop("threads", None):
        config["INFERENCE_NUM_THREADS"] = threads
    path = Path(folder, options.pop("file_name", "model.onnx"))
    compiled = openvino.Core().compile_model(str(path), "CPU", config)
    known = {node.get_any_name() for node in compiled.inputs}
    own = threading.local()

    def run(feeds: dict[str, Any]) -> list[Any]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer({name: array for name, array in feeds.items() if name in known})
        return [found[output].copy() for output in compiled.outputs]

    return bare.over(folder, task, run, **options)
