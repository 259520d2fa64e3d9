"""One GET to an address that was checked: the only place that imports urllib3, when a URL comes.

TLS names and checks the host by its name. Nothing of the environment is used: no proxy, no .netrc,
no cookies.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from onnxferry.scoring.codecs import IMAGES
from onnxferry.scoring.errors import FetchFailed, InternalError, InvalidImage, TooLarge
from onnxferry.scoring.urls.location import Location

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

THREAD = "onnxferry-fetch"  # the name of the threads that use this
REDIRECTS = (301, 302, 303, 307, 308)
# object stores serve what was stored without a type as octets; the bytes tell the format
_TYPES = (*IMAGES, "binary/octet-stream")
_CHUNK = 65_536


class Unreachable(FetchFailed):
    """No connection: another address may do."""


@dataclass(frozen=True)
class Answer:
    """A picture's bytes, or where a redirect leads."""

    body: bytes = b""
    redirect: str | None = None


class Connection:
    """To `address`, for the host of `at`. `cut` ends what lasts too long."""

    def __init__(self, at: Location, address: str, context: ssl.SSLContext) -> None:
        tls = {"ssl_context": context, "server_hostname": at.host} if at.scheme == "https" else {}
        self._connection = _library()[at.scheme](address, at.port, **tls)
        self._at, self._ended = at, False
        self._socket: socket.socket | None = None

    def open(self, seconds: float) -> None:
        """No wait within is longer than `seconds`. Raises Unreachable, or FetchFailed for a host
        that does not prove its name."""
        self._connection.timeout = seconds
        try:
            self._connection.connect()
        except ssl.SSLCertVerificationError as e:
            raise FetchFailed("the host has no valid certificate for its name") from e
        except _failures() as e:  # whatever it was, a client learns no more
            raise Unreachable("the host did not answer") from e
        self._socket = self._connection.sock
        if self._ended:
            self.cut()

    def cut(self) -> None:
        """From another thread: reads and writes end with an error."""
        self._ended = True
        if self._socket:
            with suppress(OSError):  # past TLS, whose own shutdown is for the thread that reads
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Once nothing reads from it."""
        self._connection.close()

    def get(self, most: int, seconds: float) -> Answer:
        """The answer, if its body has at most `most` bytes. No wait within is longer than
        `seconds`. Raises FetchFailed, TooLarge or InvalidImage."""
        self._connection.timeout = seconds
        headers = {
            "Host": self._at.netloc,
            "User-Agent": "onnxferry",
            "Accept": "image/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        as_it_comes = {"preload_content": False, "decode_content": False}
        try:
            self._connection.request("GET", self._at.target, headers=headers, **as_it_comes)
            with self._connection.getresponse() as response:
                return _read(response, most)
        except _failures() as e:
            raise FetchFailed("the host's answer broke off, or is no HTTP") from e


def _read(response: BaseHTTPResponse, most: int) -> Answer:
    headers = response.headers
    if response.status in REDIRECTS and "Location" in headers:
        return Answer(redirect=headers["Location"])
    if response.status != 200:
        raise FetchFailed(f"the host answered with status {response.status}")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchFailed("the host sent it compressed, which it was not asked to")
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() not in _TYPES:
        raise InvalidImage(f"its content type is none of {', '.join(_TYPES)}")
    length = headers.get("Content-Length", "").strip()
    if re.fullmatch("[0-9]+", length) and int(length[:18]) > most:
        raise _too_large()
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > most:
            raise _too_large()
    return Answer(bytes(body))


def _too_large() -> TooLarge:
    return TooLarge("it has more bytes than are fetched for one request")


def _failures() -> tuple[type[Exception], ...]:
    from urllib3.exceptions import HTTPError

    return HTTPError, HTTPException, OSError, ValueError


def _library() -> dict[str, Any]:
    """The classes of connections by scheme. Raises InternalError where urllib3 is too old."""
    import urllib3
    from urllib3 import connection

    if not hasattr(urllib3, "BaseHTTPResponse"):
        raise InternalError("pictures by URL need urllib3>=2.2, and this host has an older one")
    # it warns of odd answers with the URL, whose query may hold secrets
    logging.getLogger(connection.__name__).addFilter(_not_ours)
    return {"http": connection.HTTPConnection, "https": connection.HTTPSConnection}


def _not_ours(record: logging.LogRecord) -> bool:
    return record.threadName != THREAD
