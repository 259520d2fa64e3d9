"""The scoring core: the same code inside every host. Give it a model directory, then requests.

scorer = scoring.load("model_dir")
response = scorer.handle(scoring.Request(b'{"inputs": "..."}'))
"""

from scoring.contract import JSON, ModelSpec, Request, Response
from scoring.errors import ScoringError
from scoring.scorer import Scorer, load, log_requests

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
