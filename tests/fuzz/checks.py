"""What must hold of every answer, whatever was asked."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from onnxferry.scoring import errors
from onnxferry.scoring.codecs import CSV, JSONLINES, NPY
from onnxferry.scoring.wire import JSON, Request, Response

ECHO = 100  # characters of a request that a message may repeat
LONGEST = 1000  # characters of a message, of a header, of a log line
# the messages of a 500 that a request may cause: the model's own arithmetic
DOCUMENTED = ("holds NaN or infinity",)


def _codes(base: type[errors.ScoringError]) -> dict[str, int]:
    """code -> status of the tree of errors below `base`."""
    found = {base.code: base.status}
    for kind in base.__subclasses__():
        found |= _codes(kind)
    return found


CODES = _codes(errors.ScoringError)


def problem(request: Request, response: Response) -> str | None:
    """What is wrong with `response`, or None."""
    body = response.body
    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    for name, value in response.headers.items():
        if len(value) > LONGEST or not re.fullmatch(r"[ -~]*", value):
            return f"header {name} is not short printable ASCII"
    return (
        _answer(body, response.content_type)
        if response.status == 200
        else _error(request, response, body)
    )


def _answer(body: bytes, content_type: str) -> str | None:
    try:
        _READ[content_type](body)
    except KeyError:
        return f"answered as {content_type}, which this check does not know"
    except ValueError as e:
        return f"the answer is not {content_type}: {e}"
    return None


def _error(request: Request, response: Response, body: bytes) -> str | None:
    if response.content_type != JSON:
        return f"an error as {response.content_type}"
    data = json.loads(body)
    if set(data) != {"error"} or set(data["error"]) != {"code", "message"}:
        return "an error body that is not {error: {code, message}}"
    code, message = data["error"]["code"], data["error"]["message"]
    if CODES.get(code) != response.status:
        return f"status {response.status} with code {code}"
    if response.status == 500 and not any(text in message for text in DOCUMENTED):
        return f"500: {message[:200]}"
    return _message(request, message)


def _message(request: Request, message: str) -> str | None:
    if len(message) > LONGEST:
        return f"a message of {len(message)} characters"
    if found := re.search(r'Traceback|File "|\.py\b|0x[0-9a-f]{6}|<class|Error\(', message):
        return f"a message with '{found.group()}'"
    sent = _sent(request)
    for at in range(0, max(0, len(message) - ECHO), 5):
        if message[at : at + ECHO] in sent:
            return f"a message that repeats {ECHO} characters of the request: {message[:60]}..."
    return None


def _sent(request: Request) -> str:
    """The request's text, both as it was sent and, where it is JSON, with its escapes resolved."""
    body = request.body.decode("utf-8", "replace")
    with suppress(ValueError, RecursionError):
        body += json.dumps(json.loads(request.body), ensure_ascii=False)
    return "\n".join((body, request.content_type, request.accept, request.content_encoding))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} in JSON")


def _json(body: bytes) -> Any:
    return json.loads(body, parse_constant=_no_constant)


def _npy(body: bytes) -> Any:
    return np.load(io.BytesIO(body), allow_pickle=False)


def _csv(body: bytes) -> Any:
    return body.decode("utf-8")


def _jsonlines(body: bytes) -> Any:
    return [_json(line) for line in body.split(b"\n") if line]


_READ: dict[str, Callable[[bytes], Any]] = {
    JSON: _json,
    **dict.fromkeys(JSONLINES, _jsonlines),
    CSV: _csv,
    NPY: _npy,
}
