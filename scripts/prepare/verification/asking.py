"""A request to a loaded model, with the cause of a failure: clients are not told it, whoever
prepares the model is."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any

from onnxferry.scoring import Request, Response, Scorer
from onnxferry.system.errors import PrepareError

_log = logging.getLogger("scoring")


class _Causes(logging.Handler):
    """Keeps the exceptions that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            self.found.append(record.exc_info[1])


@contextlib.contextmanager
def _causes() -> Iterator[list[BaseException]]:
    """The exceptions that a Scorer logs meanwhile; nothing of them is printed."""
    handler, propagate = _Causes(), _log.propagate
    _log.addHandler(handler)
    _log.propagate = False
    try:
        yield handler.found
    finally:
        _log.removeHandler(handler)
        _log.propagate = propagate


def ask(scorer: Scorer, request: Request) -> tuple[Response, str]:
    """The response and, where it is no answer, why."""
    with _causes() as causes:
        response = scorer.handle(request)
    if response.status == 200:
        return response, ""
    if causes:
        return response, f"{type(causes[-1]).__name__}: {causes[-1]}"
    return response, str(json.loads(response.body)["error"]["message"])


def answer(scorer: Scorer, request: Request, where: str) -> Any:
    """The answer as JSON data. Raises PrepareError that says `where` it is refused, and why."""
    response, why = ask(scorer, request)
    if response.status != 200:
        raise PrepareError(f"{where}: status {response.status}: {why}")
    return json.loads(response.body)
