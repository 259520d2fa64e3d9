"""onnxferry: the core as every host runs it, JSON bytes in and JSON bytes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from onnxferry import scoring

PARAMETERS = {"text-classification": {"top_k": None}}


def load(folder: str, task: str, options: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """What answers a list of items, each by one answer."""
    scorer, parameters = scoring.load(folder), PARAMETERS.get(task, {})

    def answer(items: list[Any]) -> list[Any]:
        body = json.dumps({"inputs": items, "parameters": parameters}).encode()
        response = scorer.handle(scoring.Request(body))
        data = json.loads(response.body)
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {data['error']['message']}")
        return data if isinstance(data, list) else [data]

    return answer
