"""The fake without sockets: what this process sends to its hosts is answered in this process, which
takes a twentieth of the time.

Everything above the connection is the SDKs' own. A death in the middle is an exception that nothing
catches; what only a real process shows (TLS, a kill) is for tests that use the port.
"""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.faults import Dropped
from tests.fakes.azure.http import Answer, Call


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


@contextmanager
def in_process(fake: AzureFake) -> Iterator[None]:
    """Requests of `requests` and httpx to the fake's port take no socket."""
    by_requests, by_httpx = HTTPAdapter.send, httpx.HTTPTransport.handle_request

    def send(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> Any:
        if urlsplit(str(request.url)).port != fake.port:
            return by_requests(adapter, request, **options)
        if fake.blobs.is_absent(urlsplit(str(request.url)).netloc):
            unknown = socket.gaierror(-2, "Name or service not known")
            raise requests.exceptions.ConnectionError(unknown)
        body, headers = _bytes(request.body), dict(request.headers)
        try:
            answer = _handled(fake, str(request.method), str(request.url), headers, body)
        except Dropped as e:
            kind = (
                requests.exceptions.ReadTimeout
                if e.seconds
                else requests.exceptions.ConnectionError
            )
            raise kind("the connection was dropped") from e
        data = b"" if request.method == "HEAD" else answer[1]
        options = {"preload_content": False, "decode_content": False}
        options |= {"request_method": request.method}
        raw = HTTPResponse(io.BytesIO(data), answer[2], answer[0], **options)
        return adapter.build_response(request, raw)

    def handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.port != fake.port:
            return by_httpx(transport, request)
        try:
            answer = _handled(
                fake, request.method, str(request.url), dict(request.headers), request.read()
            )
        except Dropped as e:
            kind = httpx.ReadTimeout if e.seconds else httpx.RemoteProtocolError
            raise kind("the connection was dropped") from e
        return httpx.Response(answer[0], stream=httpx.ByteStream(answer[1]), headers=answer[2])

    with _replaced((HTTPAdapter, "send", send), (httpx.HTTPTransport, "handle_request", handle)):
        yield


@contextmanager
def _replaced(*replacements: tuple[Any, str, Callable[..., Any]]) -> Iterator[None]:
    real = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, own in replacements:
        setattr(owner, name, own)
    try:
        yield
    finally:
        for owner, name, before in real:
            setattr(owner, name, before)


def _handled(
    fake: AzureFake, method: str, url: str, headers: Mapping[str, Any], body: bytes
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of the answer. Raises Dropped and Killed."""
    parts = urlsplit(url)
    sent = {key.lower(): _text(value) for key, value in headers.items()}
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    call = Call(fake.number(), method, parts.netloc, unquote(parts.path), query, sent, body)
    deaths = fake.faults.deaths
    if {call.number, call.number - 1} <= deaths:
        raise Killed  # who is dead sends nothing more
    try:
        answer = fake.handle(call)
    finally:
        if call.number in deaths:
            raise Killed
    return answer.status, *_sent(answer, fake.clock.date())


def _sent(answer: Answer, date: str) -> tuple[bytes, dict[str, str]]:
    own = {"Date": date, "Content-Type": "application/json"}
    if isinstance(answer.body, bytes):
        body = answer.body
    else:
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
    return body, {**own, **answer.headers, "Content-Length": str(len(body))}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes:
    """The bytes of a body: text, a file, or parts."""
    if body is None or isinstance(body, bytes):
        return body or b""
    if isinstance(body, str):
        return body.encode()
    if hasattr(body, "read"):
        return bytes(body.read())
    return b"".join(body)
