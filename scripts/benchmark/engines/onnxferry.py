"""onnxferry: the core as every host runs it, JSON bytes in and JSON bytes out."""

from __future__ import annotations

import json
from typing import Any

from onnxferry import scoring
from onnxferry.scripts.benchmark.engines import Answer

PARAMETERS = {"text-classification": {"top_k": None}}


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it."""
    scorer, parameters = scoring.load(folder), PARAMETERS.get(task, {})

    def answer(items: list[Any]) -> list[Any]:
        body = json.dumps({"inputs": items, "parameters": parameters}).encode()
        response = scorer.handle(scoring.Request(body))
        data = json.loads(response.body)
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {data['error']['message']}")
        return data if isinstance(data, list) else [data]

    return answer
