"""fastembed over a graph of one's own, as its documentation adds a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastembed
from fastembed.common.model_description import ModelSource, PoolingType

from onnxferry.scripts.benchmark.engines import Answer, embeddings_only

NAME = "local/model"


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    embeddings_only(task)
    size = options.pop("batch_size", 256)
    config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    fastembed.TextEmbedding.add_custom_model(
        model=NAME,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=NAME),
        dim=config["hidden_size"],
        model_file=options.pop("file_name", "model.onnx"),
    )
    path = str(Path(folder).resolve())
    model = fastembed.TextEmbedding(NAME, specific_model_path=path, cuda=False, **options)
    return lambda items: [vector.tolist() for vector in model.embed(items, batch_size=size)]
