"""The end of a connection: what has come is answered before it is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from onnxferry.targets.local.connections import bounded


class Wire(asyncio.Transport):
    """A client's side: what it was sent, and whether the connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def ended(*after: bytes) -> bytes:
    """What a client reads that has `after` on its way when the server is told to end."""
    config, wire = uvicorn.Config(answering, log_config=None, lifespan="off"), Wire()
    config.load()
    made: Any = bounded(5, 10)
    protocol = made(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    protocol.shutdown()
    for data in after:
        protocol.data_received(data)
    await asyncio.wait_for(wire.closed.wait(), 30)
    return wire.sent


def test_a_request_that_had_come_is_answered_before_the_connection_is_closed() -> None:
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert asyncio.run(ended(head)).startswith(b"HTTP/1.1 204")


def test_a_connection_without_a_request_is_closed_without_an_answer() -> None:
    assert asyncio.run(ended()) == b""
