"""Requests to an endpoint's own host. No redirect is followed, so that a key goes nowhere else, and
no error shows a key or a payload."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from onnxferry.infra.clients.connections import broken, trust
from onnxferry.infra.errors import InvokeFailed
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply, cpu_of
from onnxferry.system.exits import program


def post(url: str, request: Request, key: Mapping[str, str], timeout: float) -> httpx.Response:
    """POST one request with the headers `key`. Raises InvokeFailed after `timeout` seconds."""
    headers = {"Content-Type": request.content_type, "Accept": request.accept, **key}
    try:
        with httpx.Client(verify=trust(), timeout=timeout) as client:
            return client.post(url, content=request.body, headers=headers)
    except httpx.TimeoutException as e:
        raise InvokeFailed(
            f"{url}: no answer within {timeout:g} s. A cold start takes longest: try once more, or"
            f" look with {program('logs')}"
        ) from e
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise InvokeFailed(
            f"{url}: no connection: {broken(e)}. A private network can only be reached from within."
            f" Look with {program('status')}, then try again"
        ) from e


def reply_of(answer: httpx.Response, status: int, served_by: str) -> Reply:
    """`answer` as a Reply with `status`."""
    media_type, seconds = answer.headers.get("content-type", ""), answer.elapsed.total_seconds()
    return Reply(status, answer.content, media_type, seconds, served_by, cpu_of(answer.headers))
