"""The app's own host over HTTP: send a request with the function key, and ask how the host is. No
redirect is followed, so that a key goes nowhere else, and no error shows a key or a payload.
"""

from __future__ import annotations

import time

import httpx

from onnxferry.infra.clients.azure import trust
from onnxferry.infra.clients.web import Keys
from onnxferry.infra.errors import InvokeFailed
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.golden_check import Reply

_KEY = "x-functions-key"


def send(
    host: str, keys: Keys, request: Request, timeout: float = 60.0, served_by: str = ""
) -> Reply:
    """POST one request to the function. Any status is a Reply; InvokeFailed where none comes in
    `timeout` seconds."""
    url = f"https://{host}/api/score"
    headers = {"Content-Type": request.content_type, "Accept": request.accept, _KEY: keys.function}
    began = time.perf_counter()
    try:
        with httpx.Client(verify=trust(), timeout=timeout) as client:
            answer = client.post(url, content=request.body, headers=headers)
    except httpx.TimeoutException as e:
        raise InvokeFailed(
            f"{url}: no answer within {timeout:g} s; a cold start takes longest, so try once more"
        ) from e
    except httpx.HTTPError as e:
        raise InvokeFailed(
            f"{url}: no connection ({type(e).__name__}); look with deploy.py status, then try again"
        ) from e
    seconds = time.perf_counter() - began
    return Reply(
        answer.status_code,
        answer.content,
        answer.headers.get("content-type", ""),
        seconds,
        served_by,
    )


def host_state(host: str, keys: Keys) -> str:
    """What the Functions host says of itself: "Running", or its state and its errors."""
    try:
        with httpx.Client(verify=trust(), timeout=30) as client:
            answer = client.get(f"https://{host}/admin/host/status", headers={_KEY: keys.master})
    except httpx.HTTPError as e:
        return f"no connection ({type(e).__name__})"
    if answer.status_code != httpx.codes.OK:
        return f"status {answer.status_code}"
    try:
        found = answer.json()
        return "; ".join([str(found["state"]), *map(str, found.get("errors") or ())])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "an answer that is not the host's"
