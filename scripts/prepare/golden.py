"""The golden request: what a deployment is asked before it takes traffic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import scoring
from scoring import Request, ScoringError
from scoring.contract import Golden
from scripts.errors import PrepareError
from scripts.prepare.gradient import gradient
from scripts.request_file import read_request

_BUILT_IN: dict[str, Any] = {
    "question-answering": {
        "question": "What is Dolly Parton's middle name?",
        "context": "Dolly Rebecca Parton is an American singer-songwriter",
    },
    "text-classification": "Thank you so much, this made my day!",
    "feature-extraction": "Good morning",
}


def request(task: str, own: Path | None) -> Request:
    """The user's golden request, else the built-in one of `task`."""
    if own:
        return read_request(own)
    if task == "image-classification":
        return Request(gradient(), "image/png")
    return Request(json.dumps({"inputs": _BUILT_IN[task]}).encode())


def answer(model_dir: Path, golden: Request) -> Golden:
    """`golden` with the answer of the model directory itself; raises PrepareError when that is not an answer."""
    try:
        response = scoring.load(model_dir).handle(golden)
    except ScoringError as e:
        raise PrepareError(f"the model directory cannot be served: {e}") from e
    if response.status != 200:
        raise PrepareError(f"the golden request got status {response.status}: {response.body.decode()}")
    return Golden(golden, json.loads(response.body))
