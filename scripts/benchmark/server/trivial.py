"""A server that does nothing: what the load generator can ask at most, and what it costs itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = b'[{"label": "none", "score": 1.0}]'
Message = dict[str, Any]


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """The same answer to each request, when its body is read (ASGI)."""
    while scope["type"] == "http" and (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})
