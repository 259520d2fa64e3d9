"""How `invoke` asks: at once, or by reference, where an endpoint answers later into storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from onnxferry.infra.requests import request_of
from onnxferry.scoring.wire import JSON, Request
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from onnxferry.infra.cloud import AsyncEndpoint, OnlineEndpoint
    from onnxferry.scripts.golden_check import Reply

_AT_ONCE, _QUEUED = 60.0, 900.0  # seconds
_LONGEST_AT_ONCE = 230.0  # no platform answers later
Given = Mapping[str, "str | None"]


def sending(
    given: Given, timeout: float | None, *, queued: bool
) -> Callable[[OnlineEndpoint, str], Reply]:
    """What sends the request that is `given` (source, text, content_type, accept) to an endpoint of
    a target. Raises UsageError where that is no request."""
    source = given["source"] or ""
    if queued:
        return _queued(given, source, timeout or _QUEUED)
    if source.startswith("s3://"):
        raise UsageError(f"--input {source}: a request is sent by reference with --async only")
    if timeout and timeout > _LONGEST_AT_ONCE:
        most = f"{_LONGEST_AT_ONCE:g} s; got {timeout:g}"
        raise UsageError(f"--timeout without --async is at most {most}")
    request = _request(given)
    return lambda endpoint, target: endpoint.invoke(request, timeout or _AT_ONCE)


def _queued(given: Given, source: str, timeout: float) -> Callable[[OnlineEndpoint, str], Reply]:
    if not source.startswith("s3://"):
        request, source = _request(given), ""
    elif given["text"] is not None:
        raise UsageError("give one of them: --input s3://BUCKET/KEY or --text TEXT")
    else:
        request = Request(b"", given["content_type"] or JSON, given["accept"] or JSON)

    def ask(endpoint: OnlineEndpoint, target: str) -> Reply:
        return _asynchronous(endpoint, target).invoke_async(request, timeout, source)

    return ask


def _asynchronous(endpoint: OnlineEndpoint, target: str) -> AsyncEndpoint:
    if not hasattr(endpoint, "invoke_async"):
        raise UsageError(f"--async: {target} has no endpoints that answer later; leave it out")
    return cast("AsyncEndpoint", endpoint)


def _request(given: Given) -> Request:
    path = Path(given["source"]) if given["source"] else None
    return request_of(path, given["text"], given["content_type"], given["accept"] or JSON)
