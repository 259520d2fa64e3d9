"""python mlflow_app.py MODEL REQUESTS REPLIES: what MLflow's scoring server answers to requests,
asked in one process, without a port.

REQUESTS is a JSON list of {"body": base64, "content_type", "accept"}; REPLIES gets a list of
{"status", "body": base64, "content_type", "seconds"}. The model's own code is what is
imported: nothing of ours is, here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from mlflow import pyfunc
from mlflow.pyfunc import scoring_server


async def _answers(app: Any, requests: list[dict[str, str]]) -> list[dict[str, Any]]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://mlflow") as client:
        return [await _answer(client, request) for request in requests]


async def _answer(client: httpx.AsyncClient, request: dict[str, str]) -> dict[str, Any]:
    headers = {"Content-Type": request["content_type"], "Accept": request["accept"]}
    began = time.perf_counter()
    body = base64.b64decode(request["body"])
    answer = await client.post("/invocations", content=body, headers=headers, timeout=None)
    return {
        "status": answer.status_code,
        "body": base64.b64encode(answer.content).decode(),
        "content_type": answer.headers.get("content-type", ""),
        "seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Load the model, and answer."""
    model, requests, replies = map(Path, sys.argv[1:])
    app = scoring_server.init(pyfunc.load_model(str(model)))
    found = asyncio.run(_answers(app, json.loads(requests.read_text(encoding="utf-8"))))
    replies.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
