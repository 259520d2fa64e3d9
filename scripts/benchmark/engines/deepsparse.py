"""DeepSparse's own pipeline, over a copy of the .onnx file, since it writes into that. It takes one
question a call; with `streams` above 1 so many calls are under way at a time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import deepsparse
import deepsparse.transformers  # fails with what to install, where create() fails without a word

from onnxferry.scripts.benchmark.engines import Answer

TASKS = ("question-answering", "text-classification")


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    if task not in TASKS:
        raise ValueError(f"deepsparse is asked for {' and '.join(TASKS)} here, not for {task}")
    path = _copy(Path(folder), options.pop("file_name", "model.onnx"))
    streams, threads = options.pop("streams", 1), options.pop("threads", None)
    if streams > 1:
        options |= {"scheduler": deepsparse.Scheduler.multi_stream, "num_streams": streams}
    if task == "text-classification":
        config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
        options["top_k"] = len(config["id2label"])
    options |= {"model_path": str(path), "num_cores": threads}
    asked = deepsparse.Pipeline.create(task.replace("-", "_"), **options)
    if task == "text-classification":
        return lambda items: _labels(asked(sequences=items))
    each: Any = ThreadPoolExecutor(streams).map if streams > 1 else map
    return lambda items: list(each(lambda item: _span(asked, item), items))


def _copy(folder: Path, name: str) -> Path:
    """The graph and the small files beside it, in the process's temporary folder."""
    made = Path(tempfile.mkdtemp())
    for path in [p for p in folder.iterdir() if p.suffix in (".json", ".txt")]:
        shutil.copy(path, made)
    shutil.copy(folder / name, made / "model.onnx")
    return made


def _span(asked: Any, item: dict[str, str]) -> dict[str, Any]:
    try:
        return dict(asked(**item))
    except IndexError:  # none of its 20 best starts and ends fit, as often with random weights
        return {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def _labels(found: Any) -> list[Any]:
    return [
        [{"label": name, "score": score} for name, score in zip(names, scores, strict=True)]
        for names, scores in zip(found.labels, found.scores, strict=True)
    ]
