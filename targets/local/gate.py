"""What stands before the application: the server listens before its models are loaded, and tells
health checks when to send requests; then API keys."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from onnxferry.targets.local import forms
from onnxferry.targets.local.exchange import refused
from onnxferry.targets.local.keys import Keys
from onnxferry.targets.local.refusals import NotReady, Refusal, Unauthorized

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Any]

OWN = {"/livez": "live", "/readyz": "ready"}  # answered here, and what they say
LIVE = frozenset({"/livez", "/v2/health/live"})  # 200 as long as the process runs
READY = frozenset({"/ping", "/health", "/readyz", "/v2/health", "/v2/health/ready"})
METRICS = frozenset({"/metrics"})
PAGE = ("/playground/",)  # files without data, and "/", which shows them
RETRY_SECONDS = 1


class State(enum.Enum):
    LOADING = "the models are being loaded"
    READY = "ready"
    DRAINING = "the server ends"


class Gate:
    """An ASGI application before another, which is there once the models are loaded. `health`:
    further paths that tell whether the server is ready."""

    def __init__(self, keys: Keys, open_paths: frozenset[str] = LIVE | READY) -> None:
        self.state = State.LOADING
        self.application: Application | None = None
        self.health = set(READY)
        self._keys, self._open = keys, open_paths

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """See ASGI."""
        refusal = self._refusal(scope)
        if refusal:
            await refused(refusal, forms.of_path(scope["path"]))(scope, receive, send)
        elif self.application is None or scope["path"] in OWN:
            await _alive(scope, receive, send)
        else:
            await self.application(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        path = scope["path"]
        if self.state is not State.READY and path not in LIVE:
            health = path in self.health or path.endswith("/ready")
            if self.application is None or health:
                wait = {"Retry-After": str(RETRY_SECONDS)}
                return NotReady(f"{self.state.value}; try again in {RETRY_SECONDS} s", wait)
        if not self._keys or self._free(scope, path) or self._keys.admit(dict(scope["headers"])):
            return None
        told = "this server needs an API key: Authorization: Bearer KEY, or x-api-key: KEY"
        return Unauthorized(told, {"WWW-Authenticate": "Bearer"})

    def _free(self, scope: Scope, path: str) -> bool:
        """Whether the path needs no key: CORS asks without one."""
        asked = scope["method"] == "OPTIONS"
        return asked or path in self._open or path == "/" or path.startswith(PAGE)


async def _alive(scope: Scope, receive: Any, send: Any) -> None:
    from starlette.responses import JSONResponse

    told = OWN.get(scope["path"], "live")
    await JSONResponse({told: True})(scope, receive, send)
