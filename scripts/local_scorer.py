"""A model directory in this process, asked as a client asks it, by JSON requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxferry import scoring
from onnxferry.system.errors import EvaluationError, UsageError

TOGETHER = 64  # items a request


def load(model: Path) -> scoring.Scorer:
    """The scorer of a model directory. Raises UsageError with the core's message."""
    try:
        return scoring.load(model)
    except scoring.ScoringError as e:
        raise UsageError(f"--model: {e}") from e


def answers(
    scorer: scoring.Scorer, inputs: Sequence[Any], parameters: Mapping[str, Any]
) -> list[Any]:
    """An answer to each of `inputs`. Raises EvaluationError with the core's message when it refuses
    one."""
    size = min(TOGETHER, scorer.spec.limits.items)
    chunks = (inputs[i : i + size] for i in range(0, len(inputs), size))
    return [answer for chunk in chunks for answer in _ask(scorer, chunk, parameters)]


def _ask(scorer: scoring.Scorer, chunk: Sequence[Any], parameters: Mapping[str, Any]) -> list[Any]:
    """The answers of one request; of two with half of the items each, where one is too large."""
    body = json.dumps({"inputs": list(chunk), "parameters": dict(parameters)}).encode()
    response = scorer.handle(scoring.Request(body))
    if response.status == 413 and len(chunk) > 1:
        half = len(chunk) // 2
        return _ask(scorer, chunk[:half], parameters) + _ask(scorer, chunk[half:], parameters)
    return list(parsed(response))


def parsed(response: scoring.Response) -> Any:
    """The response's JSON. Raises EvaluationError with the core's message when it is an error."""
    data = json.loads(response.body)
    if response.status == 200:
        return data
    message = data["error"]["message"]
    raise EvaluationError(f"the core refuses an item with {response.status}: {message}")
