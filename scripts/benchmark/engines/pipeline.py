"""transformers' pipeline over PyTorch, as its documentation and most tutorials use it."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from onnxferry.scripts.benchmark.engines import Answer

PARAMETERS = {"text-classification": {"top_k": None, "truncation": True}}


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it. Raises ImportError for a task that this transformers has no pipeline for."""
    if task == "question-answering" and not hasattr(transformers, "QuestionAnsweringPipeline"):
        what = f"transformers {transformers.__version__} has no {task} pipeline"
        raise ImportError(f"{what}; --python pipeline=PATH names a Python with transformers 4")
    if threads := options.pop("threads", None):
        torch.set_num_threads(threads)
    return over(transformers.pipeline(task, model=folder, device="cpu"), task, **options)


def over(asked: Any, task: str, batch_size: int = 1) -> Answer:
    """Items asked of a pipeline, whose own default is a batch of 1."""
    parameters = {**PARAMETERS.get(task, {}), "batch_size": batch_size}

    def answer(items: list[Any]) -> list[Any]:
        found = asked(items, **parameters)
        return found if isinstance(found, list) else [found]

    return answer
