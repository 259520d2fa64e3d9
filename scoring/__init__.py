"""The scoring core: the same code inside every host. Give it a model directory, then requests.

scorer = scoring.load("model_dir")
response = scorer.handle(scoring.Request(b'{"inputs": "..."}'))
"""

from __future__ import annotations

from onnxferry.scoring import loading
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.scorer import Scorer, load, log_requests
from onnxferry.scoring.wire import JSON, Request, Response

loading.IMPORTS.lap("imports")

__all__ = [
    "JSON",
    "ModelSpec",
    "Request",
    "Response",
    "Scorer",
    "ScoringError",
    "load",
    "log_requests",
]
