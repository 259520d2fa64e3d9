"""usage: functions_server.py APP_FOLDER PORT

Runs inside the host's environment: Microsoft's library worker of Azure Functions behind HTTP on
127.0.0.1. It indexes function_app.py and turns each request into a call. In Azure it hangs on the
Functions host, by gRPC; here this program is the host: it hands over plain objects in place of
protobuf messages, routes by the triggers' bindings (plain paths) and host.json's prefix, and
answers as the host does: 404, 405, and an empty 500 when a function raises.
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
    """A function's HTTP trigger: the name of its binding, and the methods that lead to it."""

    function_id: str
    binding: str
    methods: frozenset[str]


class FunctionsWorker:
    """The library worker on an app's folder. `triggers`: the app's, by path in lower case."""

    def __init__(self, app: Path) -> None:
        import azure_functions_runtime as runtime

        self._runtime = runtime
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        runtime.start_threadpool_executor()
        self._call("worker_init_request", capabilities={}, function_app_directory=str(app))
        found = self._call("functions_metadata_request", function_app_directory=str(app))
        http = json.loads((app / "host.json").read_text(encoding="utf-8"))["extensions"]["http"]
        self.triggers: dict[str, HttpTrigger] = {}
        for function in found.function_metadata_results or []:
            name = function.function_id
            self._call("function_load_request", function_id=name, metadata=function)
            self.triggers |= _triggers(function, http["routePrefix"])

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


def _triggers(function: Any, prefix: str) -> dict[str, HttpTrigger]:
    found = {}
    for binding in map(json.loads, function.raw_bindings):
        if binding["type"].lower() == "httptrigger":
            path = f"/{prefix}/{binding.get('route') or function.name}".lower()
            methods = frozenset(map(str.upper, binding.get("methods") or ["GET", "POST"]))
            found[path] = HttpTrigger(function.function_id, binding["name"], methods)
    return found


class FunctionsHandler(BaseHTTPRequestHandler):
    """HTTP to invocation and back."""

    protocol_version = "HTTP/1.1"
    # head and body in one packet: in two, the client's delayed acknowledgement costs 40 ms
    wbufsize = -1
    disable_nagle_algorithm = True
    worker: FunctionsWorker

    def answer(self) -> None:
        """Call the function that the path and the method lead to."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/" and self.command == "GET":
            return self._reply(200, {"content-type": "text/plain"}, b"The app is up and running")
        trigger = self.worker.triggers.get(url.path.lower())
        if not trigger or self.command not in trigger.methods:
            return self._reply(405 if trigger else 404, {}, b"")
        try:
            http = self.worker.invoke(trigger, self._request(url.query, body))
        except Exception:
            traceback.print_exc()
            return self._reply(500, {}, b"")
        return self._reply(int(http.status_code), http.headers, http.body.bytes)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = answer  # noqa: N815

    def _request(self, query: str, body: bytes) -> ProtoMessage:
        return ProtoMessage(
            method=self.command,
            url=f"http://{self.headers.get('host', '127.0.0.1')}{self.path}",
            headers={name.lower(): value for name, value in self.headers.items()},
            query=dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
            params={},
            body=PROTOS.TypedData(bytes=body) if body else PROTOS.TypedData(),
        )

    def _reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        kept = {name: value for name, value in headers.items() if name.lower() != "content-length"}
        for name, value in {**kept, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def serve(app: Path, port: int) -> None:
    """Index the app, then listen: whoever gets an answer knows that the functions are loaded."""
    # the order of the platform: the app's packages, the worker, the app
    sys.path.insert(0, str(app / PACKAGES))
    sys.path.append(str(app))
    os.chdir(app)
    worker = FunctionsHandler.worker = FunctionsWorker(app)
    if not worker.triggers:
        sys.exit(f"{app / 'function_app.py'}: no function with an HTTP trigger was found")
    print("routes:", *worker.triggers, flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), FunctionsHandler).serve_forever()


if __name__ == "__main__":
    del sys.path[0]  # this file's folder, which is no part of the platform
    serve(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
