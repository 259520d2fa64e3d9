"""usage: functions_server.py APP_FOLDER PORT KEY

Runs inside the host's environment: Microsoft's library worker of Azure Functions behind HTTP on
127.0.0.1. It indexes function_app.py and turns each request into a call. In Azure it hangs on the
Functions host, by gRPC; here this program is the host: it hands over plain objects in place of
protobuf messages, and does as the host does by its sources:

- 404 for a path or a method that no trigger has, also HEAD for one that has GET alone
- 401 without KEY as x-functions-key or ?code=, where a trigger's level is not anonymous
- 429 for more than host.json's maxOutstandingRequests; maxConcurrentRequests of them run
- an empty 500 for a body of more than 100 MB and when a function raises
- no body where a request has no Content-Length; of the query no empty values, and those of one name
  joined by commas
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
import traceback
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIMIT = 230  # seconds; Azure's load balancer waits no longer for an answer
MOST_BYTES = 104_857_600  # of a body
PACKAGES = ".python_packages/lib/site-packages"


class ProtoMessage(SimpleNamespace):
    """In place of a protobuf message, made by keywords."""

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802
        """The field that is set (of several, the first given)."""
        return next((name for name, value in vars(self).items() if value is not None), None)


def message(name: str, **constants: Any) -> Any:
    """A class of messages with an enumeration's `constants`."""
    return type(name, (ProtoMessage,), constants)


_BINDING = {"in": 0, "out": 1, "inout": 2, "undefined": 0, "string": 1, "binary": 2, "stream": 3}
_SAME_SITE = message("SameSite", **{"None": 0, "Lax": 1, "Strict": 2})
_PLAIN = """
    TypedData RpcHttp RpcException RpcFunctionMetadata ParameterBinding WorkerMetadata
    WorkerInitResponse FunctionMetadataResponse FunctionLoadResponse InvocationResponse
    NullableString NullableBool NullableDouble NullableTimestamp
"""
# the message classes that the worker makes, as many as HTTP triggers need
PROTOS = SimpleNamespace(
    StatusResult=message("StatusResult", Failure=0, Success=1, Cancelled=2),
    BindingInfo=message("BindingInfo", **_BINDING),
    RpcHttpCookie=message("RpcHttpCookie", SameSite=_SAME_SITE),
    **{name: message(name) for name in _PLAIN.split()},
)


@dataclass(frozen=True)
class HttpTrigger:
    """A function's HTTP trigger: the name of its binding, the paths, methods and level that lead to
    it. `path` is a pattern whose groups are the route's parameters."""

    function_id: str
    binding: str
    path: re.Pattern[str]
    methods: frozenset[str]
    level: str

    @staticmethod
    def of(function: Any, binding: Mapping[str, Any], prefix: str) -> HttpTrigger:
        """By the JSON of a binding."""
        path = _pattern(f"{prefix}/{binding.get('route') or function.name}".strip("/"))
        methods = frozenset(map(str.upper, binding.get("methods") or ["GET", "POST"]))
        level = (binding.get("authLevel") or "function").lower()
        return HttpTrigger(function.function_id, binding["name"], path, methods, level)


def _pattern(route: str) -> re.Pattern[str]:
    """What matches a route like api/docs/{name}. Raises ValueError for one that is not plain."""
    parts = re.split(r"\{(\w+)\}", route)
    if "{" in "".join(parts[::2]):
        raise ValueError(f"the route {route!r} has more than names between braces")
    words = [f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts)]
    return re.compile("".join(words), re.IGNORECASE)


class Throttle:
    """At most `concurrent` requests at a time, and `outstanding` with those that wait; -1: any."""

    def __init__(self, concurrent: int, outstanding: int) -> None:
        self._free = threading.BoundedSemaphore(concurrent if concurrent > 0 else 1_000_000)
        self._most, self._held = outstanding, 0
        self._lock = threading.Lock()

    @contextmanager
    def admitted(self) -> Iterator[bool]:
        """Wait for a turn; False at once where too many wait."""
        with self._lock:
            full = 0 < self._most <= self._held
            self._held += not full
        if full:
            yield False
            return
        try:
            with self._free:
                yield True
        finally:
            with self._lock:
                self._held -= 1


class FunctionsWorker:
    """The library worker on an app's folder. Raises RuntimeError with what it says where the app
    cannot be indexed."""

    def __init__(self, app: Path) -> None:
        import azure_functions_runtime as runtime

        self._runtime = runtime
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        runtime.start_threadpool_executor()
        self._call("worker_init_request", capabilities={}, function_app_directory=str(app))
        found = self._call("functions_metadata_request", function_app_directory=str(app))
        http = json.loads((app / "host.json").read_text(encoding="utf-8"))["extensions"]["http"]
        limits = (
            http.get(name, -1) for name in ("maxConcurrentRequests", "maxOutstandingRequests")
        )
        self.throttle = Throttle(*limits)
        self.triggers: list[HttpTrigger] = []
        for function in found.function_metadata_results or []:
            name = function.function_id
            self._call("function_load_request", function_id=name, metadata=function)
            self.triggers += _triggers(function, http["routePrefix"])

    def trigger(self, method: str, path: str) -> tuple[HttpTrigger | None, dict[str, str]]:
        """The trigger that a request leads to, a literal path before one with parameters, and the
        route's parameters."""
        route = "/".join(map(urllib.parse.unquote, path.strip("/").split("/")))
        for trigger in sorted(self.triggers, key=lambda one: one.path.groups):
            found = trigger.path.fullmatch(route)
            if found and method in trigger.methods:
                return trigger, found.groupdict()
        return None, {}

    def invoke(self, trigger: HttpTrigger, http: ProtoMessage) -> Any:
        """What the function answers to one HTTP request. Raises RuntimeError when it raised."""
        parent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-00"
        answer = self._call(
            "invocation_request",
            invocation_id=str(uuid.uuid4()),
            function_id=trigger.function_id,
            # the field "data" first, for WhichOneof
            input_data=[ProtoMessage(data=PROTOS.TypedData(http=http), name=trigger.binding)],
            trigger_metadata={},
            trace_context=ProtoMessage(trace_parent=parent, trace_state="", attributes={}),
            retry_context=ProtoMessage(retry_count=0, max_retry_count=0, exception=None),
        )
        return answer.return_value.http

    def _call(self, name: str, **fields: Any) -> Any:
        body = ProtoMessage(**{name: ProtoMessage(**fields)})
        request = ProtoMessage(request=body, properties={"host": "127.0.0.1", "protos": PROTOS})
        coroutine = getattr(self._runtime, name)(request)
        response = asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LIMIT)
        if response.result.status != PROTOS.StatusResult.Success:
            error = response.result.exception
            raise RuntimeError(f"{error.message}\n{error.stack_trace}")
        return response


def _triggers(function: Any, prefix: str) -> Iterator[HttpTrigger]:
    for binding in map(json.loads, function.raw_bindings):
        if binding["type"].lower() == "httptrigger":
            yield HttpTrigger.of(function, binding, prefix)


class FunctionsHandler(BaseHTTPRequestHandler):
    """HTTP to invocation and back."""

    protocol_version = "HTTP/1.1"
    # head and body in one packet: in two, the client's delayed acknowledgement costs 40 ms
    wbufsize = -1
    disable_nagle_algorithm = True
    worker: FunctionsWorker
    key: str

    def answer(self) -> None:
        """Call the function that the path and the method lead to."""
        try:
            body = self._body()
        except ValueError:
            self.close_connection = True
            return self._reply(400)
        with self.worker.throttle.admitted() as admitted:
            if not admitted:
                return self._reply(429, {"x-function-scaleout": "1"})
            return self._reply(*self._answer(body))

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer  # noqa: N815

    def _body(self) -> bytes | None:
        """The body, without one that came in chunks; None for one that is too large, which is left
        where it is. Raises ValueError for what is no length."""
        if "transfer-encoding" in self.headers:
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self.rfile.read(size + 2)
            while self.rfile.readline().strip():
                pass
            return b""
        length = int(self.headers.get("content-length") or 0)
        if length < 0:
            raise ValueError("no length of a body")
        if length > MOST_BYTES:
            self.close_connection = True
            return None
        return self.rfile.read(length)

    def _answer(self, body: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/":
            return 200, {"content-type": "text/plain"}, b"The app is up and running"
        query = _joined(urllib.parse.parse_qsl(url.query))
        trigger, parameters = self.worker.trigger(self.command, url.path)
        if not trigger:
            return 404, {}, b""
        if trigger.level != "anonymous" and self._sent_key(query) != self.key:
            return 401, {}, b""
        try:
            if body is None:
                raise ValueError(f"the body has more than {MOST_BYTES} bytes")
            http = self.worker.invoke(trigger, self._request(query, parameters, body))
        except Exception:
            traceback.print_exc()
            return 500, {}, b""
        return int(http.status_code), http.headers, http.body.bytes

    def _sent_key(self, query: Mapping[str, str]) -> str | None:
        return self.headers.get("x-functions-key", query.get("code"))

    def _request(
        self, query: Mapping[str, str], parameters: Mapping[str, str], body: bytes
    ) -> ProtoMessage:
        return ProtoMessage(
            method=self.command,
            url=f"http://{self.headers.get('host', '127.0.0.1')}{self.path}",
            headers=_joined((name.lower(), value) for name, value in self.headers.items()),
            query=query,
            params=parameters,
            body=PROTOS.TypedData(bytes=body) if body else PROTOS.TypedData(),
        )

    def _reply(self, status: int, headers: Mapping[str, str] = {}, body: bytes = b"") -> None:
        self.send_response(status)
        kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        for name, value in {**kept, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def serve(app: Path, port: int, key: str) -> None:
    """Index the app, then listen: whoever gets an answer knows that the functions are loaded."""
    # the order of the platform: the app's packages, the worker, the app
    sys.path.insert(0, str(app / PACKAGES))
    sys.path.append(str(app))
    os.chdir(app)
    try:
        FunctionsHandler.worker, FunctionsHandler.key = FunctionsWorker(app), key
    except (RuntimeError, ValueError) as e:
        sys.exit(f"{app / 'function_app.py'}: it cannot be indexed: {e}")
    triggers = FunctionsHandler.worker.triggers
    if not triggers:
        sys.exit(f"{app / 'function_app.py'}: no function with an HTTP trigger was found")
    print("routes:", *(trigger.path.pattern for trigger in triggers), flush=True)
    server = ThreadingHTTPServer(("127.0.0.1", port), FunctionsHandler)
    server.serve_forever()


if __name__ == "__main__":
    del sys.path[0]  # this file's folder, which is no part of the platform
    serve(Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3])
