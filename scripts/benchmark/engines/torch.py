"""A PyTorch model and tokenizers, without transformers' pipeline."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers

from onnxferry.scripts.benchmark.engines import HEADS, Answer, bare


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    if threads := options.pop("threads", None):
        torch.set_num_threads(threads)
    loader = getattr(transformers, f"AutoModel{HEADS.get(task)}", transformers.AutoModel)
    model = loader.from_pretrained(folder).eval()

    def run(feeds: dict[str, Any]) -> list[Any]:
        with torch.inference_mode():
            outputs = model(**{name: torch.from_numpy(array) for name, array in feeds.items()})
        return [output.numpy() for output in outputs.to_tuple()]

    return bare.over(folder, task, run, inspect.signature(model.forward).parameters, **options)
