"""OpenVINO and tokenizers. Each thread that asks has an inference request of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import openvino

from onnxferry.scripts.benchmark.engines import Answer, bare


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads := options.pop("threads", None):
        config["INFERENCE_NUM_THREADS"] = threads
    path = Path(folder, options.pop("file_name", "model.onnx"))
    compiled = openvino.Core().compile_model(str(path), "CPU", config)
    names = [node.get_any_name() for node in compiled.inputs]
    own = threading.local()

    def run(feeds: dict[str, Any]) -> list[Any]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        found = own.request.infer(feeds)
        return [found[output].copy() for output in compiled.outputs]

    return bare.over(folder, task, run, names, **options)
