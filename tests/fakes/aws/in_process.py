"""The fake without sockets: botocore hands each request to the server's own code and gets its
answer, in the same process, with signing, retries and parsing as ever."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ConnectionClosedError

from tests.fakes.aws.faults import Dropped

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def attach(client: Any, application: Application) -> Any:
    """`client`, whose requests go to a WSGI application."""

    def send(request: Any, **_: Any) -> AWSResponse:
        said: list[Any] = []
        environ = _environ(request)
        try:
            chunks = application(environ, lambda *given: said.append(given))
        except (Dropped, ConnectionResetError) as e:
            raise ConnectionClosedError(endpoint_url=request.url) from e
        status, headers = said[0][0], HeadersDict([("Date", formatdate(usegmt=True)), *said[0][1]])
        return AWSResponse(request.url, int(status.split()[0]), headers, _Raw(b"".join(chunks)))

    client.meta.events.register("before-send", send)
    return client


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        while part := self.read(1 << 20):
            yield part


class NoSocket:
    """What a request's connection is here: nothing to shut down."""

    def shutdown(self, how: int) -> None:
        pass


def _environ(request: Any) -> dict[str, Any]:
    url, body = urlsplit(request.url), _bytes(request.body)
    path = unquote_to_bytes(url.path or "/").decode("latin-1")
    query = f"?{url.query}" if url.query else ""
    return {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": url.query,
        "RAW_URI": (url.path or "/") + query,
        "REQUEST_URI": (url.path or "/") + query,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": str(url.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": url.netloc,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "werkzeug.socket": NoSocket(),
        **_headers(request.headers),
        "CONTENT_LENGTH": str(len(body)),
    }


def _headers(headers: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode() if isinstance(value, bytes) else str(value)
        found[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = text
    found.pop("HTTP_TRANSFER_ENCODING", None)
    return found


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, (bytes, bytearray)) else bytes(body.read())
