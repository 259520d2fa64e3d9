"""Requests to an endpoint's own host over HTTP. No redirect is followed, so that a key goes nowhere
else, and no error shows a key or a payload."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Mapping

import httpx

from onnxferry.infra.errors import InvokeFailed
from onnxferry.scoring.wire import Request
from onnxferry.system.exits import program


def trust(variables: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """The certificates to trust: REQUESTS_CA_BUNDLE where it is set, as the SDKs do."""
    return ssl.create_default_context(cafile=variables.get("REQUESTS_CA_BUNDLE") or None)


def post(
    url: str, request: Request, key: Mapping[str, str], timeout: float
) -> tuple[httpx.Response, float]:
    """POST one request with the headers `key`; the answer and the seconds that it took. Raises
    InvokeFailed where none comes within `timeout` seconds."""
    headers = {"Content-Type": request.content_type, "Accept": request.accept, **key}
    began = time.perf_counter()
    try:
        with httpx.Client(verify=trust(), timeout=timeout) as client:
            answer = client.post(url, content=request.body, headers=headers)
    except httpx.TimeoutException as e:
        raise InvokeFailed(
            f"{url}: no answer within {timeout:g} s. A cold start takes longest, so try once more;"
            f" else look with {program('logs')}"
        ) from e
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise InvokeFailed(
            f"{url}: no connection ({type(e).__name__}). What is in a private network can only be"
            f" reached from within it. Look with {program('status')}, then try again"
        ) from e
    return answer, time.perf_counter() - began
