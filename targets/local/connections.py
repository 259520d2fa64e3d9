"""Connections that cannot exhaust the server: a bound on their number, on a request's head and on
the time to send each of its parts. uvicorn's own protocol bounds none of these."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from onnxferry.scoring.codecs import encode_json

HEAD_BYTES = 16_384
LAST_SECONDS = 0.1  # at the end, for a request that has come and is not read yet
TOO_LONG = ("too_large", f"the head of a request has at most {HEAD_BYTES} bytes")


def bounded(seconds: float, most: int) -> type[asyncio.Protocol]:
    """uvicorn's protocol for at most `most` connections, which have `seconds` for the head of a
    request, and again for its body."""
    return type("Bounded", (_Bounded,), {"_seconds": seconds, "_most": most})


class _Bounded(HttpToolsProtocol):
    _seconds: float
    _most: int
    _timer: asyncio.TimerHandle | None = None
    _head = 0  # bytes of a head that is not complete
    _in_head = True
    _begun = 0  # messages
    _large = False  # the latest data may hold a whole head that is too long

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self._most:
            self._refuse(503, "overloaded", f"{self._most} connections are open")
        else:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        before = self._begun
        self._large = self._head + len(data) > HEAD_BYTES
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        self._head = self._head + len(data) if self._begun <= before + 1 else 0
        if self._head > HEAD_BYTES:
            self._refuse(431, *TOO_LONG)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun += 1
        self._in_head = True
        self._head = 0
        self._start()

    def on_headers_complete(self) -> None:
        if self._large and self._length() > HEAD_BYTES:
            raise ValueError(TOO_LONG[1])  # the parser stops, and it is refused
        self._in_head = False
        self._start()  # again, for the body
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop()
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close once what has come is read and answered: to close over unread bytes would reset the
        connection, and the client could not know what became of its request."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _length(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def send_400_response(self, msg: str) -> None:
        if self._in_head and self._large and self._length() > HEAD_BYTES:
            self._refuse(431, *TOO_LONG)
        else:
            self._refuse(400, "invalid_http", msg)

    def _start(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self._seconds, self._slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _slow(self) -> None:
        """An answer may have been sent before all of the body came: then this only closes."""
        what = "head" if self._in_head else "body"
        self._refuse(408, f"slow_{what}", f"its {what} did not come within {self._seconds:g} s")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer, in the shape of every error, and close. Not into an answer that has begun."""
        self._stop()
        if not self.pipeline and (self.cycle is None or not self._answering()):
            body = encode_json({"error": {"code": code, "message": message}})
            self.transport.write(_head(status, body) + body)
        self.transport.close()

    def _answering(self) -> bool:
        """Whether an answer has begun, and no other is due."""
        ended = self.cycle.response_complete and self._in_head
        return bool(self.cycle.response_started and not ended)


def _head(status: int, body: bytes) -> bytes:
    fields: dict[str, Any] = {
        "content-type": "application/json",
        "content-length": len(body),
        "connection": "close",
    }
    if status == 503:
        fields["retry-after"] = 1
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return bytes(STATUS_LINE[status]) + lines.encode() + b"\r\n"
