"""Runs inside the host's environment: the library worker of Azure Functions behind HTTP on
127.0.0.1.

usage: functions_server.py APP_FOLDER PORT

The worker is Microsoft's (azure-functions-runtime): it indexes function_app.py and turns each
request into a call. In Azure it hangs on the Functions host, by gRPC; here this program is the
host. It hands over plain objects in place of protobuf messages, routes by the triggers' bindings
(plain paths, no parameters) and host.json's prefix, and answers as the host does: 404, 405, and an
empty 500 when a function raises. Keys, limits and time-outs are the real host's and are not
rehearsed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import traceback
import urllib.parse
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LIMIT = 230  # seconds; Azure's load balancer waits no longer for an answer
PACKAGES = ".python_packages/lib/site-packages"


class ProtoMessage(SimpleNamespace):
    """In place of a protobuf message: fields by keyword, and which of a group's alternatives is
    set."""

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802
        """The field of `group` that is set."""
        if group == "rpc_data":
            return "data"
        return next((name for name, value in vars(self).items() if value is not None), None)


def message(name: str, **constants: Any) -> Any:
    """A class of messages with an enumeration's `constants`."""
    return type(name, (ProtoMessage,), constants)


_DIRECTIONS = {"in": 0, "out": 1, "inout": 2}
_DATA_TYPES = {"undefined": 0, "string": 1, "binary": 2, "stream": 3}
_SAME_SITE = message("SameSite", **{"None": 0, "Lax": 1, "Strict": 2})
_PLAIN = """
    TypedData RpcHttp RpcException RpcFunctionMetadata ParameterBinding WorkerMetadata
    WorkerInitResponse FunctionMetadataResponse FunctionLoadResponse InvocationResponse
    NullableString NullableBool NullableDouble NullableTimestamp
"""
# the message classes that the worker makes, as many as HTTP triggers need
PROTOS = SimpleNamespace(
    StatusResult=message("StatusResult", Failure=0, Success=1, Cancelled=2),
    BindingInfo=message("BindingInfo", **_DIRECTIONS, **_DATA_TYPES),
    RpcHttpCookie=message("RpcHttpCookie", SameSite=_SAME_SITE),
    **{name: message(name) for name in _PLAIN.split()},
)


class FunctionsWorker:
    """The library worker: start it on an app's folder, then invoke the app's functions."""

    def __init__(self, app: Path) -> None:
        import azure_functions_runtime as runtime

        self._runtime = runtime
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        runtime.start_threadpool_executor()
        folder = str(app)
        self._call("worker_init_request", capabilities={}, function_app_directory=folder)
        found = self._call("functions_metadata_request", function_app_directory=folder)
        self.functions = found.function_metadata_results or []
        for function in self.functions:
            self._call("function_load_request", function_id=function.function_id, metadata=function)

    def invoke(self, trigger: HttpTrigger, http: ProtoMessage) -> Any:
        """The value that the function returned for one HTTP request. Raises RuntimeError when it
        raised."""
        parent = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-00"
        answer = self._call(
            "invocation_request",
            invocation_id=str(uuid.uuid4()),
            function_id=trigger.function.function_id,
            input_data=[ProtoMessage(name=trigger.binding, data=PROTOS.TypedData(http=http))],
            trigger_metadata={},
            trace_context=ProtoMessage(trace_parent=parent, trace_state="", attributes={}),
            retry_context=ProtoMessage(retry_count=0, max_retry_count=0, exception=None),
        )
        return answer.return_value

    def _call(self, name: str, **fields: Any) -> Any:
        body = ProtoMessage(**{name: ProtoMessage(**fields)})
        request = ProtoMessage(request=body, properties={"host": "127.0.0.1", "protos": PROTOS})
        coroutine = getattr(self._runtime, name)(request)
        response = asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LIMIT)
        if response.result.status != PROTOS.StatusResult.Success:
            error = response.result.exception
            raise RuntimeError(f"{error.message}\n{error.stack_trace}")
        return response


@dataclass(frozen=True)
class HttpTrigger:
    """A function, the name of its HTTP binding, and the methods that lead to it."""

    function: Any
    binding: str
    methods: frozenset[str]


def triggers(worker: FunctionsWorker, app: Path) -> dict[str, HttpTrigger]:
    """The HTTP triggers of the app by path in lower case, below host.json's prefix."""
    settings = json.loads((app / "host.json").read_text(encoding="utf-8"))
    prefix = settings.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    found = {}
    for function in worker.functions:
        for binding in map(json.loads, function.raw_bindings):
            if binding.get("type", "").lower() == "httptrigger":
                route = (binding.get("route") or function.name).strip("/")
                methods = frozenset(map(str.upper, binding.get("methods") or ["GET", "POST"]))
                path = "/".join(("", *filter(None, (prefix, route))))
                found[path.lower()] = HttpTrigger(function, binding["name"], methods)
    return found


class FunctionsHandler(BaseHTTPRequestHandler):
    """HTTP to invocation and back."""

    protocol_version = "HTTP/1.1"
    # head and body in one packet: in two, the client's delayed acknowledgement costs 40 ms
    wbufsize = -1
    disable_nagle_algorithm = True
    worker: FunctionsWorker
    triggers: dict[str, HttpTrigger]

    def answer(self) -> None:
        """Call the function that the path and the method lead to."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/" and self.command == "GET":
            return self._reply(200, {"content-type": "text/plain"}, b"The app is up and running")
        trigger = self.triggers.get(url.path.lower())
        if not trigger or self.command not in trigger.methods:
            return self._reply(405 if trigger else 404, {}, b"")
        try:
            answer = self._invoke(trigger, url.query, body)
        except Exception:
            traceback.print_exc()
            answer = (500, {}, b"")
        return self._reply(*answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer  # noqa: N815

    def _invoke(
        self, trigger: HttpTrigger, query: str, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        http = ProtoMessage(
            method=self.command,
            url=f"http://{self.headers.get('host', '127.0.0.1')}{self.path}",
            headers={name.lower(): value for name, value in self.headers.items()},
            query=dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
            params={},
            body=PROTOS.TypedData(bytes=body) if body else PROTOS.TypedData(),
        )
        value = self.worker.invoke(trigger, http)
        kind = value.WhichOneof("data") if value is not None else None
        if kind == "http":
            return int(value.http.status_code), dict(value.http.headers), _data(value.http.body)
        return (200 if kind else 204), {"content-type": "text/plain; charset=utf-8"}, _data(value)

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, form: str, *values: Any) -> None:
        """To standard output, which is the rehearsal's log."""
        print(f"{self.command} {self.path} {form % values}", flush=True)


def _data(typed: Any) -> bytes:
    kind = typed.WhichOneof("data") if typed is not None else None
    if kind is None:
        return b""
    value = getattr(typed, kind)
    return bytes(value) if kind == "bytes" else str(value).encode("utf-8")


def serve(app: Path, port: int) -> None:
    """Index the app, then listen: whoever gets an answer knows that the functions are loaded."""
    # the order of the platform: the app's packages, the worker, the app
    sys.path.insert(0, str(app / PACKAGES))
    sys.path.append(str(app))
    os.chdir(app)
    FunctionsHandler.worker = FunctionsWorker(app)
    FunctionsHandler.triggers = triggers(FunctionsHandler.worker, app)
    if not FunctionsHandler.triggers:
        sys.exit(f"{app / 'function_app.py'}: no function with an HTTP trigger was found")
    print("routes:", *FunctionsHandler.triggers, flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), FunctionsHandler).serve_forever()


if __name__ == "__main__":
    del sys.path[0]  # this file's folder, which is no part of the platform
    serve(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
