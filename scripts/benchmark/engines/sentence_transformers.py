"""sentence-transformers with one of its backends: torch, onnx or openvino. A folder without the
backend's own file is exported while it is loaded, which is the library's default."""

from __future__ import annotations

from typing import Any

import sentence_transformers
import torch

from onnxferry.scripts.benchmark.engines import Answer, embeddings_only

EXPORTS = {"onnx", "openvino"}


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    embeddings_only(task)
    backend, size = options.pop("backend", "torch"), options.pop("batch_size", 32)
    if threads := options.pop("threads", None):
        torch.set_num_threads(threads)
    settings = _threads(backend, threads) if threads and backend in EXPORTS else {}
    how: Any = {"backend": backend, "model_kwargs": {**options, **settings}}
    model = sentence_transformers.SentenceTransformer(folder, device="cpu", **how)

    def answer(items: list[Any]) -> list[Any]:
        return list(model.encode(items, batch_size=size, normalize_embeddings=True).tolist())

    return answer


def _threads(backend: str, threads: int) -> dict[str, Any]:
    if backend == "openvino":
        return {"ov_config": {"INFERENCE_NUM_THREADS": threads}}
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    return {"session_options": settings}
