"""The scoring core: the same code inside every host. Give it a model directory, then requests.

scorer = scoring.load("model_dir")
response = scorer.handle(scoring.Request(b'{"inputs": "..."}'))
"""

from onnxferry.scoring.contract import JSON, ModelSpec, Request, Response
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.scorer import Scorer, load, log_requests

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
