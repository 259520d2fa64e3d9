"""onnxferry: the core as every host runs it, JSON bytes in and JSON bytes out."""

from __future__ import annotations

import base64
import json
from typing import Any

from onnxferry import scoring
from onnxferry.scripts.benchmark.engines import Answer

PARAMETERS = {"text-classification": {"top_k": None}}


def load(folder: str, task: str, options: dict[str, Any]) -> Answer:
    """Load it. With the option `whole_requests` an item is a request: {"body": base64,
    "content_type"}."""
    scorer, parameters = scoring.load(folder), PARAMETERS.get(task, {})

    def ask(request: scoring.Request) -> Any:
        response = scorer.handle(request)
        data = json.loads(response.body)
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {data['error']['message']}")
        return data

    def answer(items: list[Any]) -> list[Any]:
        body = json.dumps({"inputs": items, "parameters": parameters}).encode()
        data = ask(scoring.Request(body))
        return data if isinstance(data, list) else [data]

    def answer_requests(items: list[Any]) -> list[Any]:
        bodies = ((base64.b64decode(item["body"]), item["content_type"]) for item in items)
        return [ask(scoring.Request(*body)) for body in bodies]

    return answer_requests if options.get("whole_requests") else answer
