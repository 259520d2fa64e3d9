"""optimum's ONNX Runtime model in a transformers pipeline: what the ONNX tutorials end with."""

from __future__ import annotations

from typing import Any

import onnxruntime
import transformers
from optimum import onnxruntime as ort

from onnxferry.scripts.benchmark.engines import HEADS, Answer, pipeline


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.pop("threads", 0)
    size = options.pop("batch_size", 1)
    loader = getattr(ort, f"ORTModel{HEADS[task]}")
    model = loader.from_pretrained(folder, session_options=settings, **options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    asked = transformers.pipeline(task, model=model, tokenizer=tokenizer)
    return pipeline.over(asked, task, size)
