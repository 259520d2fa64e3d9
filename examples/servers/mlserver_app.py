"""MLServer's Hugging Face runtime on optimum: python mlserver_app.py FOLDER PORT.
POST /v2/models/model/infer. BATCH: texts of a run at most (1: no batching); WAIT: seconds that a
run waits for more; WORKERS: processes (0: the server scores itself).

MLServer 1.7.1 asks for an optimum below 2, which imports names of torch.onnx that torch no longer
has, and never calls them to serve a graph; they are put there first. Its processes import this file
too, so that they find them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from unittest.mock import MagicMock

import torch.onnx.symbolic_opset14 as opset

for name in (
    "_attention_scale",
    "_causal_attention_mask",
    "_onnx_symbolic",
    "_type_utils",
    "jit_utils",
    "symbolic_helper",
):
    if not hasattr(opset, name):
        setattr(opset, name, MagicMock())

IMPLEMENTATION = "mlserver_huggingface.HuggingFaceRuntime"


def settings(folder: str, port: int) -> tuple[dict[str, object], dict[str, object]]:
    """The model's and the server's."""
    extra = {"task": "text-classification", "optimum_model": True, "pretrained_model": folder}
    batch = int(os.environ.get("BATCH", "1"))
    model: dict[str, object] = {
        "name": "model",
        "implementation": IMPLEMENTATION,
        "parameters": {"extra": extra},
    }
    if batch > 1:
        wait = float(os.environ.get("WAIT", "0.005"))
        model |= {"max_batch_size": batch, "max_batch_time": wait}
    server: dict[str, object] = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "metrics_endpoint": None,
        "parallel_workers": int(os.environ.get("WORKERS", "1")),
        "logging_settings": None,
    }
    return model, server


def main() -> None:
    """Serve until a signal comes."""
    from mlserver.cli import main as mlserver

    folder, port = str(Path(sys.argv[1]).resolve()), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as here:
        model, server = settings(folder, port)
        Path(here, "model-settings.json").write_text(json.dumps(model))
        Path(here, "settings.json").write_text(json.dumps(server))
        sys.argv[1:] = ["start", here]
        mlserver()


if __name__ == "__main__":
    main()
