"""Scoring routes without FastAPI's layers, which cost more than a small model's run.

FastAPI describes and checks routes; those that only take the request and give a response need none
of it when they are called.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute


class Direct:
    """An ASGI application before `app`: it calls the routes that answer POST by a function of
    (request), or of (request, name) for each of the models' `names`, itself. All else is the
    app's, and so is what answers errors."""

    def __init__(self, app: FastAPI, names: Iterable[str] = ()) -> None:
        self._app = app
        self._calls: dict[str, tuple[APIRoute, Mapping[str, str]]] = {}
        known = [*names]
        for route in app.routes:
            if isinstance(route, APIRoute) and route.methods == {"POST"}:
                for path, given in _paths(route, known):
                    self._calls.setdefault(path, (route, given))  # as in FastAPI the first answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """See ASGI."""
        found = self._calls.get(scope["path"])
        if found is None or scope["method"] not in (found[0].methods or ()):
            await self._app(scope, receive, send)
            return
        route, given = found
        scope["app"], scope["route"], scope["path_params"] = self._app, route, given
        request = Request(scope, receive, send)
        response = await self._answer(partial(route.endpoint, request, **given), request)
        await response(scope, receive, send)

    async def _answer(
        self, endpoint: Callable[[], Awaitable[Response]], request: Request
    ) -> Response:
        try:
            return await endpoint()
        except Exception as e:
            if (handler := _handler(self._app, e)) is None:
                raise
            response: Response = await handler(request, e)
            return response


def _paths(route: APIRoute, names: Iterable[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The paths that a route answers, each with what its function is given besides the request."""
    parameters = [*inspect.signature(route.endpoint).parameters]
    if parameters == ["request"] and "{" not in route.path:
        yield route.path, {}
    if parameters == ["request", "name"] and route.path.count("{") == 1:
        yield from ((route.path.replace("{name}", name), {"name": name}) for name in names)


def _handler(app: FastAPI, error: Exception) -> Any:
    """What the app answers an error by."""
    found = (app.exception_handlers.get(kind) for kind in type(error).__mro__)
    return next(filter(None, found), None)
