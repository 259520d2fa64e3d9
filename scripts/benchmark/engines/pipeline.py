"""transformers' pipeline over PyTorch, as its documentation and most tutorials use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

PARAMETERS = {"text-classification": {"top_k": None, "truncation": True}}


def load(folder: str, task: str, options: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """What answers a list of items, each by one answer."""
    if threads := options.get("threads"):
        torch.set_num_threads(threads)
    asked = transformers.pipeline(task, model=folder, device="cpu")
    return over(asked, task, options)


def over(asked: Any, task: str, options: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """Lists of items asked of a pipeline with the option `batch_size`, by default the pipeline's
    own: 1."""
    parameters = {**PARAMETERS.get(task, {}), "batch_size": options.get("batch_size", 1)}

    def answer(items: list[Any]) -> list[Any]:
        found = asked(items, **parameters)
        return found if isinstance(found, list) else [found]

    return answer
