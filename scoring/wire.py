"""What travels through scoring: a Request comes in, a Response goes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = "application/json"
CPU_HEADER = "X-Cpu-Kind"  # of an answer: the kind of the host's CPU

# of the Open Inference Protocol: the bytes of JSON in a body with binary tensors
HEAD_HEADER = "Inference-Header-Content-Length"

# the headers that carry a request's id, the most specific first
ID_HEADERS = (
    "x-request-id",
    "x-ms-client-request-id",
    "x-ms-request-id",
    "x-amzn-sagemaker-inference-id",
    "x-amzn-requestid",
    "request-id",
    "x-amzn-sagemaker-custom-attributes",
    "traceparent",
)

# the W3C's header by which a request tells its trace, all zeros being no id
TRACEPARENT = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})"
    "-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})"
)


@dataclass(frozen=True)
class Request:
    """One request as a platform hands it over. `id` may be "". `content_length`: the body's bytes
    by its headers, for a host that does not read a body over the limit. `head_length`: the bytes of
    JSON before binary tensors in the body (None: all; -1: the header is no number). `trace`: the id
    of the distributed trace that it is part of, or "". `query`: the parameters of its URL, decoded,
    for forms that read them."""

    body: bytes
    content_type: str = JSON
    accept: str = JSON
    content_encoding: str = ""
    accept_encoding: str = ""
    id: str = ""
    content_length: int = 0
    head_length: int | None = None
    trace: str = ""
    query: Mapping[str, str] = field(default_factory=dict, hash=False)

    @staticmethod
    def of(
        body: bytes,
        headers: Mapping[str, str],
        content_length: int = 0,
        query: Mapping[str, str] | None = None,
    ) -> Request:
        """A request from HTTP headers, whose names are taken in any case."""
        lower = {name.lower(): value for name, value in headers.items()}
        types = lower.get("content-type") or JSON, lower.get("accept") or JSON
        codings = lower.get("content-encoding", ""), lower.get("accept-encoding", "")
        id_ = next((lower[name] for name in ID_HEADERS if lower.get(name)), "")
        head = _length(lower.get(HEAD_HEADER.lower()))
        found = TRACEPARENT.fullmatch(lower.get("traceparent", ""))
        trace = found["trace"] if found else ""
        return Request(body, *types, *codings, id_, content_length, head, trace, {**(query or {})})


def _length(value: str | None) -> int | None:
    if value is None:
        return None
    digits = value.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else -1


@dataclass(frozen=True)
class Response:
    """The answer to a Request, with an HTTP status. `headers` go to the client as far as a platform
    lets them."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
