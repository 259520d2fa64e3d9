"""infinity's engine in this process, without its server: ONNX Runtime by way of optimum. It picks
the folder's .onnx file itself, one with "quantize" in its name before the others."""

from __future__ import annotations

import os
from typing import Any

import infinity_emb

from onnxferry.scripts.benchmark.engines import Answer, embeddings_only


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    embeddings_only(task)
    os.chdir(folder)  # optimum looks for the file below the folder's name otherwise
    settings = infinity_emb.EngineArgs(
        model_name_or_path=".",
        served_model_name="model",
        engine="optimum",
        device="cpu",
        pooling_method="mean",
        bettertransformer=False,
        trust_remote_code=False,
        model_warmup=False,
        **options,
    )
    engines = infinity_emb.SyncEngineArray.from_args([settings])

    def answer(items: list[Any]) -> list[Any]:
        vectors, _ = engines.embed(model="model", sentences=items).result()
        return [vector.tolist() for vector in vectors]

    return answer
