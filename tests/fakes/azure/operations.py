"""Asynchronous operations: they take a number of polls, and succeed or fail."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.http import Answer, Call, Route, error

SOON = {"retry-after-ms": "5"}  # the SDKs poll again after five milliseconds

Failure = tuple[str, str] | Mapping[str, Any]


@dataclass
class Operation:
    """`done` is called once, when the last poll finds it ended; `failure` is (code, message), or
    the whole of the error's JSON."""

    polls: int
    done: Callable[[], object]
    failure: Failure | None = None
    ended: bool = field(default=False)


class FakeOperations:
    """All operations, found by polling their URL, which `start` gives as headers."""

    def __init__(self) -> None:
        self.polls = 2  # how many polls find a new operation still in progress
        self._operations: dict[str, Operation] = {}
        self.routes = (Route("GET", r"/operations/(?P<id>[^/]+)", self._poll),)

    def start(
        self,
        base: str,
        done: Callable[[], object],
        failure: Failure | None = None,
        *,
        location: bool = False,
    ) -> dict[str, str]:
        """Begin an operation; the headers that tell a client where to poll: Azure-AsyncOperation,
        or Location for those APIs that use it."""
        name = uuid.uuid4().hex
        self._operations[name] = Operation(self.polls, done, failure)
        header = "Location" if location else "Azure-AsyncOperation"
        return {
            header: f"{base}/operations/{name}?style={'location' if location else 'async'}",
            **SOON,
        }

    def forget(self) -> None:
        """Drop all operations, so that none ends in a later test."""
        self._operations.clear()

    def advance(self) -> None:
        """Let time pass, as a GET of a resource does: every operation comes one poll nearer to its
        end."""
        for operation in list(self._operations.values()):
            self._step(operation)

    def _poll(self, call: Call, match: re.Match[str]) -> Answer:
        operation = self._operations.get(match["id"])
        if operation is None:
            return error(404, "NotFound", f"no operation {match['id']}")
        self._step(operation)
        if call.query.get("style") == "location":
            return (
                Answer(200, {})
                if operation.ended
                else Answer(202, None, {"Location": _url(call), **SOON})
            )
        if not operation.ended:
            return Answer(200, {"id": call.path, "name": match["id"], "status": "InProgress"}, SOON)
        if operation.failure:
            problem = problem_of(operation.failure)
            return Answer(
                200, {"id": call.path, "name": match["id"], "status": "Failed", "error": problem}
            )
        return Answer(200, {"id": call.path, "name": match["id"], "status": "Succeeded"})

    @staticmethod
    def _step(operation: Operation) -> None:
        operation.polls -= 1
        if operation.polls < 0 and not operation.ended:
            operation.ended = True
            operation.done()


def problem_of(failure: Failure) -> Mapping[str, Any]:
    """An error's JSON."""
    if isinstance(failure, Mapping):
        return failure
    return {"code": failure[0], "message": failure[1]}


def _url(call: Call) -> str:
    return f"https://{call.host}{call.path}?style=location"
