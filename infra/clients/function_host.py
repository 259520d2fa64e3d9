"""A function app's own host over HTTP."""

from __future__ import annotations

import httpx

from onnxferry.infra.clients.azure_http import post, reply_of
from onnxferry.infra.clients.connections import broken, trust
from onnxferry.infra.clients.function_apps import Keys
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

_KEY = "x-functions-key"


def score_url(host: str) -> str:
    """The address of the function."""
    return f"https://{host}/api/score"


def send(
    host: str, keys: Keys, request: Request, timeout: float = 60.0, served_by: str = ""
) -> Reply:
    """POST one request to the function. Raises InvokeFailed after `timeout` seconds."""
    answer = post(score_url(host), request, {_KEY: keys.function}, timeout)
    return reply_of(answer, answer.status_code, served_by)


def host_state(host: str, keys: Keys) -> str:
    """The Functions host's state, "Running" when it is up, and its errors."""
    try:
        with httpx.Client(verify=trust(), timeout=30) as client:
            answer = client.get(f"https://{host}/admin/host/status", headers={_KEY: keys.master})
    except httpx.HTTPError as e:
        return f"no connection: {broken(e)}"
    if answer.status_code != httpx.codes.OK:
        return f"status {answer.status_code}"
    try:
        found = answer.json()
        return "; ".join([str(found["state"]), *map(str, found.get("errors") or ())])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "an answer that is not the host's"
