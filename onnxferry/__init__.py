"""onnxferry: one trained model, packaged, proved and deployed on several clouds.

`onnxferry.load(model_dir)` gives a Scorer, whose `handle(Request(body))` gives a Response. They are
imported when used, so that `onnxferry --help` does not load ONNX Runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxferry.scoring import Request, Response, Scorer, ScoringError, load

__all__ = ["Request", "Response", "Scorer", "ScoringError", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'onnxferry' has no attribute {name!r}")
    return getattr(import_module("onnxferry.scoring"), name)
