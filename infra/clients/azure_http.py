"""Requests to an endpoint's own host. No redirect is followed, so that a key goes nowhere else, and
no error shows a key or a payload."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping

import httpx

from onnxferry.infra.errors import InvokeFailed
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply, cpu_of
from onnxferry.system.exits import program


def trust(variables: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """The certificates to trust: REQUESTS_CA_BUNDLE where it is set, as the SDKs do."""
    return ssl.create_default_context(cafile=variables.get("REQUESTS_CA_BUNDLE") or None)


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
            f"{url}: no connection ({type(e).__name__}). A private network can only be reached from"
            f" within. Look with {program('status')}, then try again"
        ) from e


def reply_of(answer: httpx.Response, status: int, served_by: str) -> Reply:
    """`answer` as a Reply with `status`."""
    media_type, seconds = answer.headers.get("content-type", ""), answer.elapsed.total_seconds()
    return Reply(status, answer.content, media_type, seconds, served_by, cpu_of(answer.headers))
