"""Requests and answers of the fake, and the table of routes that leads from the one to the
other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Call:
    """One request. `number` counts from 0; `path` and the keys of `headers` are as sent and
    lower-cased, each."""

    number: int
    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}

    def __str__(self) -> str:
        return f"{self.method} {self.host.partition(':')[0]}{self.path}"


@dataclass(frozen=True)
class Answer:
    """What goes back: `body` is bytes, or JSON data, or None for no body."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def error(status: int, code: str, message: str, **below: Any) -> Answer:
    """An error as the resource manager words it; `below` are further parts of it."""
    body = {"code": code, "message": message, **below}
    return Answer(status, {"error": body}, {"x-ms-error-code": code})


def hidden(code: str, message: str) -> dict[str, Any]:
    """An error that says its cause as AzureML does: only below a general one."""
    inner = {"code": "BadArgument", "innerError": {"code": code, "innerError": None}}
    return {
        "code": "BadRequest",
        "message": "The request is invalid.",
        "details": [{"code": code, "message": message, "details": [], "additionalInfo": []}],
        "additionalInfo": [
            {"type": "ComponentName", "info": {"value": "managementfrontend"}},
            {"type": "Correlation", "info": {"value": {"operation": "5e0b", "request": "8e1f"}}},
            {"type": "Environment", "info": {"value": "westeurope"}},
            {"type": "InnerError", "info": {"value": inner}},
        ],
    }


def forbidden_by_policy(resource: str, policy: str, assignment: str) -> dict[str, Any]:
    """An error as the resource manager's policies word it, with status 403."""
    info = {
        "policyDefinitionDisplayName": policy,
        "policyAssignmentDisplayName": assignment,
        "policyAssignmentId": "/subscriptions/x/providers/Microsoft.Authorization/p/1",
    }
    said = f"Resource '{resource}' was disallowed by policy. Policy identifiers: '[...]'."
    more = [{"type": "PolicyViolation", "info": info}]
    return {"code": "RequestDisallowedByPolicy", "message": said, "additionalInfo": more}


def paged(call: Call, rows: list[dict[str, Any]], size: int) -> Answer:
    """One page of `rows`, with the address of the next."""
    start = int(call.query.get("$skiptoken", "0"))
    found: dict[str, Any] = {"value": rows[start : start + size]}
    if start + size < len(rows):
        query = urlencode({**call.query, "$skiptoken": str(start + size)})
        found["nextLink"] = f"https://{call.host}{call.path}?{query}"
    return Answer(200, found)


Handler = Callable[[Call, re.Match[str]], Answer]


@dataclass(frozen=True)
class Route:
    """`host` and `path` are regular expressions that must match whole, in any case; the first that
    does answers."""

    methods: str  # "GET PUT"
    path: str
    handler: Handler
    host: str = r"localhost(:\d+)?"

    def match(self, call: Call) -> re.Match[str] | None:
        if call.method not in self.methods.split() or not re.fullmatch(
            self.host, call.host, re.IGNORECASE
        ):
            return None
        return re.fullmatch(self.path, call.path, re.IGNORECASE)
