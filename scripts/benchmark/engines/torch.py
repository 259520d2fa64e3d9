"""A PyTorch model and tokenizers, without transformers' pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

from onnxferry.scripts.benchmark.engines import bare

CLASSES = {
    "question-answering": "AutoModelForQuestionAnswering",
    "text-classification": "AutoModelForSequenceClassification",
}


def load(folder: str, task: str, options: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """What answers a list of items, each by one answer."""
    if threads := options.pop("threads", None):
        torch.set_num_threads(threads)
    model = getattr(transformers, CLASSES.get(task, "AutoModel")).from_pretrained(folder).eval()
    known = set(model.forward.__code__.co_varnames)

    def run(feeds: dict[str, Any]) -> list[Any]:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
            outputs = model(**{name: tensors[name] for name in known & set(tensors)})
        return [output.numpy() for output in outputs.to_tuple()]

    return bare.over(folder, task, run, **options)
