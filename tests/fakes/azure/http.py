"""Requests and answers of the fake, and the table of routes that leads from the one to the
other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


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


def error(status: int, code: str, message: str) -> Answer:
    """An error as the resource manager words it."""
    return Answer(status, {"error": {"code": code, "message": message}}, {"x-ms-error-code": code})


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
