"""The fake without sockets: what requests and httpx send to its hosts is answered in this process.

It is for tests of very many flows. A process of its own, a thread of a server and curl need the
fake's port, which goes on answering.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3._collections import HTTPHeaderDict
from werkzeug.test import run_wsgi_app

from tests.fakes.azure.fake import AzureFake

Answered = tuple[int, str, list[tuple[str, str]], bytes]


@contextmanager
def in_process(azure: AzureFake) -> Iterator[None]:
    """Nothing that this process sends to the fake passes a socket. A connection that the fake drops
    is a broken one for the client, too."""
    of_requests, of_httpx = HTTPAdapter.send, httpx.HTTPTransport.handle_request

    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if not _is_of(azure, request.url):
            return of_requests(self, request, *args, **kwargs)
        try:
            found = _asked(azure, request.method, request.url, request.headers, _body(request.body))
        except ConnectionResetError as e:
            raise requests.exceptions.ConnectionError(e, request=request) from e
        status, reason, headers, body = found
        raw = HTTPResponse(
            io.BytesIO(body),
            HTTPHeaderDict(headers),
            status,
            reason=reason,
            preload_content=False,
            request_method=request.method,
        )
        return self.build_response(request, raw)  # type: ignore[no-any-return]

    def handle(self: Any, request: httpx.Request) -> httpx.Response:
        if not _is_of(azure, str(request.url)):
            return of_httpx(self, request)
        try:
            found = _asked(azure, request.method, str(request.url), request.headers, request.read())
        except ConnectionResetError as e:
            raise httpx.ReadError(str(e), request=request) from e
        status, _, headers, body = found
        return httpx.Response(
            status, headers=headers, stream=httpx.ByteStream(body), request=request
        )

    HTTPAdapter.send = send
    httpx.HTTPTransport.handle_request = handle  # type: ignore[method-assign]
    try:
        yield
    finally:
        HTTPAdapter.send = of_requests
        httpx.HTTPTransport.handle_request = of_httpx  # type: ignore[method-assign]


class _NoSocket:
    def shutdown(self, how: int) -> None:
        pass


def _is_of(azure: AzureFake, url: str) -> bool:
    return urlsplit(url).port == azure.port


def _asked(
    azure: AzureFake, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Answered:
    """What the fake answers. Raises ConnectionResetError."""
    where = urlsplit(url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": requests.utils.unquote(where.path).encode().decode("latin-1"),
        "QUERY_STRING": where.query,
        "SERVER_NAME": where.hostname,
        "SERVER_PORT": str(where.port),
        "HTTP_HOST": where.netloc,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "https",
        "werkzeug.socket": _NoSocket(),
    }
    for key, value in headers.items():
        name = key.upper().replace("-", "_")
        environ.setdefault(name if name == "CONTENT_TYPE" else f"HTTP_{name}", _text(value))
    environ.pop("HTTP_CONTENT_LENGTH", None)
    content, status, answered = run_wsgi_app(azure._application, environ)
    code, _, reason = status.partition(" ")
    body = b"" if method == "HEAD" else b"".join(content)
    return int(code), reason, list(answered.items()), body


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(body: Any) -> bytes:
    if hasattr(body, "read"):
        with suppress(AttributeError, OSError):
            body.seek(0)
        return bytes(body.read())
    return body.encode() if isinstance(body, str) else bytes(body or b"")
