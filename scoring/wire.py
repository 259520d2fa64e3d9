"""What travels through scoring: a Request comes in, a Response goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

JSON = "application/json"

# The headers in which platforms and clients carry a request's id, the most specific first.
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


@dataclass(frozen=True)
class Request:
    """One request as a platform handed it over: the body's bytes, and what its headers say of them.

    `id` is the platform's or the client's id of the request, "" where there is none. `announced` is
    the body's size in bytes as its sender said it, for a host that refuses a body over the limit
    without having read it.
    """

    body: bytes
    content_type: str = JSON
    accept: str = JSON
    content_encoding: str = ""
    accept_encoding: str = ""
    id: str = ""
    announced: int = 0

    @staticmethod
    def of(body: bytes, headers: Mapping[str, str], announced: int = 0) -> Request:
        """A request from HTTP headers, whose names are taken in any case."""
        given = {name.lower(): value for name, value in headers.items()}
        return Request(
            body,
            given.get("content-type") or JSON,
            given.get("accept") or JSON,
            given.get("content-encoding", ""),
            given.get("accept-encoding", ""),
            next((given[name] for name in ID_HEADERS if given.get(name)), ""),
            announced,
        )


@dataclass(frozen=True)
class Response:
    """The answer to a Request. `status` is an HTTP status; every error has a JSON body. `headers`
    go to the client as far as a platform lets them through: X-Request-Id, Content-Encoding,
    Server-Timing."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
