"""A function app's own host over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from onnxferry.infra.clients.azure_http import post, reply_of
from onnxferry.infra.clients.connections import broken, trust
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply

KEY = "x-functions-key"  # the header that shows a key
SCORE = "/api/score"
_SECONDS = 30


def score_url(host: str) -> str:
    """The address of the function."""
    return f"https://{host}{SCORE}"


def send(
    host: str,
    shown: Mapping[str, str],
    request: Request,
    timeout: float = 60.0,
    served_by: str = "",
) -> Reply:
    """POST one request to the function, with the headers `shown` by which the caller is let in.
    Raises InvokeFailed after `timeout` seconds."""
    answer = post(score_url(host), request, shown, timeout)
    return reply_of(answer, answer.status_code, served_by)


def stranger(host: str, path: str, method: str = "GET") -> int:
    """The status that somebody gets who shows nothing and sends nothing; 0 without a connection."""
    try:
        return _ask(host, path, {}, method).status_code
    except httpx.HTTPError:
        return 0


def host_state(host: str, shown: Mapping[str, str]) -> str:
    """The Functions host's state, "Running" when it is up, and its errors; `shown` are headers with
    the master key."""
    try:
        answer = _ask(host, "/admin/host/status", shown)
    except httpx.HTTPError as e:
        return f"no connection: {broken(e)}"
    if answer.status_code != httpx.codes.OK:
        return f"status {answer.status_code}"
    try:
        found = answer.json()
        return "; ".join([str(found["state"]), *map(str, found.get("errors") or ())])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "an answer that is not the host's"


def _ask(host: str, path: str, shown: Mapping[str, str], method: str = "GET") -> httpx.Response:
    with httpx.Client(verify=trust(), timeout=_SECONDS) as client:
        return client.request(method, f"https://{host}{path}", headers=dict(shown))
