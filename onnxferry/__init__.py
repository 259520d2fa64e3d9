"""onnxferry: one trained model, packaged, proved and deployed on several clouds.

`onnxferry.load(model_dir)` gives a Scorer, whose `handle(Request(body))` gives a Response.
`onnxferry.Pipeline.create(task, model_path=...)` and `onnxferry.Engine(path)` are DeepSparse's
interface over the same core. All are imported when used, so that `onnxferry --help` does not load
ONNX Runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxferry.pipelines import Context, Engine, Pipeline, PipelineError, Scheduler
    from onnxferry.scoring import Request, Response, Scorer, ScoringError, load

__all__ = [
    "Context",
    "Engine",
    "Pipeline",
    "PipelineError",
    "Request",
    "Response",
    "Scheduler",
    "Scorer",
    "ScoringError",
    "load",
]
_PIPELINES = ("Context", "Engine", "Pipeline", "PipelineError", "Scheduler")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'onnxferry' has no attribute {name!r}")
    room = "pipelines" if name in _PIPELINES else "scoring"
    return getattr(import_module(f"onnxferry.{room}"), name)
