"""The same graph in bare ONNX Runtime in a process, without a server: what a lone request takes
there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxferry.scripts.benchmark.process import EngineProcess
from onnxferry.scripts.benchmark.server.steps import LoadSettings
from onnxferry.scripts.benchmark.specs import EngineSpec


def lone(folder: Path, task: str, texts: Sequence[Any], settings: LoadSettings) -> list[float]:
    """Seconds of each text, one after the other, each `settings.idle` seconds after the last began.
    `folder` holds the graph, config.json and tokenizer.json. Raises BenchmarkError."""
    spec = EngineSpec("onnxruntime", folder, "onnxruntime")
    idle, warm = settings.idle or 0.0, settings.warm_up
    count = max(1, round((warm + settings.seconds) / idle)) if idle else len(texts)
    times = [idle * number for number in range(count)]
    with EngineProcess(spec, sys.executable) as process:
        process.load(task)
        process.ask("answers", requests=[[text] for text in texts])
        spans = process.ask("play", arrivals=times, streams=1, seconds=0)
    earlier = [0.0, *(end for _, end in spans)]  # one that had to wait counts from its turn
    turns = [(max(begin, last), end) for (begin, end), last in zip(spans, earlier, strict=False)]
    return [end - begin for begin, end in turns if begin >= warm]
